/**
 * One HTTP request whose answer is used while it arrives, on a connection of its own.
 *
 * Invariant: the time-out covers the wait for the head, and each wait for a piece of the body; a consumer that is slow is not counted. The connection does not outlive the
 * reading: it is closed at the end, on failure, on abort, and when the consumer stops.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { fail } from '../../base/errors.ts';
import type { HttpRequest, HttpStream } from '../host.ts';
import { flatten, parseUrl, trustOptions } from './http.ts';
import { netError, netInterrupted, netTimeout } from './net-errors.ts';

type StreamRequest = Omit<HttpRequest, 'maxBodyBytes'> & { readonly input?: AsyncIterable<Uint8Array> };

export async function httpStream(request: StreamRequest): Promise<HttpStream> {
  const url = parseUrl(request.url);
  const name = `${url.protocol}//${url.host}`;
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    if (request.signal?.aborted) return reject(netInterrupted(name, request.signal.reason));
    const open = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const { method = 'GET', body, headers, signal, timeoutMs } = request;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const outgoing = open(url, { method, headers: { ...length, ...headers }, agent: false, ...trustOptions(request) });
    const timer = setTimeout(() => outgoing.destroy(netTimeout(name, timeoutMs)), timeoutMs);
    let response: IncomingMessage | undefined;
    const onAbort = (): void => void (response ?? outgoing).destroy(netInterrupted(name, signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    outgoing.once('close', () => signal?.removeEventListener('abort', onAbort));
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      reject(mapped(error, name));
    });
    outgoing.once('response', (begun) => {
      clearTimeout(timer);
      response = begun;
      // The reader hears of errors by its iteration; one that comes between two reads must not be unhandled.
      begun.on('error', () => {});
      resolve(begun);
    });
    if (request.input === undefined) outgoing.end(body);
    else {
      const isOver = () => response !== undefined || outgoing.destroyed;
      void send(outgoing, request.input, isOver, () => void (isOver() || timer.refresh()));
    }
  });
  return { status: incoming.statusCode ?? 0, headers: flatten(incoming.headers), body: piecesOf(incoming, name, request.timeoutMs) };
}

/**
 * An answer that comes before all was sent is taken as it is: whoever refuses need not read to the end. Between two pieces is time to read it: a write on a connection that the other side has
 * closed fails, and would throw away what had come before.
 */
async function send(outgoing: ClientRequest, input: AsyncIterable<Uint8Array>, isOver: () => boolean, onTaken: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => outgoing.once('close', () => resolve()));
  try {
    for await (const piece of input) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isOver()) return;
      // A write that fails ends the request by its event `error`.
      await Promise.race([new Promise<void>((resolve) => outgoing.write(piece, () => resolve())), closed]);
      onTaken();
    }
    if (!isOver()) outgoing.end();
  } catch (error) {
    outgoing.destroy(error as Error);
  }
}

async function* piecesOf(incoming: IncomingMessage, name: string, timeoutMs: number): AsyncIterable<Uint8Array> {
  const pieces = incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const nextPiece = async (): Promise<IteratorResult<Uint8Array>> => {
    const timer = setTimeout(() => incoming.destroy(netTimeout(name, timeoutMs, true)), timeoutMs);
    try {
      return await pieces.next();
    } catch (error) {
      throw mapped(error as NodeJS.ErrnoException, name);
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    for (;;) {
      const piece = await nextPiece();
      if (piece.done === true) break;
      yield piece.value;
    }
    if (!incoming.complete)
      throw fail('SYSTEM_UNREACHABLE', { message: `${name}: the answer was cut off`, details: { cause: 'reset', sent: true } });
  } finally {
    incoming.destroy();
  }
}

function mapped(error: NodeJS.ErrnoException, name: string): Error {
  return error.name === 'HoldfastError' ? error : netError(error, name, { sent: true });
}
