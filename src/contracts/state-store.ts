/**
 * All the state that the control plane needs: keys and JSON values with revisions, compare-and-swap, watch and leases.
 *
 * Every successful change gets the next revision of the whole store; an entry carries the revision of its last change. A call that resolved is durable. Keys are
 * paths of lower-case words: `executions/failover-01.../events/000012`.
 */
import type { Json } from '../base/json.ts';
import type { StoreReport } from './store-report.ts';

export interface Entry {
  readonly key: string;
  readonly value: Json;
  readonly revision: number;
}

/** What must hold for a change to happen: the entry's revision, or `absent`, or nothing at all. */
export type Expected = number | 'absent' | 'any';

export type Change =
  | { readonly kind: 'put'; readonly key: string; readonly value: Json; readonly expected: Expected; readonly lease?: Lease }
  | { readonly kind: 'delete'; readonly key: string; readonly expected: Expected };

export interface StoreEvent {
  readonly kind: 'put' | 'delete';
  readonly key: string;
  /** Undefined for a deletion. */
  readonly value: Json | undefined;
  readonly revision: number;
}

/**
 * A lease is held by one holder at a time, for `ttlMs` after each renewal. Its `token` grows each time that it changes hands: a fencing token. A put that
 * names a lease succeeds only while that very holder still has it, and is STATE_LEASE_LOST otherwise.
 */
export interface Lease {
  readonly name: string;
  readonly holder: string;
  readonly token: number;
  readonly ttlMs: number;
  /** By the holder's monotonic clock, counted from before the request was sent: act no longer than this. */
  readonly validUntilMonotonicMs: number;
}

export interface LeaseInfo {
  readonly name: string;
  readonly holder: string;
  readonly token: number;
  /** False once its time is over: another may take it. */
  readonly held: boolean;
}

export interface StateStore {
  /** The entry, or undefined. */
  get(key: string): Promise<Entry | undefined>;
  /** Entries whose keys start with the prefix, by key, at most `limit` (default all), after the key `after`. */
  range(
    prefix: string,
    options?: { readonly limit?: number; readonly after?: string; readonly reverse?: boolean },
  ): Promise<readonly Entry[]>;
  /**
   * All changes or none, in one durable step. Resolves to the new revision. STATE_CONFLICT (details.key) when an expectation does not hold, STATE_LEASE_LOST when a
   * lease is gone, STATE_FULL, STATE_LOCKED. When the outcome can't be known: STATE_CONFLICT is never used for that; the error is SYSTEM_OUTCOME_UNKNOWN.
   * `answerWithinMs`: no longer is an answer waited for, where a store has to wait for one at all; for a caller who can tell by the expectations of its next commit what became of this one.
   */
  commit(changes: readonly Change[], options?: { readonly answerWithinMs?: number }): Promise<number>;
  /**
   * Calls back with every change under the prefix after `afterRevision` (default: from now on), in order, each once; also changes made by other processes. The
   * returned function ends it. `onError` is told when the watch is lost for good.
   */
  watch(
    prefix: string,
    listener: (event: StoreEvent) => void,
    options?: { readonly afterRevision?: number; readonly onError?: (error: Error) => void },
  ): () => void;
  /**
   * STATE_LEASE_HELD (details.holder) while another holder has it. The same holder gets it again with the same token. With `outlivesProcess` its time counts although the process that
   * took it has ended: something else goes on acting on it. `isNew`: its name has just been made up, so that a store may save the look at who holds it.
   */
  acquireLease(
    name: string,
    holder: string,
    ttlMs: number,
    options?: { readonly outlivesProcess?: boolean; readonly isNew?: boolean },
  ): Promise<Lease>;
  /** STATE_LEASE_LOST when it has changed hands or run out. */
  renewLease(lease: Lease): Promise<Lease>;
  /** Gives it up at once; nothing happens where it is already lost. */
  releaseLease(lease: Lease): Promise<void>;
  readLease(name: string): Promise<LeaseInfo | undefined>;
  /** Absent where there is nothing to tell that people would want to know. */
  readReport?(): Promise<StoreReport>;
  close(): Promise<void>;
}
