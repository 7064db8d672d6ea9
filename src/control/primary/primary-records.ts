/**
 * What the state says of who may acknowledge writes: the lease `primary/R`, the bar `primary-bars/R` that a failover puts before it, and the record `primary-guards/R` of what is fenced
 * before that lease is over.
 *
 * A region that an execution leads back to serves before its controller holds the lease again: the record of its earlier time must not speak for it, so each record names the epoch under
 * which the region was active.
 *
 * Invariant: a record that names components was written under the lease whose token it names, after a guard was armed for that token. So once the lease of that token is over, whether it
 * ran out or was given up, those components are fenced; and a lease that is given up without a fence has had its record emptied before.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Change, Lease, StateStore } from '../../contracts/state-store.ts';

export const primaryKeys = {
  lease: (region: string) => `primary/${region}`,
  bar: (region: string) => `primary-bars/${region}`,
  guard: (region: string) => `primary-guards/${region}`,
  returning: (region: string) => `primary-returns/${region}`,
  waiting: (region: string) => `primary-waits/${region}`,
} as const;

export interface PrimaryBar extends JsonObject {
  readonly epoch: number;
  readonly execution: string;
  readonly atMs: number;
}

export interface GuardRecord extends JsonObject {
  /** Of the lease that it was written under. */
  readonly token: number;
  /** Under which the region became the active one: the record is of that time, and of no later one in which the region may serve without a lease. */
  readonly activeEpoch: number;
  /** What the guard can fence for certain, by hands that it has tried. */
  readonly components: readonly string[];
  /** Why the others are not, in words for people. */
  readonly uncovered?: { readonly [component: string]: string };
  readonly ttlMs: number;
  readonly marginMs: number;
  /** How long a look at what is to be fenced took when the hands were tried. */
  readonly triedMs: number;
  readonly atMs: number;
}

/** Why a region whose lease is held does not serve: what was fenced at the end of an earlier lease could not be started again yet. */
export interface ReturnWait extends JsonObject {
  readonly token: number;
  readonly why: string;
}

export async function readBar(
  store: StateStore,
  region: string,
): Promise<{ readonly bar: PrimaryBar; readonly revision: number } | undefined> {
  const key = primaryKeys.bar(region);
  const entry = await store.get(key);
  if (entry === undefined) return undefined;
  const bar = entry.value as PrimaryBar;
  if (typeof bar?.epoch !== 'number') throw fail('STATE_DAMAGED', { subject: key, message: 'the bar of a region can not be understood' });
  return { bar, revision: entry.revision };
}

export async function readGuardRecord(
  store: StateStore,
  region: string,
): Promise<{ readonly record: GuardRecord; readonly revision: number } | undefined> {
  const key = primaryKeys.guard(region);
  const entry = await store.get(key);
  if (entry === undefined) return undefined;
  const record = entry.value as unknown as GuardRecord;
  if (typeof record?.token !== 'number' || !Array.isArray(record.components))
    throw fail('STATE_DAMAGED', { subject: key, message: 'the record of a guard can not be understood' });
  return { record, revision: entry.revision };
}

/** With what stands there now as the expectation: a record that was sent earlier and arrives late must not come over a later one. */
export function guardRecordChange(region: string, record: GuardRecord, lease: Lease, revision: number | undefined): Change {
  return { kind: 'put', key: primaryKeys.guard(region), value: record, expected: revision ?? 'absent', lease };
}
