import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { nodeHost } from '../../host/node/node-host.ts';
import { openClientPort } from './client.ts';

it('leaves no connection open that was given up while it was being opened, also to a server that never answers', async () => {
  const open = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    accepted += 1;
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as { port: number };
    const clients = openClientPort(nodeHost({ logLevel: 'error', logTo: 'stderr' }));
    // The vendor's client is loaded by the first.
    (await clients.connect({ host: '127.0.0.1', port, tls: false }, { timeoutMs: 2_000 })).close();
    for (let turn = 0; turn < 60; turn += 1) {
      const ending = new AbortController();
      const connecting = clients
        .connect({ host: '127.0.0.1', port, tls: false }, { timeoutMs: 2_000, signal: ending.signal })
        .then((connection) => connection.close())
        .catch(() => {});
      // Anywhere between before the socket is asked for and after it is open.
      for (let tick = 0; tick < turn; tick += 1) await Promise.resolve();
      ending.abort(new Error('given up'));
      await connecting;
    }
    const deadline = performance.now() + 3_000;
    while (open.size > 0 && performance.now() < deadline) await delay(10);
    expect(accepted).toBeGreaterThan(5);
    expect(open.size).toBe(0);
  } finally {
    for (const socket of open) socket.destroy();
    server.close();
  }
});
