import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { nodeNet } from './net.ts';

const net = nodeNet();
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function listen(server: Server, at: number | string = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new Promise((resolve) => {
    const done = (): void => resolve((server.address() as AddressInfo)?.port ?? 0);
    if (typeof at === 'string') server.listen(at, done);
    else server.listen(at, '127.0.0.1', done);
  });
}

const serveHttp = async (listener: RequestListener): Promise<string> => `http://127.0.0.1:${await listen(createHttpServer(listener))}`;

async function closedPort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hf-net-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

test('talks over TCP both ways and tells the end', async () => {
  const port = await listen(createServer((socket) => socket.on('data', (data) => socket.end(`you said ${data}`))));
  const connection = await net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 1_000 });
  let heard = '';
  connection.onData((data) => {
    heard += new TextDecoder().decode(data);
  });
  connection.write('hello');
  expect(await new Promise((resolve) => connection.onClose(resolve))).toBeUndefined();
  expect(heard).toBe('you said hello');
});

test('a closed port is refused, at once', async () => {
  const port = await closedPort();
  const startedMs = performance.now();
  const error = await failureOf(net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 5_000 }));
  expect(error.code).toBe('SYSTEM_UNREACHABLE');
  expect(error.details.cause).toBe('refused');
  expect(performance.now() - startedMs).toBeLessThan(500);
  expect((await failureOf(net.http({ url: `http://127.0.0.1:${port}/`, timeoutMs: 5_000 }))).details.cause).toBe('refused');
});

test('a connection that the peer resets ends as reset, also when nobody reads from it', async () => {
  const port = await listen(createServer((socket) => socket.once('data', () => socket.resetAndDestroy())));
  const connection = await net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 1_000 });
  connection.write('x');
  const error = await new Promise<Error | undefined>((resolve) => connection.onClose(resolve));
  expect((error as HoldfastError).details.cause).toBe('reset');
});

test('an unknown name is told apart from a refusal', async () => {
  const error = await failureOf(net.connectTcp({ host: 'nobody.invalid', port: 1, timeoutMs: 5_000 }));
  expect(error.details.cause).toBe('name');
});

/** A port whose queue is full and whose server is frozen: the kernel drops what comes, as a black-holed host does. */
async function silentPort(): Promise<number> {
  const script =
    "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port))";
  const server = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanups.push(() => server.kill('SIGKILL'));
  const port = await new Promise<number>((resolve) => server.stdout.once('data', (data) => resolve(Number(data))));
  server.kill('SIGSTOP');
  await expect.poll(() => readFileSync(`/proc/${server.pid}/stat`, 'utf8')).toMatch(/\) T /);
  for (let filler = 0; filler < 4; filler += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    cleanups.push(() => socket.destroy());
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  return port;
}

test('a silent host is a time-out, and an attempt to reach it can be aborted', async () => {
  const port = await silentPort();
  const silent = await failureOf(net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 100 }));
  expect([silent.code, silent.details.cause]).toEqual(['TIMED_OUT', 'timeout']);
  expect((await failureOf(net.http({ url: `http://127.0.0.1:${port}/`, timeoutMs: 100 }))).details).toEqual({
    cause: 'timeout',
    sent: false,
  });
  const abort = new AbortController();
  const attempt = net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 10_000, signal: abort.signal });
  abort.abort(new Error('enough'));
  expect((await failureOf(attempt)).code).toBe('INTERRUPTED');
});

test('talks over a unix socket; a missing one counts as refused', async () => {
  const path = join(temporary(), 's');
  await listen(
    createServer((socket) => socket.end('hi')),
    path,
  );
  const connection = await net.connectUnix({ path, timeoutMs: 1_000 });
  expect(await new Promise((resolve) => connection.onData((data) => resolve(new TextDecoder().decode(data))))).toBe('hi');
  connection.close();
  expect((await failureOf(net.connectUnix({ path: `${path}-not-there`, timeoutMs: 1_000 }))).details.cause).toBe('refused');
});

test('HTTP carries method, headers, body and status, and keeps the connection', async () => {
  const ports = new Set<number | undefined>();
  const url = await serveHttp((request, response) => {
    ports.add(request.socket.remotePort);
    let body = '';
    request.on('data', (data) => (body += data));
    request.on('end', () => response.writeHead(418, { 'X-Said': `${request.method} ${body} ${request.headers['x-in']}` }).end('teapot'));
  });
  for (let turn = 0; turn < 3; turn += 1) {
    const answer = await net.http({ url: `${url}/a?b=c`, method: 'PUT', body: 'grün', headers: { 'x-in': 'y' }, timeoutMs: 1_000 });
    expect(answer).toMatchObject({ status: 418, body: 'teapot' });
    expect(Buffer.from(answer.headers['x-said'] ?? '', 'latin1').toString()).toContain('PUT');
  }
  expect(ports.size).toBe(1);
});

test('an HTTP server that never answers is a time-out, after the request was sent', async () => {
  const url = await serveHttp(() => {});
  const error = await failureOf(net.http({ url, timeoutMs: 50 }));
  expect(error.code).toBe('TIMED_OUT');
  expect(error.details).toEqual({ cause: 'timeout', sent: true });
});

