import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpListener, HttpListening } from '../host.ts';
import { listenHttp } from './listen-http.ts';

const answered = { status: 200, headers: { 'content-type': 'text/plain' }, body: 'here\n' };

describe('answering over HTTP', () => {
  const opened: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each.close();
  });

  async function listen(more: Partial<HttpListening> = {}): Promise<HttpListener> {
    const listener = await listenHttp({ host: '127.0.0.1', port: 0, onQuestion: async () => answered, ...more });
    opened.push(listener);
    return listener;
  }
  const url = (listener: HttpListener, path = '/') => `http://127.0.0.1:${listener.port}${path}`;

  /** A connection that does as little as it is told to. */
  async function stubborn(port: number, says = ''): Promise<Socket & { ended: Promise<void> }> {
    const socket = connect({ host: '127.0.0.1', port });
    opened.push({ close: () => socket.destroy() });
    socket.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    if (says !== '') socket.write(says);
    return Object.assign(socket, { ended });
  }

  it('hands on the method and the path without its question, and gives what it is given', async () => {
    const asked: unknown[] = [];
    const listener = await listen({
      onQuestion: async (question) => {
        asked.push(question);
        return answered;
      },
    });
    const response = await fetch(url(listener, '/metrics?name=a'));
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([200, 'text/plain', 'here\n']);
    const head = await fetch(url(listener), { method: 'HEAD' });
    expect([head.headers.get('content-length'), await head.text()]).toEqual(['5', '']);
    expect(asked).toEqual([
      { method: 'GET', path: '/metrics' },
      { method: 'HEAD', path: '/' },
    ]);
  });

  it('answers a failure by its code alone, and goes on', async () => {
    let fails = true;
    const listener = await listen({
      onQuestion: async () => {
        if (fails) throw new Error('the password is hunter2');
        return answered;
      },
    });
    const response = await fetch(url(listener));
    expect([response.status, await response.text()]).toEqual([500, expect.not.stringContaining('hunter2')]);
    fails = false;
    expect((await fetch(url(listener))).status).toBe(200);
  });

  it('an address that another process has is refused in words', async () => {
    const { port } = await listen();
    await expect(listen({ port })).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: `can not answer on 127.0.0.1:${port}: another process has that port`,
    });
    await expect(listen({ host: '203.0.113.9' })).rejects.toMatchObject({ code: 'SYSTEM_REFUSED' });
  });

  it('[I5] who asks nothing, asks slowly or does not read keeps nobody else waiting, and is sent away', async () => {
    // More than the buffers of both ends together, which may hold 37 MB.
    const large = 'x'.repeat(64 * 1024 * 1024);
    const listener = await listen({
      questionTimeoutMs: 300,
      connectionTimeoutMs: 600,
      onQuestion: async ({ path }) => ({ ...answered, body: path === '/large' ? large : 'here\n' }),
    });
    const silent = await Promise.all(Array.from({ length: 10 }, () => stubborn(listener.port)));
    const slow = await Promise.all(Array.from({ length: 10 }, () => stubborn(listener.port, 'GET /metrics HTTP/1.1\r\nHost: ')));
    const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const deaf = await Promise.all(Array.from({ length: 2 }, () => stubborn(listener.port, ask('/large'))));
    // All of them are held open at this moment, and somebody else is answered all the same.
    expect([...silent, ...slow, ...deaf].some((socket) => socket.destroyed)).toBe(false);
    expect(await (await fetch(url(listener), { signal: AbortSignal.timeout(5_000) })).text()).toBe('here\n');
    // A socket that is not read does not hear of its end.
    for (const socket of [...silent, ...slow]) socket.resume();
    await Promise.all([...silent, ...slow].map((socket) => socket.ended));
    const crawling = await stubborn(listener.port, ask('/large'));
    crawling.on('data', () => {
      crawling.pause();
      setTimeout(() => crawling.resume(), 20);
    });
    await crawling.ended;
    expect(crawling.bytesRead).toBeLessThan(large.length);
    // Those who never read began before it: their time is over too.
    for (const socket of deaf) socket.resume();
    await Promise.all(deaf.map((socket) => socket.ended));
    for (const socket of deaf) expect(socket.bytesRead).toBeLessThan(large.length);
  });

  it('ends at once, whoever is connected', async () => {
    const listener = await listen();
    const held = await stubborn(listener.port);
    await listener.close();
    await held.ended;
    await expect(fetch(url(listener))).rejects.toThrow();
  });
});
