import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { nodeNet } from './net.ts';

const net = nodeNet();
const open = net.httpStream as NonNullable<typeof net.httpStream>;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return (server.address() as AddressInfo).port;
}

const serve = async (listener: RequestListener): Promise<string> => `http://127.0.0.1:${await listen(createServer(listener))}/`;

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('gives the body as it arrives, and its whole', async () => {
  const url = await serve((request, response) => {
    request.on('data', (data: Buffer) => {
      response.writeHead(200, { 'x-heard': String(data) });
      response.write('one,');
      setTimeout(() => response.end('two'), 20);
    });
  });
  const { status, headers, body } = await open({ method: 'POST', url, body: 'hello', timeoutMs: 2_000 });
  expect([status, headers['x-heard']]).toEqual([200, 'hello']);
  expect(String(await readAll(body))).toBe('one,two');
});

test('a slow reader keeps the sender waiting, and is not out of time', async () => {
  let sentBytes = 0;
  const url = await serve((_request, response) => {
    const piece = Buffer.alloc(1_048_576);
    const more = (): void => {
      while (sentBytes < 64 * piece.length) {
        sentBytes += piece.length;
        if (!response.write(piece)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  });
  const { body } = await open({ url, timeoutMs: 200 });
  let readBytes = 0;
  for await (const piece of body) {
    if (readBytes === 0) await new Promise((resolve) => setTimeout(resolve, 400));
    if (readBytes === 0) expect(sentBytes).toBeLessThan(32 * 1_048_576);
    readBytes += piece.length;
  }
  expect(readBytes).toBe(64 * 1_048_576);
});

test('silence before the head and within the body ends by the time-out; a cut body rejects', async () => {
  const silent = await listen(createTcpServer(() => {}));
  expect((await failureOf(open({ url: `http://127.0.0.1:${silent}/`, timeoutMs: 100 }))).code).toBe('TIMED_OUT');
  const stalls = await serve((_request, response) => void response.write('some'));
  expect((await failureOf(open({ url: stalls, timeoutMs: 100 }).then(({ body }) => readAll(body)))).code).toBe('TIMED_OUT');
  const cut = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('some', () => response.destroy());
  });
  expect((await failureOf(open({ url: cut, timeoutMs: 1_000 }).then(({ body }) => readAll(body)))).details.cause).toBe('reset');
});

test('ends when it is aborted, and when the reader stops', async () => {
  let closed = 0;
  const url = await serve((_request, response) => {
    response.once('close', () => {
      closed += 1;
    });
    response.write('some');
  });
  const controller = new AbortController();
  const { body } = await open({ url, timeoutMs: 5_000, signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 30);
  expect((await failureOf(readAll(body))).code).toBe('INTERRUPTED');
  for await (const piece of (await open({ url, timeoutMs: 5_000 })).body) {
    expect(String(piece)).toBe('some');
    break;
  }
  await expect.poll(() => closed).toBe(2);
});

test('sends what is too large to be held, past the time-out while it moves, and hears an early no', async () => {
  let gotBytes = 0;
  const url = await serve((request, response) => {
    request.on('data', (data: Buffer) => {
      gotBytes += data.length;
    });
    request.on('end', () => response.end(String(gotBytes)));
  });
  const pieces = async function* (everyMs = 0): AsyncIterable<Uint8Array> {
    for (let at = 0; at < 8; at += 1) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      yield Buffer.alloc(1_048_576);
    }
  };
  const { body } = await open({ method: 'POST', url, input: pieces(100), timeoutMs: 600 });
  expect(String(await readAll(body))).toBe(String(8 * 1_048_576));
  const refusing = await serve((_request, response) => void response.writeHead(403).end('no'));
  const refused = await open({ method: 'POST', url: refusing, input: pieces(), timeoutMs: 2_000 });
  expect([refused.status, String(await readAll(refused.body))]).toEqual([403, 'no']);
});

test('an input that fails cuts the request off, and its error is thrown', async () => {
  let wasWhole = false;
  const url = await serve((request) => {
    request.resume().on('end', () => {
      wasWhole = true;
    });
  });
  const broken = async function* (): AsyncIterable<Uint8Array> {
    yield Buffer.alloc(10);
    throw new HoldfastError('BACKUP_DAMAGED', { message: 'a piece is wrong' });
  };
  expect((await failureOf(open({ method: 'POST', url, input: broken(), timeoutMs: 2_000 }))).code).toBe('BACKUP_DAMAGED');
  expect(wasWhole).toBe(false);
});
