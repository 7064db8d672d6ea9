import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { nodeHost } from '../../../host/node/node-host.ts';
import type { RawStream } from '../client.ts';
import { ReceivedBytes } from './received-bytes.ts';

const host = nodeHost({ logTo: 'silent' });
const roomBytes = 1024 * 1024;
const over: (() => void)[] = [];

afterEach(() => {
  for (const end of over.splice(0)) end();
});

/** A sender, and what it is read with: into our own buffer, or as any socket is. */
async function connected(own: boolean): Promise<{ sender: Socket; received: ReceivedBytes }> {
  const server = createServer();
  const incoming = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const made = host.net.socketWithBuffer?.(64 * 1024);
  if (made === undefined) throw new Error('this host has sockets');
  const socket = made.socket as Socket;
  socket.connect((server.address() as { port: number }).port, '127.0.0.1');
  const sender = await incoming;
  over.push(
    () => socket.destroy(),
    () => sender.destroy(),
    () => void server.close(),
  );
  return { sender, received: new ReceivedBytes(socket as RawStream, own ? made.takeOver : undefined) };
}

const bytesOf = (count: number) => Buffer.from(Array.from({ length: count }, (_, index) => (index * 7 + (index >> 8)) & 0xff));

describe.each([
  ['into our own buffer', true],
  ['as any socket', false],
])('bytes received %s', (_name, own) => {
  it('are taken in order, however they come', async () => {
    const { sender, received } = await connected(own);
    const sent = bytesOf(3 * roomBytes);
    for (let at = 0, length = 1; at < sent.length; at += length, length = ((length * 31) % 100_000) + 1)
      sender.write(sent.subarray(at, at + length));
    sender.end();
    const taken = createHash('sha256');
    let count = 0;
    for (let wanted = 1; count < sent.length; wanted = Math.min(((wanted * 17) % 60_000) + 1, sent.length - count)) {
      expect(await received.need(wanted)).toBe(true);
      taken.update(received.take(0, wanted));
      count += wanted;
    }
    expect(taken.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
    expect(await received.need(1)).toBe(false);
    expect(received.end).toEqual({ cause: undefined });
  });

  it('may be more at once than the buffer has room for', async () => {
    const { sender, received } = await connected(own);
    const sent = bytesOf(2 * roomBytes);
    sender.end(sent);
    expect(await received.need(sent.length)).toBe(true);
    expect(Buffer.compare(received.take(0, sent.length), sent)).toBe(0);
  });

  it('hold the sender back while nobody takes them', async () => {
    const { sender, received } = await connected(own);
    const sentBytes = 64 * roomBytes;
    sender.end(Buffer.alloc(sentBytes));
    await received.need(1);
    // Until the sender has found that the other side takes no more.
    for (let before = -1; before !== sender.bytesWritten - sender.writableLength || received.length < roomBytes / 2; ) {
      before = sender.bytesWritten - sender.writableLength;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(received.length).toBeLessThan(2 * roomBytes);
    let count = 0;
    while (await received.need(1)) count += received.take(0, received.length).length;
    expect(count).toBe(sentBytes);
  });
});
