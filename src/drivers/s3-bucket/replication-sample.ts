/**
 * How the newest objects fare: asked one by one, for the service tells it of each object only.
 *
 * Invariant: an object counts as replicated only by its own word. One of which nothing is said is covered by no rule (it was there before the rule, or its name, or its key, is left out): that is no
 * copy. One whose copy's region is down stays PENDING, not FAILED: so age decides.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Bucket, ListedObject, ObjectState } from './client.ts';

export interface ReplicationSample {
  readonly looked: number;
  readonly replicated: number;
  readonly pending: number;
  /** Of those, older than is allowed. */
  readonly late: readonly string[];
  readonly oldestPendingMs: number;
  readonly failed: readonly string[];
  /** No rule covers them. */
  readonly uncovered: readonly string[];
  /** Said to be replicated, and not found in the other bucket. */
  readonly missing: readonly string[];
  /** False where the bucket holds more than was listed. */
  readonly whole: boolean;
}

export interface SampleOptions {
  readonly prefix: string;
  readonly count: number;
  readonly allowedMs: number;
  readonly nowMs: number;
  /** What is written here comes from elsewhere. */
  readonly receives: boolean;
  /** Where the copies are to be; empty where they can't be asked for. */
  readonly copies: readonly Bucket[];
}

const atOnce = 5;
const copiesLookedFor = 3;
const replicatedWords = new Set(['COMPLETED', 'COMPLETE', 'REPLICA']);

export async function sampleReplication(bucket: Bucket, options: SampleOptions, signal: AbortSignal): Promise<ReplicationSample> {
  const { objects, whole } = await bucket.newest(options.prefix, options.count, signal);
  const states = await inTurns(objects, async (object) => ({ object, state: await bucket.head(object.key, undefined, signal) }));
  // What was removed in between is no object any more.
  const seen = states.filter((each): each is { object: ListedObject; state: ObjectState } => each.state !== undefined);
  const withStatus = (...words: readonly (string | undefined)[]) => seen.filter(({ state }) => words.includes(state.replication));
  const pending = withStatus('PENDING');
  const ageMs = ({ object }: { object: ListedObject }) => options.nowMs - object.modifiedMs;
  const replicated = seen.filter(({ state }) => replicatedWords.has(state.replication ?? ''));
  return {
    looked: seen.length,
    replicated: replicated.length,
    pending: pending.length,
    late: keysOf(pending.filter((each) => ageMs(each) > options.allowedMs)),
    oldestPendingMs: Math.max(0, ...pending.map(ageMs)),
    failed: keysOf(withStatus('FAILED')),
    uncovered: options.receives ? [] : keysOf(withStatus(undefined)),
    missing: options.receives
      ? []
      : await findMissing(withStatus('COMPLETED', 'COMPLETE').slice(0, copiesLookedFor), options.copies, signal),
    whole,
  };
}

function keysOf(all: readonly { readonly object: ListedObject }[]): readonly string[] {
  return all.map(({ object }) => object.key);
}

/** The very version, for that is what was copied. A bucket that can't be reached now says nothing of its objects: it has a site of its own that tells. */
async function findMissing(
  all: readonly { readonly object: ListedObject; readonly state: ObjectState }[],
  copies: readonly Bucket[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const { object, state } of all) {
    for (const copy of copies) {
      try {
        if ((await copy.head(object.key, state.versionId, signal)) === undefined) missing.push(`${object.key} in ${copy.name}`);
      } catch (error) {
        if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
      }
    }
  }
  return missing;
}

async function inTurns<T, R>(all: readonly T[], work: (each: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (let at = 0; at < all.length; at += atOnce) results.push(...(await Promise.all(all.slice(at, at + atOnce).map(work))));
  return results;
}
