/**
 * The machine's network: TCP, unix sockets, HTTP, UDP.
 *
 * Invariant: nothing here waits without a time-out, and no socket outlives the call that failed.
 */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { HoldfastError } from '../../base/errors.ts';
import type { Net, TcpConnection, TlsTrust } from '../host.ts';
import { nodeHttp, trustOptions } from './http.ts';
import { httpStream } from './http-stream.ts';
import { listenHttp } from './listen-http.ts';
import { listenUnix } from './listen-unix.ts';
import { netError, netInterrupted, netTimeout } from './net-errors.ts';
import { socketWithBuffer } from './socket-with-buffer.ts';
import { udpExchange } from './udp.ts';

export function nodeNet(): Net {
  return {
    connectTcp: ({ host, port, timeoutMs, signal, tls }) =>
      open(() => (tls === undefined ? connect({ host, port, noDelay: true, keepAlive: true }) : secured(host, port, tls)), {
        name: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
        timeoutMs,
        signal,
        ...(tls === undefined ? {} : { readyEvent: 'secureConnect' }),
      }),
    connectUnix: ({ path, timeoutMs, signal }) => open(() => connect({ path }), { name: path, timeoutMs, signal, path: true }),
    listenUnix: (options) => listenUnix(options, (socket) => connectionOf(socket, options.path)),
    listenHttp,
    http: nodeHttp(),
    httpStream,
    udpExchange,
    socketWithBuffer,
  };
}

interface Target {
  readonly name: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The name is a file's. */
  readonly path?: boolean;
  /** What the socket says once it may be used. Default: `connect`. */
  readonly readyEvent?: string;
}

function secured(host: string, port: number, trust: TlsTrust): Socket {
  return connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...trustOptions(trust) }).setNoDelay(true);
}

function open(make: () => Socket, target: Target): Promise<TcpConnection> {
  return new Promise((resolve, reject) => {
    if (target.signal?.aborted) {
      reject(netInterrupted(target.name, target.signal.reason));
      return;
    }
    const socket = make();
    const over = (): void => {
      clearTimeout(timer);
      target.signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError);
    };
    const refuse = (error: HoldfastError): void => {
      over();
      socket.on('error', () => {
        // The socket is being thrown away: whatever it still says no longer matters.
      });
      socket.destroy();
      reject(error);
    };
    const onError = (error: NodeJS.ErrnoException): void =>
      refuse(netError(error, target.name, target.path === true ? { path: true } : {}));
    const onAbort = (): void => refuse(netInterrupted(target.name, target.signal?.reason));
    const timer = setTimeout(() => refuse(netTimeout(target.name, target.timeoutMs)), target.timeoutMs);
    target.signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('error', onError);
    socket.once(target.readyEvent ?? 'connect', () => {
      over();
      resolve(connectionOf(socket, target.name));
    });
  });
}

function connectionOf(socket: Socket, name: string): TcpConnection {
  let ended = false;
  let error: HoldfastError | undefined;
  let reads = false;
  const closeListeners: ((error?: Error) => void)[] = [];
  socket.on('error', (cause) => {
    error ??= netError(cause, name);
  });
  socket.once('close', () => {
    ended = true;
    for (const listener of closeListeners) listener(error);
  });
  return {
    write: (data) => {
      if (!ended) socket.write(data);
    },
    onData: (listener) => {
      reads = true;
      socket.on('data', listener);
    },
    onClose: (listener) => {
      if (ended) {
        queueMicrotask(() => listener(error));
        return;
      }
      closeListeners.push(listener);
      // A socket that nobody reads does not notice its end. Who wants data has asked for it by then.
      setImmediate(() => {
        if (!reads && !ended) socket.resume();
      });
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    close: () => socket.destroy(),
  };
}
