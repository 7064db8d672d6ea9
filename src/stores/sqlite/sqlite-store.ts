/**
 * The control plane's state in one SQLite file: the store of one machine, shared by all of its Holdfast processes.
 *
 * Invariant: see the contract. One file belongs to one platform. The file must lie on a local disk: locks and leases hold within one machine.
 * Dying at any instant loses no commit that was acknowledged and shows none by halves.
 */
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { assert } from '../../base/assert.ts';
import { fail } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { Change, Entry, Lease, StateStore } from '../../contracts/state-store.ts';
import type { StoreReport } from '../../contracts/store-report.ts';
import type { Host } from '../../host/host.ts';
import { openDatabase } from './database.ts';
import { Leases } from './leases.ts';
import { isBusy, stateError } from './sqlite-errors.ts';
import { Watches } from './watches.ts';
import { WriteQueue } from './write-queue.ts';

export interface SqliteStoreOptions {
  readonly path: string;
  readonly host: Host;
  /** The spec's name: the file is bound to it. */
  readonly platform: string;
  /** How long a lock of another process is waited for before STATE_LOCKED. Default 5 s. */
  readonly lockedMaxMs?: number;
  /** How many revisions a watch can go back, at least. Default 10,000. */
  readonly keptRevisions?: number;
}

const lockedMaxMsDefault = 5_000;
const keptRevisionsDefault = 10_000;
/** Every so many commits the log of changes is shortened. */
const pruneEvery = 256;
const openRetryMs = 10;

export async function openSqliteStore(options: SqliteStoreOptions): Promise<StateStore> {
  const { path, host, platform } = options;
  const lockedMaxMs = options.lockedMaxMs ?? lockedMaxMsDefault;
  await host.files.makeDirectory(dirname(path), { mode: 0o700 });
  const database = await whileBusy(host, path, lockedMaxMs, () => openDatabase(path, platform));
  return new SqliteStore(database, { path, host, platform, lockedMaxMs, keptRevisions: options.keptRevisions ?? keptRevisionsDefault });
}

/** Does it again while another process holds the lock. */
async function whileBusy<T>(host: Host, path: string, lockedMaxMs: number, work: () => T): Promise<T> {
  const deadlineMs = host.clock.monotonicMs() + lockedMaxMs;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || host.clock.monotonicMs() >= deadlineMs) throw stateError(error, path);
    }
    await host.clock.sleep(openRetryMs);
  }
}

interface Row {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

/** A change whose value is already text: nothing may fail inside the transaction that could fail before it. */
interface Prepared {
  readonly change: Change;
  readonly text: string | null;
}

class SqliteStore implements StateStore {
  readonly #database: DatabaseSync;
  readonly #options: Required<SqliteStoreOptions>;
  readonly #leases: Leases;
  readonly #watches: Watches;
  readonly #queue: WriteQueue;
  readonly #statements: Statements;
  #closed = false;

  constructor(database: DatabaseSync, options: Required<SqliteStoreOptions>) {
    const { host, path } = options;
    this.#database = database;
    this.#options = options;
    this.#leases = new Leases(database, host);
    this.#watches = new Watches(database, host, path);
    this.#queue = new WriteQueue(database, host, path, options.lockedMaxMs, () => this.#watches.notice());
    this.#statements = prepareStatements(database);
  }

