/** Comparing keys between two real servers: types, encodings, expiry, several databases, keys and values that are not text. */
import { expect, it } from 'vitest';
import { openClientPort } from '../../src/drivers/redis/client.ts';
import { KeyComparison } from '../../src/drivers/redis/key-comparison.ts';
import { keysOf } from '../../src/drivers/redis/keys.ts';
import type { RedisConnection, Word } from '../../src/drivers/redis/port.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { type RunningRedis, startRedis } from '../systems/redis.ts';
import { describeSystem } from '../systems/requirement.ts';

interface Pair {
  readonly here: RedisConnection;
  readonly there: RedisConnection;
}

async function withTwo(body: (pair: Pair) => Promise<void>): Promise<void> {
  const port = openClientPort(nodeHost({ logTo: 'silent' }));
  const servers: RunningRedis[] = [];
  const connections: RedisConnection[] = [];
  try {
    for (const _ of [1, 2]) {
      const server = await startRedis();
      servers.push(server);
      connections.push(await port.connect({ host: server.address, port: server.port, tls: false }, { timeoutMs: 2_000 }));
    }
    const [here, there] = connections as [RedisConnection, RedisConnection];
    await body({ here, there });
  } finally {
    for (const connection of connections) connection.close();
    await Promise.all(servers.map((server) => server.stop({ graceMs: 500 })));
  }
}

async function send(connection: RedisConnection, ...commands: Word[][]): Promise<void> {
  for (const reply of await connection.send(commands, { timeoutMs: 5_000 })) if (reply instanceof Error) throw reply;
}

const compare = ({ here, there }: Pair, databases = [0]) =>
  new KeyComparison({ here, there, keys: keysOf('cache'), signal: AbortSignal.timeout(20_000) }).run(databases, () => {});

describeSystem('redis', 'comparing keys', () => {
  it('takes one content in two encodings or orders for the same', () =>
    withTwo(async (pair) => {
      const fields = Array.from({ length: 40 }, (_, index) => [`field-${index}`, `value-${index}`]);
      await send(pair.here, ['HSET', 'hash', ...fields.flat()], ['SADD', 'set', 'a', 'b', 'c'], ['RPUSH', 'list', '1', '2']);
      await send(pair.there, ['CONFIG', 'SET', 'hash-max-listpack-entries', '2'], ['HSET', 'hash', ...fields.reverse().flat()]);
      await send(pair.there, ['SADD', 'set', 'c', 'a', 'b'], ['RPUSH', 'list', '1', '2']);
      expect(await compare(pair)).toEqual({ count: 0, lines: [], unlisted: 0 });
    }));

  it('lists what is lacking or otherwise, with type, value, expiry and database', () =>
    withTwo(async (pair) => {
      await send(
        pair.here,
        ['SET', 'same', '1'],
        ['SET', 'changed', 'old'],
        ['ZADD', 'ranks', '1.5', 'a'],
        ['SET', 'fleeting', 'x', 'PXAT', '4102444800000'],
      );
      await send(pair.here, ['SELECT', '3'], ['SET', Buffer.from([0xff, 0x00]), Buffer.from([0xfe])]);
      await send(pair.there, ['SET', 'same', '1'], ['SET', 'changed', 'new'], ['SET', 'fleeting', 'x'], ['SET', 'only-there', '1']);
      const { count, lines } = await compare(pair, [0, 3]);
      expect(count).toBe(4);
      const found = lines
        .map((line) => JSON.parse(line) as { key: unknown })
        .sort((left, right) => (JSON.stringify(left.key) < JSON.stringify(right.key) ? -1 : 1));
      expect(found).toEqual([
        { database: 0, key: 'changed', type: 'string', value: 'old', survivor: 'differs' },
        { database: 0, key: 'fleeting', type: 'string', value: 'x', expiresAtMs: 4_102_444_800_000, survivor: 'differs' },
        { database: 0, key: 'ranks', type: 'zset', value: [['a', '1.5']], survivor: 'lacks' },
        { database: 3, key: { base64: '/wA=' }, type: 'string', value: { base64: '/g==' }, survivor: 'lacks' },
      ]);
    }));

  it('lists the canary only when the survivor never reached its number, and never its own marks', () =>
    withTwo(async (pair) => {
      const keys = keysOf('cache');
      const row = (number: number) => JSON.stringify({ number, atMs: 1, epoch: 1 });
      await send(pair.here, ['SET', keys.canary, row(5)], ['SET', keys.epoch, '1'], ['SET', keys.dataset, 'x']);
      await send(pair.there, ['SET', keys.canary, row(6)], ['SET', keys.epoch, '2'], ['SET', keys.dataset, 'x']);
      expect((await compare(pair)).count).toBe(0);
      await send(pair.there, ['SET', keys.canary, row(4)]);
      expect((await compare(pair)).count).toBe(1);
    }));

  it('goes through many keys in bounded batches', () =>
    withTwo(async (pair) => {
      await send(pair.here, ...Array.from({ length: 2_500 }, (_, index): Word[] => ['SET', `key-${index}`, String(index)]));
      const { count, unlisted } = await compare(pair);
      // SCAN may show a key twice only while the table is being resized; nothing writes here.
      expect({ count, unlisted }).toEqual({ count: 2_500, unlisted: 0 });
    }));
});
