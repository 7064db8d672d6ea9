/**
 * The state store in memory, for tests and the simulator: one state, any number of clients, each with its own clock.
 *
 * It behaves as a server would: leases run out by the server's clock, while a holder counts its time by its own, from before it asked. Events are delivered in
 * later turns, in order. Nothing survives the process. The conformance suite that the real stores pass runs over it.
 */
import { assert } from '../../src/base/assert.ts';
import { fail } from '../../src/base/errors.ts';
import type { Json } from '../../src/base/json.ts';
import type { Change, Entry, Lease, LeaseInfo, StateStore, StoreEvent } from '../../src/contracts/state-store.ts';
import type { Clock } from '../../src/host/host.ts';

export interface MemoryState {
  /** A client. Without a clock of its own it counts by the server's. */
  open(clock?: Clock): StateStore;
  /** Who has the lease at this very instant, for those who look from outside. */
  leaseNow(name: string): LeaseInfo | undefined;
  /** What a server does whose leader has changed: every lease that is held gets its whole time again. */
  lengthenLeases(): void;
}

interface LeaseRow {
  readonly holder: string;
  readonly token: number;
  readonly expiresMs: number;
  readonly ttlMs: number;
}

interface Watch {
  readonly prefix: string;
  readonly listener: (event: StoreEvent) => void;
  readonly onError: ((error: Error) => void) | undefined;
  seen: number;
}

type WatchOptions = Parameters<StateStore['watch']>[2];
type RangeOptions = Parameters<StateStore['range']>[1];

export function memoryState(clock: Clock): MemoryState {
  const state = new State(clock);
  return {
    open: (own = clock) => client(state, own),
    leaseNow: (name) => state.leaseInfo(name),
    lengthenLeases: () => state.lengthenLeases(),
  };
}

