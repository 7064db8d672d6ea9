/** What the tests of Redis share: kinds of pairs, and the wants that a plan would make from a last look. */
import type { JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Reading } from '../../src/contracts/observation.ts';
import type { RedisPairOptions } from './redis-pair.ts';

export const async1: RedisPairOptions = { replication: 'asynchronous', hands: false };
export const withHands: RedisPairOptions = { replication: 'asynchronous', hands: true };
export const needsReplica: RedisPairOptions = { replication: 'asynchronous', hands: false, minReplicas: 1 };

export const soon = () => AbortSignal.timeout(5_000);

export async function until<T>(read: () => Promise<T>, holds: (value: T) => boolean, timeoutMs = 15_000): Promise<T> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > untilMs) throw new Error(`never held within ${timeoutMs} ms; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const factsAsLastKnown = (reading: Reading): JsonObject => ({
  ...reading.facts,
  atMs: 0,
  synchronous: false,
  standbys: (reading.replication?.standbys ?? []).map((standby) => standby.member),
  ...(reading.position ? { position: { ...reading.position } } : {}),
});

export async function fenceWant(east: Site, clean = false): Promise<JsonObject> {
  const reading = await until(
    () => east.observe(soon()),
    (seen) => (seen.replication?.standbys?.length ?? 0) === 1,
  );
  return { survivors: ['west'], clean, lastKnown: factsAsLastKnown(reading) };
}
