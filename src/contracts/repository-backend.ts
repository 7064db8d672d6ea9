/**
 * Where backups are kept: a flat space of write-once objects. A directory, a bucket. Everything above (what the objects mean, keys, digests, retention) is the repository's, in
 * src/backups; a backend stores bytes and says truly what happened to them.
 *
 * Names are relative, made of the characters `A-Z a-z 0-9 . _ - = /`, without empty, `.` or `..` parts, at most 512 characters. An object is at most `objectMaxBytes` long, so it
 * is handed over whole: memory is bounded by the number of objects under way, which the caller bounds.
 */
import type { JsonObject } from '../base/json.ts';

export const objectMaxBytes = 32 * 1024 * 1024;

export interface StoredObject {
  readonly name: string;
  readonly sizeBytes: number;
  /** By the clock of the store. */
  readonly modifiedMs: number;
}

export interface ObjectFacts extends StoredObject {
  /** Until when the store itself refuses to remove it, where it was asked to and says so. */
  readonly lockedUntilMs?: number;
  /** Whether a copy in another region exists: `done` only where the store says so of this very object. Undefined where there is no replication. */
  readonly replication?: 'done' | 'pending' | 'failed' | 'not-eligible';
  /** The key by which the store itself encrypts it, as the store names it. */
  readonly storeKey?: string;
}

/** What a store was seen to do, by trying it. Kept in the repository and obeyed. */
export interface BackendCapabilities extends JsonObject {
  /** A second put of the same name is refused, also in a race. Without it a repository is not made. */
  readonly putIfAbsent: boolean;
  /** What was written is read and listed at once. */
  readonly readAfterWrite: boolean;
  /** The store checks a digest that is sent along. */
  readonly checksums: boolean;
  /** The store can refuse to remove an object for a time. */
  readonly lock: boolean;
  /** The store's clock less ours, in milliseconds; null where the store does not tell the time. */
  readonly clockSkewMs: number | null;
  /** What was found, for people. */
  readonly notes: readonly string[];
}

export interface RepositoryBackend {
  /** For people: `directory /srv/backups`, `s3://dr-backups/orders/`. No secrets. */
  readonly name: string;
  /**
   * Creates the object; never changes one. `exists`: an object of that name is there already (whatever its content). Not durable before `barrier()`. A failed or interrupted put
   * leaves no object, or leaves it whole. `lockUntilMs` is obeyed or refused (STORE_NO_LOCK), never forgotten.
   * Errors: STORE_FULL, STORE_NOT_ALLOWED, STORE_UNREACHABLE (transient), STORE_OUTCOME_UNKNOWN (sent, no answer: `head` tells), STORE_MISSING_PLACE (no such directory or bucket).
   */
  put(
    name: string,
    content: Uint8Array,
    options?: { readonly lockUntilMs?: number; readonly signal?: AbortSignal },
  ): Promise<'created' | 'exists'>;
  /** The object's bytes, whole or a range (`from` inclusive, `to` exclusive; a range past the end is cut). Length is checked against what the store promised. Missing: STORE_NO_OBJECT. */
  get(name: string, options?: { readonly from?: number; readonly to?: number; readonly signal?: AbortSignal }): Promise<Uint8Array>;
  /** Undefined where there is no such object. */
  head(name: string, signal?: AbortSignal): Promise<ObjectFacts | undefined>;
  /** All objects whose names begin with the prefix (a plain prefix, not a folder), in ascending order of names by code points, page by page. */
  list(prefix: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncIterable<StoredObject>;
  /** Removes it; nothing happens where it is not there. A lock: STORE_LOCKED. */
  remove(name: string, signal?: AbortSignal): Promise<void>;
  /** Resolves once every put that had resolved before is durable. One per backup, not one per object. */
  barrier(): Promise<void>;
  /** Tries what the store can do, with objects under the prefix `probe/`, and removes them. */
  probe(signal: AbortSignal): Promise<BackendCapabilities>;
  close(): Promise<void>;
}
