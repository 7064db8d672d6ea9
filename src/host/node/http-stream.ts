/**
 * One HTTP request whose answer is used while it arrives, on a connection of its own.
 *
 * Invariant: the time-out covers the wait for the head, and each wait for a piece of the body; a consumer that is slow is not counted. The connection does not outlive the
 * reading: it is closed at the end, on failure, on abort, and when the consumer stops.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { fail } from '../../base/errors.ts';
import type { HttpRequest, HttpStream } from '../host.ts';
import { flatten, parseUrl, trustOptions } from './http.ts';
import { netError, netInterrupted, netTimeout } from './net-errors.ts';

export async function httpStream(request: Omit<HttpRequest, 'maxBodyBytes'>): Promise<HttpStream> {
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
    outgoing.end(body);
  });
  return { status: incoming.statusCode ?? 0, headers: flatten(incoming.headers), body: piecesOf(incoming, name, request.timeoutMs) };
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
