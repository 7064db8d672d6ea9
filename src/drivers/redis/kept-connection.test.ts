import { expect, test } from 'vitest';
import { KeptConnection } from './kept-connection.ts';
import type { RedisConnection } from './port.ts';
import type { RedisSiteParts } from './server.ts';

/** A port whose connections are made when the test says so. */
function heldPort() {
  const made: { open: boolean }[] = [];
  const waiting: (() => void)[] = [];
  const connect = () =>
    new Promise<RedisConnection>((resolve) => {
      waiting.push(() => {
        const connection = { open: true };
        made.push(connection);
        const close = () => {
          connection.open = false;
        };
        resolve({
          get isOpen() {
            return connection.open;
          },
          close,
        } as unknown as RedisConnection);
      });
    });
  const site = { url: 'redis://127.0.0.1:6379' };
  const parts = { context: { site, probeTimeoutMs: 1_000 }, port: { connect } } as unknown as RedisSiteParts;
  return {
    parts,
    release: () => waiting.splice(0).forEach((make) => void make()),
    openCount: () => made.filter((each) => each.open).length,
  };
}

const { signal } = new AbortController();

test('two that ask at once share one connection, and the other one is closed', async () => {
  const { parts, release, openCount } = heldPort();
  const kept = new KeptConnection(parts);
  const both = Promise.all([kept.open(signal), kept.open(signal)]);
  release();
  const [first, second] = await both;
  expect(first).toBe(second);
  expect(openCount()).toBe(1);
  kept.close();
  expect(openCount()).toBe(0);
});

test('one that was being made when the site was closed does not stay open', async () => {
  const { parts, release, openCount } = heldPort();
  const kept = new KeptConnection(parts);
  const asked = kept.open(signal);
  kept.close();
  release();
  await expect(asked).rejects.toMatchObject({ code: 'INTERRUPTED' });
  expect(openCount()).toBe(0);
});