  async get(key: string): Promise<Entry | undefined> {
    requireKey(key);
    const row = (await this.#read(() => this.#statements.get.get(key))) as Row | undefined;
    return row === undefined ? undefined : entryOf(row);
  }

  async range(
    prefix: string,
    options: { readonly limit?: number; readonly after?: string; readonly reverse?: boolean } = {},
  ): Promise<readonly Entry[]> {
    const { limit = -1, after, reverse = false } = options;
    // Keys are printable ASCII, so this sorts after all that start with the prefix.
    const end = `${prefix}\x7f`;
    const statement = reverse ? this.#statements.rangeReverse : this.#statements.range;
    const rows = await this.#read(() => statement.all(prefix, end, after ?? (reverse ? '\x7f' : ''), limit));
    return (rows as unknown as Row[]).map(entryOf);
  }

  async commit(changes: readonly Change[]): Promise<number> {
    const prepared = changes.map(prepareChange);
    assert(new Set(changes.map((change) => change.key)).size === changes.length, 'a commit names each key once');
    return this.#queue.write(() => this.#apply(prepared));
  }

  watch(prefix: string, listener: Parameters<StateStore['watch']>[1], options?: Parameters<StateStore['watch']>[2]): () => void {
    this.#requireOpen();
    try {
      return this.#watches.add(prefix, listener, options);
    } catch (error) {
      throw stateError(error, this.#options.path);
    }
  }

  async acquireLease(
    name: string,
    holder: string,
    ttlMs: number,
    { outlivesProcess = false }: { readonly outlivesProcess?: boolean } = {},
  ): Promise<Lease> {
    assert(ttlMs > 0, 'a lease lasts for some time');
    const askedMs = this.#options.host.clock.monotonicMs();
    return this.#queue.write(() => this.#leases.acquire(name, holder, ttlMs, askedMs, outlivesProcess));
  }

  renewLease(lease: Lease): Promise<Lease> {
    const askedMs = this.#options.host.clock.monotonicMs();
    return this.#queue.write(() => this.#leases.renew(lease, askedMs));
  }

  releaseLease(lease: Lease): Promise<void> {
    return this.#queue.write(() => this.#leases.release(lease));
  }

  readLease(name: string): ReturnType<StateStore['readLease']> {
    return this.#read(() => this.#leases.info(name));
  }

  async readReport(): Promise<StoreReport> {
    return this.#read(() => {
      const numberOf = (sql: string): number => Number(Object.values(this.#database.prepare(sql).get() ?? {})[0]);
      const pageBytes = numberOf('PRAGMA page_size');
      const pages = numberOf('PRAGMA page_count');
      return {
        kind: 'sqlite',
        place: this.#options.path,
        revision: numberOf('SELECT revision FROM store'),
        sizeBytes: pages * pageBytes,
        sizeInUseBytes: (pages - numberOf('PRAGMA freelist_count')) * pageBytes,
        isFull: false,
        members: [],
        leases: this.#leases.all(),
      };
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watches.close();
    await this.#queue.close();
    this.#database.close();
  }

  async #read<T>(work: () => T): Promise<T> {
    const { host, path, lockedMaxMs } = this.#options;
    return whileBusy(host, path, lockedMaxMs, () => {
      this.#requireOpen();
      return work();
    });
  }

  #requireOpen(): void {
    if (this.#closed) throw fail('INTERRUPTED', { message: 'the state is closed', subject: this.#options.path });
  }

  /** Inside a transaction: looks at every expectation first, then writes. */
  #apply(prepared: readonly Prepared[]): number {
    const present = new Set<string>();
    for (const { change } of prepared) {
      const row = this.#statements.get.get(change.key) as Row | undefined;
      if (row !== undefined) present.add(change.key);
      if (change.kind === 'put' && change.lease !== undefined) this.#leases.requireHeld(change.lease);
      requireExpected(change, row?.revision);
    }
    const revision = Number(this.#statements.nextRevision.get()?.revision);
    for (const [place, { change, text }] of prepared.entries()) {
      if (text !== null) this.#statements.put.run(change.key, text, revision);
      else if (present.has(change.key)) this.#statements.delete.run(change.key);
      else continue; // nothing was there: nothing changed
      this.#statements.log.run(revision, place, change.key, text);
    }
    if (revision % pruneEvery === 0) this.#prune(revision - this.#options.keptRevisions);
    return revision;
  }

  #prune(upTo: number): void {
    if (upTo <= 0) return;
    this.#statements.prune.run(upTo);
    this.#statements.markPruned.run(upTo);
  }
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(
  database: DatabaseSync,
): Record<'get' | 'range' | 'rangeReverse' | 'nextRevision' | 'put' | 'delete' | 'log' | 'prune' | 'markPruned', StatementSync> {
  return {
    get: database.prepare('SELECT key, value, revision FROM entries WHERE key = ?'),
    range: database.prepare('SELECT key, value, revision FROM entries WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?'),
    rangeReverse: database.prepare(
      'SELECT key, value, revision FROM entries WHERE key >= ? AND key < ? AND key < ? ORDER BY key DESC LIMIT ?',
    ),
    nextRevision: database.prepare('UPDATE store SET revision = revision + 1 RETURNING revision'),
    put: database.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?)'),
    delete: database.prepare('DELETE FROM entries WHERE key = ?'),
    log: database.prepare('INSERT INTO changes VALUES (?, ?, ?, ?)'),
    prune: database.prepare('DELETE FROM changes WHERE revision <= ?'),
    markPruned: database.prepare('UPDATE store SET pruned_revision = ?'),
  };
}

function prepareChange(change: Change): Prepared {
  requireKey(change.key);
  if (change.kind === 'delete') return { change, text: null };
  const text: string | undefined = JSON.stringify(change.value);
  assert(text !== undefined, `the value of ${change.key} is JSON`);
  return { change, text };
}

function requireExpected(change: Change, revision: number | undefined): void {
  if (change.expected === 'any') return;
  if (change.expected === 'absent' ? revision === undefined : revision === change.expected) return;
  const is = revision === undefined ? 'is absent' : `has revision ${revision}`;
  throw fail('STATE_CONFLICT', {
    message: `${change.key} ${is}; expected: ${change.expected}`,
    subject: change.key,
    details: { key: change.key, ...(revision === undefined ? {} : { revision }) },
  });
}

function requireKey(key: string): void {
  assert(/^[!-~]+$/.test(key), `a key is printable ASCII without spaces: ${key}`);
}

function entryOf(row: Row): Entry {
  return { key: row.key, value: JSON.parse(row.value) as Json, revision: row.revision };
}
