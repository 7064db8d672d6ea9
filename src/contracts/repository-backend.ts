/**
 * Where backups are kept: a flat space of write-once objects. A directory, a bucket. Everything above (what the objects mean, keys, digests, retention) is the repository's, in
 * src/backups; a backend stores bytes and says truly what happened to them.
 *
 * Names are those that `assertObjectName` lets pass, and none is another's folder: where there is `a/b` there is no `a` (directories, and services that keep objects as files, can't
 * hold both). An object is at most `objectMaxBytes` long, so it is handed over whole: memory is bounded by the number of objects under way, which the caller bounds.
 */
import type { z } from 'zod';
import { assert } from '../base/assert.ts';
import type { JsonObject } from '../base/json.ts';
import type { Host } from '../host/host.ts';
import type { KeyVault } from './key-vault.ts';

export const objectMaxBytes = 32 * 1024 * 1024;

const nameMaxCharacters = 512;
/** A part ends up as the name of a file, and a temporary file beside it has a longer one. No part begins with a dot: those are files that are not ours, or not finished. */
const partPattern = /^(?!\.)[A-Za-z0-9._=-]{1,200}$/;

export function isObjectName(name: string): boolean {
  return name.length <= nameMaxCharacters && name.split('/').every((part) => partPattern.test(part));
}

/** Relative, of the characters `A-Z a-z 0-9 . _ - =` and `/` between parts, without empty parts or such that begin with a dot. */
export function assertObjectName(name: string): void {
  assert(isObjectName(name), `"${name}" is a name that an object can have`);
}

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
  /**
   * The object's bytes, whole or a range (`from` inclusive, `to` exclusive; a range past the end is cut). Length is checked against what the store promised. They are the caller's own, to change as it likes. Missing: STORE_NO_OBJECT.
   * `into` is memory that they may be put into where they fit: the answer says where they are.
   */
  get(
    name: string,
    options?: { readonly from?: number; readonly to?: number; readonly into?: Uint8Array; readonly signal?: AbortSignal },
  ): Promise<Uint8Array>;
  /** Memory of the kind that this store puts from, and gets `into`, with the least work. Absent: any is as good. For buffers that are used again and again. */
  directMemory?(bytes: number): Uint8Array;
  /** Undefined where there is no such object. */
  head(name: string, signal?: AbortSignal): Promise<ObjectFacts | undefined>;
  /** All objects whose names begin with the prefix (a plain prefix, not a folder), in ascending order of names by code points, page by page. */
  list(prefix: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncIterable<StoredObject>;
  /** Removes it; nothing happens where it is not there. A lock: STORE_LOCKED. */
  remove(name: string, signal?: AbortSignal): Promise<void>;
  /** Resolves once every put that had resolved before is durable. One per backup, not one per object. */
  barrier(): Promise<void>;
  /** Makes the place itself where that can be done (a directory, with its parents); a bucket must be there. Called when a repository is created, never later: an unmounted disk must not become one. */
  ensurePlace?(): Promise<void>;
  /** Tries what the store can do, with objects under the prefix `probe/`, and removes them. */
  probe(signal: AbortSignal): Promise<BackendCapabilities>;
  close(): Promise<void>;
}

/** What the spec says of every repository, as far as it is the store's own matter. */
export interface StoreWishes {
  /** The key management service's key by which the store itself is to encrypt (`encryption: { kms: ... }`). Obeyed or refused (STORE_NO_KEY_SERVICE) by the first put, never forgotten. */
  readonly storeKey?: string;
}

/** One kind of place for backups: a folder of src/repositories, whose `backend.ts` exports it as `backend`. */
export interface RepositoryBackendFactory<O = never> {
  /** As the spec names it under `driver`, and as its folder: `filesystem`. */
  readonly name: string;
  /** As people write it: `A directory`. */
  readonly title: string;
  /** A strict object with a description on every key: the repository's keys in the spec beside those that every repository has (`driver`, `encryption`, `lock`). */
  readonly options: z.ZodType<O>;
  /** Does no I/O yet. */
  open(options: O, host: Host, wishes?: StoreWishes): RepositoryBackend;
  /** Where a key management service stands beside the store: the one that opens the repository's own key. Does no I/O yet. */
  openKeyVault?(options: O, host: Host, key: string): KeyVault;
}

/** A factory whose options type is forgotten: what the registry holds. */
// biome-ignore lint/suspicious/noExplicitAny: the options of unlike backends have nothing in common; each is checked by its own schema before open() sees it.
export type AnyRepositoryBackendFactory = RepositoryBackendFactory<any>;

export type RepositoryCatalog = ReadonlyMap<string, AnyRepositoryBackendFactory>;

/** Keeps the options type together while a backend is written. */
export function defineRepositoryBackend<O>(factory: RepositoryBackendFactory<O>): RepositoryBackendFactory<O> {
  return factory;
}
