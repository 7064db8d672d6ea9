/**
 * Answers HTTP questions.
 *
 * Invariant: whoever asks slowly, reads slowly or not at all costs a connection for a bounded time, and never keeps another one from being answered: there are more connections than
 * those, and each has an end. Bodies of questions are not read. Dying here leaves nothing.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { asHoldfastError, fail } from '../../base/errors.ts';
import { formatListenAddress } from '../../base/listen-address.ts';
import type { HttpAnswer, HttpListener, HttpListening } from '../host.ts';

const connectionsMax = 64;
/** From the first byte of a question to its last. */
const questionTimeoutMs = 5_000;
/** A connection from its beginning to its end. */
const connectionTimeoutMs = 30_000;

export async function listenHttp(listening: HttpListening): Promise<HttpListener> {
  const { host, port, onQuestion } = listening;
  const sockets = new Set<Socket>();
  const lifeMs = listening.connectionTimeoutMs ?? connectionTimeoutMs;
  const askMs = listening.questionTimeoutMs ?? questionTimeoutMs;
  const limits = { headersTimeout: askMs, requestTimeout: askMs, connectionsCheckingInterval: Math.min(1_000, askMs) };
  const server = createServer({ ...limits, keepAlive: false }, (request, response) => void answer(request, response, onQuestion));
  server.maxConnections = connectionsMax;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    const timer = setTimeout(() => socket.destroy(), lifeMs);
    socket.once('close', () => {
      clearTimeout(timer);
      sockets.delete(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(refused(listening, error)));
    server.listen({ host, port, exclusive: true }, () => resolve());
  });
  // What goes wrong with a connection later ends that connection.
  server.on('error', () => undefined);
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, onQuestion: HttpListening['onQuestion']): Promise<void> {
  // Who has gone is told by the end of the connection.
  response.on('error', () => undefined);
  const method = request.method ?? 'GET';
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  let given: HttpAnswer;
  try {
    given = await onQuestion({ method, path });
  } catch (thrown) {
    const { code } = asHoldfastError(thrown);
    given = { status: 500, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: `${code}\n` };
  }
  const { status, headers, body } = given;
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' });
  response.end(method === 'HEAD' ? undefined : body);
}

function refused(address: { readonly host: string; readonly port: number }, error: NodeJS.ErrnoException) {
  const place = formatListenAddress(address);
  const why = error.code === 'EADDRINUSE' ? 'another process has that port' : error.message;
  return fail('SYSTEM_REFUSED', {
    message: `can not answer on ${place}: ${why}`,
    subject: place,
    details: { cause: error.code ?? 'other' },
    hint: 'Name another address, or end the process that has it.',
  });
}
