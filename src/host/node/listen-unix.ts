/**
 * Answers on a socket in the file system.
 *
 * Invariant: of two processes one has the path. A socket file that nobody answers on is what a killed process left: it is removed. Dying here leaves such a file.
 */
import { chmod, lstat, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { fail } from '../../base/errors.ts';
import type { Listener, TcpConnection } from '../host.ts';

const askTimeoutMs = 1_000;

export interface UnixListening {
  readonly path: string;
  onConnection(connection: TcpConnection): void;
}

export async function listenUnix(
  { path, onConnection }: UnixListening,
  asConnection: (socket: Socket) => TcpConnection,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    onConnection(asConnection(socket));
  });
  try {
    await listen(server, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw refused(path, error);
    if (!(await lstat(path)).isSocket())
      throw fail('SYSTEM_REFUSED', { message: `${path} is no socket`, subject: path, hint: 'Name another path: what is there stays.' });
    if (await isAnswered(path))
      throw fail('SYSTEM_REFUSED', { message: `another process answers on ${path} already`, subject: path, hint: 'Stop it first.' });
    await rm(path, { force: true });
    await listen(server, path).catch((again: unknown) => {
      throw refused(path, again);
    });
  }
  await chmod(path, 0o660);
  // What goes wrong with a socket is told to who has the connection.
  server.on('error', () => undefined);
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const answer = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.setTimeout(askTimeoutMs, () => answer(true));
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}

function refused(path: string, error: unknown) {
  const { message, code = 'other' } = error as NodeJS.ErrnoException;
  return fail('SYSTEM_REFUSED', {
    message: `can not answer on ${path}: ${message}`,
    subject: path,
    details: { cause: code },
    hint: 'Look at the owner and the permissions of its directory; a path of a socket has at most 107 bytes.',
  });
}
