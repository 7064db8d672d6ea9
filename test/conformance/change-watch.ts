/** A host whose connections (TCP, unix, and requests over HTTP by their first line) are watched for requests that change something; the world can be made to interfere just then. */
import { fail } from '../../src/base/errors.ts';
import type { Host, TcpConnection } from '../../src/host/host.ts';

export interface ChangeWatch {
  readonly host: Host;
  /** How many changes were asked for. */
  sent(): number;
}

export interface Interference {
  /** Happens after the driver has decided and before its request leaves. */
  readonly beforeChange?: () => Promise<void>;
  /** The system gets the request and answers it; the connection breaks before the answer is in. */
  readonly loseAnswers?: boolean;
}

export function watchChanges(host: Host, isChange: (data: Uint8Array) => boolean, interference: Interference = {}): ChangeWatch {
  let count = 0;
  const wrap = (connection: TcpConnection): TcpConnection => {
    let changing = false;
    let closing: ((error?: Error) => void) | undefined;
    return {
      write: (data) => {
        const bytes = typeof data === 'string' ? Buffer.from(data) : data;
        changing = isChange(bytes);
        if (!changing) return connection.write(data);
        count += 1;
        if (interference.beforeChange === undefined) return connection.write(data);
        interference.beforeChange().then(
          () => connection.write(data),
          (error: Error) => closing?.(error),
        );
      },
      onData: (listener) =>
        connection.onData((data) => {
          if (changing && interference.loseAnswers === true) closing?.();
          else listener(data);
        }),
      onClose: (listener) => {
        closing = listener;
        connection.onClose(listener);
      },
      close: () => connection.close(),
    };
  };
  const net: Host['net'] = {
    ...host.net,
    connectTcp: async (target) => wrap(await host.net.connectTcp(target)),
    connectUnix: async (target) => wrap(await host.net.connectUnix(target)),
    http: async (request) => {
      if (!isChange(Buffer.from(`${request.method ?? 'GET'} ${request.url}`))) return host.net.http(request);
      count += 1;
      await interference.beforeChange?.();
      const answer = await host.net.http(request);
      if (interference.loseAnswers !== true) return answer;
      throw fail('SYSTEM_UNREACHABLE', { message: 'connection reset', details: { cause: 'reset', sent: true } });
    },
  };
  return { host: { ...host, net }, sent: () => count };
}