class State {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #log: StoreEvent[] = [];
  readonly #leases = new Map<string, LeaseRow>();
  readonly watches = new Set<Watch>();
  /** Sorted keys by prefix, as long as no key comes or goes. */
  readonly #keys = new Map<string, readonly string[]>();
  #revision = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry;
  }

  range(prefix: string, { limit = Number.POSITIVE_INFINITY, after, reverse = false }: NonNullable<RangeOptions>): Entry[] {
    const sorted = this.#keysUnder(prefix);
    const keys = reverse ? sorted.toReversed() : sorted;
    const rest = after === undefined ? keys : keys.filter((key) => (reverse ? key < after : key > after));
    return rest.slice(0, limit).map((key) => this.get(key) as Entry);
  }

  #keysUnder(prefix: string): readonly string[] {
    let keys = this.#keys.get(prefix);
    if (keys === undefined) {
      keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
      this.#keys.set(prefix, keys);
    }
    return keys;
  }

  commit(changes: readonly Change[]): number {
    assert(new Set(changes.map((change) => change.key)).size === changes.length, 'a commit names each key once');
    for (const change of changes) {
      assert(/^[!-~]+$/.test(change.key), `a key is printable ASCII without spaces: ${change.key}`);
      if (change.kind === 'put' && change.lease !== undefined) this.#requireHeld(change.lease);
      requireExpected(change, this.#entries.get(change.key)?.revision);
    }
    this.#revision += 1;
    for (const change of changes) this.#apply(change, this.#revision);
    for (const watch of this.watches) this.wake(watch);
    return this.#revision;
  }

  #apply(change: Change, revision: number): void {
    const { key } = change;
    if (change.kind === 'put') {
      // Frozen, it can be handed to everybody: whoever tried to change it would hear of that.
      const value = freezeAll(JSON.parse(JSON.stringify(change.value)) as Json);
      if (!this.#entries.has(key)) this.#keys.clear();
      this.#entries.set(key, Object.freeze({ key, value, revision }));
      this.#log.push(Object.freeze({ kind: 'put', key, value, revision }));
    } else if (this.#entries.delete(key)) {
      this.#keys.clear();
      this.#log.push(Object.freeze({ kind: 'delete', key, value: undefined, revision }));
    }
  }

  addWatch(prefix: string, listener: Watch['listener'], options: WatchOptions): Watch {
    const after = options?.afterRevision;
    const first = after === undefined ? this.#log.length : this.#log.findIndex((event) => event.revision > after);
    const watch: Watch = { prefix, listener, onError: options?.onError, seen: first === -1 ? this.#log.length : first };
    this.watches.add(watch);
    this.wake(watch);
    return watch;
  }

  wake(watch: Watch): void {
    queueMicrotask(() => {
      while (this.watches.has(watch) && watch.seen < this.#log.length) {
        const event = this.#log[watch.seen] as StoreEvent;
        watch.seen += 1;
        if (event.key.startsWith(watch.prefix)) this.#tell(watch, event);
      }
    });
  }

  #tell(watch: Watch, event: StoreEvent): void {
    try {
      watch.listener(event);
    } catch (error) {
      this.watches.delete(watch);
      if (watch.onError === undefined) throw error;
      watch.onError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  acquire(name: string, holder: string, ttlMs: number): number {
    assert(ttlMs > 0, 'a lease lasts for some time');
    const row = this.#leases.get(name);
    const held = row !== undefined && this.#isHeld(row);
    if (held && row.holder !== holder) {
      const details = { holder: row.holder, token: row.token };
      throw fail('STATE_LEASE_HELD', { message: `${row.holder} holds the lease ${name}`, subject: name, details });
    }
    const token = held ? row.token : (row?.token ?? 0) + 1;
    const expiresMs = Math.max(this.#clock.monotonicMs() + ttlMs, held ? row.expiresMs : 0);
    this.#leases.set(name, { holder, token, expiresMs, ttlMs });
    return token;
  }

  renew(lease: Lease): void {
    const row = this.#requireHeld(lease);
    this.#leases.set(lease.name, { ...row, expiresMs: Math.max(row.expiresMs, this.#clock.monotonicMs() + lease.ttlMs) });
  }

  release(lease: Lease): void {
    const row = this.#leases.get(lease.name);
    if (row?.holder === lease.holder && row.token === lease.token)
      this.#leases.set(lease.name, { ...row, expiresMs: Number.NEGATIVE_INFINITY });
  }

  lengthenLeases(): void {
    for (const [name, row] of this.#leases)
      if (this.#isHeld(row)) this.#leases.set(name, { ...row, expiresMs: Math.max(row.expiresMs, this.#clock.monotonicMs() + row.ttlMs) });
  }

  leaseInfo(name: string): LeaseInfo | undefined {
    const row = this.#leases.get(name);
    return row === undefined ? undefined : { name, holder: row.holder, token: row.token, held: this.#isHeld(row) };
  }

  #isHeld(row: LeaseRow): boolean {
    return this.#clock.monotonicMs() < row.expiresMs;
  }

  #requireHeld(lease: Lease): LeaseRow {
    const row = this.#leases.get(lease.name);
    if (row !== undefined && row.holder === lease.holder && row.token === lease.token && this.#isHeld(row)) return row;
    throw fail('STATE_LEASE_LOST', { message: `${lease.holder} no longer holds the lease ${lease.name}`, subject: lease.name });
  }
}

function freezeAll<T extends Json>(value: T): T {
  if (value === null || typeof value !== 'object') return value;
  for (const part of Object.values(value)) if (part !== undefined) freezeAll(part);
  return Object.freeze(value);
}

function requireExpected(change: Change, revision: number | undefined): void {
  if (change.expected === 'any') return;
  if (change.expected === 'absent' ? revision === undefined : revision === change.expected) return;
  throw fail('STATE_CONFLICT', {
    message: `${change.key} ${revision === undefined ? 'is absent' : `has revision ${revision}`}; expected: ${change.expected}`,
    subject: change.key,
    details: { key: change.key, ...(revision === undefined ? {} : { revision }) },
  });
}

function client(state: State, clock: Clock): StateStore {
  const watches = new Set<Watch>();
  let closed = false;
  const requireOpen = (): void => {
    if (closed) throw fail('INTERRUPTED', { message: 'the state is closed' });
  };
  return {
    async get(key) {
      requireOpen();
      return state.get(key);
    },
    async range(prefix, options = {}) {
      requireOpen();
      return state.range(prefix, options);
    },
    async commit(changes) {
      requireOpen();
      return state.commit(changes);
    },
    watch(prefix, listener, options) {
      requireOpen();
      const watch = state.addWatch(prefix, listener, options);
      watches.add(watch);
      return () => {
        watches.delete(watch);
        state.watches.delete(watch);
      };
    },
    async acquireLease(name, holder, ttlMs) {
      requireOpen();
      const askedMs = clock.monotonicMs();
      return { name, holder, token: state.acquire(name, holder, ttlMs), ttlMs, validUntilMonotonicMs: askedMs + ttlMs };
    },
    async renewLease(lease) {
      requireOpen();
      const askedMs = clock.monotonicMs();
      state.renew(lease);
      return { ...lease, validUntilMonotonicMs: askedMs + lease.ttlMs };
    },
    async releaseLease(lease) {
      requireOpen();
      state.release(lease);
    },
    async readLease(name) {
      requireOpen();
      return state.leaseInfo(name);
    },
    async close() {
      closed = true;
      for (const watch of watches) state.watches.delete(watch);
    },
  };
}
