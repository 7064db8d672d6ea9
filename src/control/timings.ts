/**
 * How long each verb of each driver took, and how long the recovery to each region took: what expected times and readiness are made of. Only steps that really did something
 * are kept, the newest of them.
 */
import type { StateStore } from '../contracts/state-store.ts';
import { putRecord } from '../watch/watch-records.ts';

const keptSamples = 20;

export interface MeasuredRecovery {
  readonly region: string;
  readonly outageMs: number;
  readonly executionId: string;
  readonly atMs: number;
}

export type Timings = ReadonlyMap<string, number>;

const timingKey = (driver: string, verb: string): string => `timings/${driver}/${verb}`;

export async function recordTimings(
  store: StateStore,
  samples: readonly { readonly driver: string; readonly verb: string; readonly tookMs: number }[],
): Promise<void> {
  for (const { driver, verb, tookMs } of samples) {
    const key = timingKey(driver, verb);
    const before = ((await store.get(key))?.value as readonly number[] | undefined) ?? [];
    await store.commit([putRecord(key, [...before, Math.round(tookMs)].slice(-keptSamples))]);
  }
}

/** The median time per `<driver>/<verb>`, in milliseconds. */
export async function readTimings(store: StateStore): Promise<Timings> {
  const entries = await store.range('timings/');
  return new Map(entries.map((entry) => [entry.key.slice('timings/'.length), median(entry.value as readonly number[])]));
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

export async function recordRecovery(store: StateStore, recovery: MeasuredRecovery): Promise<void> {
  await store.commit([putRecord(`recoveries/${recovery.region}`, recovery)]);
}

export async function readRecoveries(store: StateStore): Promise<ReadonlyMap<string, MeasuredRecovery>> {
  const entries = await store.range('recoveries/');
  return new Map(entries.map((entry) => [entry.key.slice('recoveries/'.length), entry.value as unknown as MeasuredRecovery]));
}