test('a body that stops half-way is a time-out, one that is cut off a reset', async () => {
  const stops = await serveHttp((_request, response) => void response.writeHead(200, { 'content-length': '10' }).write('half'));
  expect((await failureOf(net.http({ url: stops, timeoutMs: 50 }))).code).toBe('TIMED_OUT');
  const cut = await serveHttp((request, response) => {
    response.writeHead(200, { 'content-length': '10' }).write('half', () => request.socket.resetAndDestroy());
  });
  expect((await failureOf(net.http({ url: cut, timeoutMs: 1_000 }))).details.cause).toBe('reset');
});

test('a GET on a kept connection that the server has closed meanwhile is sent again; a POST is not', async () => {
  let count = 0;
  const url = await serveHttp((request, response) => {
    count += 1;
    if (count % 2 === 0) request.socket.resetAndDestroy();
    else response.end('ok');
  });
  expect((await net.http({ url, timeoutMs: 1_000 })).body).toBe('ok');
  expect((await net.http({ url, timeoutMs: 1_000 })).body).toBe('ok');
  const error = await failureOf(net.http({ url, method: 'POST', body: 'x', timeoutMs: 1_000 }));
  expect(error.details).toEqual({ cause: 'reset', sent: true });
});

test('a long body is cut at the limit', async () => {
  const url = await serveHttp((_request, response) => response.end('x'.repeat(100_000)));
  expect((await net.http({ url, timeoutMs: 1_000, maxBodyBytes: 10 })).body).toBe('x'.repeat(10));
});

test('an answer that is not HTTP is a wrong answer, and messages never show path or query', async () => {
  const port = await listen(createServer((socket) => socket.end('SSH-2.0-x\r\n')));
  const error = await failureOf(net.http({ url: `http://user:pass@127.0.0.1:${port}/p?token=hidden`, timeoutMs: 1_000 }));
  expect(error.code).toBe('SYSTEM_WRONG_ANSWER');
  expect(JSON.stringify(error)).not.toMatch(/hidden|pass/);
});

test('HTTP goes over a unix socket too, and one that is not there is refused', async () => {
  const socketPath = join(temporary(), 's');
  await listen(
    createHttpServer((request, response) => response.end(`${request.headers.host}${request.url}`)),
    socketPath,
  );
  expect((await net.http({ url: 'http://copy/health', socketPath, timeoutMs: 1_000 })).body).toBe('copy/health');
  const error = await failureOf(net.http({ url: 'http://copy/', socketPath: `${socketPath}-none`, timeoutMs: 1_000 }));
  expect(error.details.cause).toBe('refused');
});

test('HTTP can be aborted', async () => {
  const url = await serveHttp(() => {});
  const abort = new AbortController();
  const answer = net.http({ url, timeoutMs: 5_000, signal: abort.signal });
  setImmediate(() => abort.abort());
  expect((await failureOf(answer)).code).toBe('INTERRUPTED');
});

test('HTTPS trusts the authority given, and nobody unknown', async () => {
  const directory = temporary();
  const [key, certificate] = [join(directory, 'key'), join(directory, 'cert')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-out',
      certificate,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    ],
    { stdio: 'ignore' },
  );
  const server = createHttpsServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (_request, response) =>
    response.end('secure'),
  );
  const url = `https://127.0.0.1:${await listen(server)}/`;
  expect((await net.http({ url, timeoutMs: 2_000, ca: readFileSync(certificate, 'utf8') })).body).toBe('secure');
  expect((await failureOf(net.http({ url, timeoutMs: 2_000 }))).details.cause).toBe('tls');
  const ca = readFileSync(certificate, 'utf8');
  const port = Number(new URL(url).port);
  const connection = await net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 2_000, tls: { ca } });
  const answer = new Promise<string>((resolve) => connection.onData((data) => resolve(String(data))));
  connection.write('GET / HTTP/1.0\r\n\r\n');
  expect(await answer).toMatch(/^HTTP\/1.1 200/);
  connection.close();
  expect((await failureOf(net.connectTcp({ host: '127.0.0.1', port, timeoutMs: 2_000, tls: {} }))).details.cause).toBe('tls');
  expect((await failureOf(net.httpStream?.({ url, timeoutMs: 2_000 }) ?? Promise.resolve())).details.cause).toBe('tls');
  expect((await net.httpStream?.({ url, timeoutMs: 2_000, ca }))?.status).toBe(200);
});

test('UDP takes the first accepted answer, refuses a closed port and times out', async () => {
  const server = createSocket('udp4');
  cleanups.push(() => server.close());
  const port = await new Promise<number>((resolve) => server.bind(0, '127.0.0.1', () => resolve(server.address().port)));
  server.on('message', (_data, from) => {
    server.send('no', from.port);
    server.send('yes', from.port);
  });
  const data = new TextEncoder().encode('?');
  const accept = (answer: Uint8Array): boolean => new TextDecoder().decode(answer) === 'yes';
  expect(new TextDecoder().decode(await net.udpExchange({ host: '127.0.0.1', port, data, timeoutMs: 1_000, accept }))).toBe('yes');
  expect((await failureOf(net.udpExchange({ host: '127.0.0.1', port, data, timeoutMs: 50, accept: () => false }))).code).toBe('TIMED_OUT');
  expect(
    (await failureOf(net.udpExchange({ host: '127.0.0.1', port: await closedPort(), data, timeoutMs: 1_000, accept }))).details.cause,
  ).toBe('refused');
});
