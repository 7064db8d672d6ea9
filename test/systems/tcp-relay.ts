/**
 * Stands between a client and a TCP server and does what networks do: cuts connections, takes none, loses answers. What it does to bytes it does for all protocols, HTTP/2 among them.
 */
import { connect, createServer, type Socket } from 'node:net';
import { freePort, releasePort } from './ports.ts';

/**
 * `pass`: as if it were not there · `deaf`: what the server says is lost, what the client says arrives · `cut`: connections are reset and none are taken
 */
export type RelayMode = 'pass' | 'deaf' | 'cut';

export interface TcpRelay {
  readonly port: number;
  set(mode: RelayMode): void;
  /** Cuts the connections that there are; new ones are taken. */
  reset(): void;
  stop(): Promise<void>;
}

export async function startTcpRelay(targetPort: number): Promise<TcpRelay> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let mode: RelayMode = 'pass';
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
    sockets.clear();
  };
  const server = createServer((client) => {
    if (mode === 'cut') {
      client.resetAndDestroy();
      return;
    }
    const target = connect(targetPort, '127.0.0.1');
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(one);
      one.on('data', (data) => {
        if (one === client || mode === 'pass') other.write(data);
      });
      // Its end is what is told of an error.
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port,
    set: (wanted) => {
      mode = wanted;
      if (wanted === 'cut') reset();
    },
    reset,
    stop: async () => {
      reset();
      await new Promise((resolve) => server.close(resolve));
      releasePort(port);
    },
  };
}
