/**
 * Leases: who may act, kept in rows that all processes of one machine see.
 *
 * Invariant: at no instant do two holders of one name both have a Lease whose `validUntilMonotonicMs` lies ahead. The token grows whenever a lease is taken that is
 * not held.
 *
 * Why it holds. A holder counts its time from before it asked; the row's time runs from the transaction that wrote it, which is later. So a holder always stops before
 * its row runs out. It remains to say when somebody else may say that a row has run out:
 *
 * - The wall clock has no part in it. After a jump ahead a newcomer would find every lease run out while its holder still counts; after a jump back nobody could
 *   take the lease of the dead. No rule on top mends that, for a newcomer did not see the jump.
 * - CLOCK_MONOTONIC does not jump, and all processes of one boot read the same one. So the row holds the instant of that clock at which it runs out, and
 *   the boot and clock domain (a time namespace shifts the clock) that it belongs to. A reader in the same domain compares. A holder that crashed and was started
 *   again as the same name gets its lease back with the same token at once, within its time; nobody else can have acted meanwhile.
 * - A row of another boot is void: its holder died with that boot. This is why the file must lie on a disk of one machine, as SQLite's own locks demand anyway.
 * - A row of this boot whose process has ended is void at once: a process that is no more can't act on its Lease. Its id alone would not do (it may have been given to
 *   another process since), so the row holds when it started, too. A lease that something else than the
 *   process goes on acting on (a guard) is written without a process, and runs out by its time alone.
 * - A row of the same boot, but of another domain (or written where the system does not tell the boot) can not be compared. The reader then watches: only after
 *   it has itself seen the row unrenewed (same token, same count of renewals) for the row's whole time, by its own monotonic clock, has it run out. The same
 *   goes for a row that promises more time than it was written with: the clock it was written by is not ours, whatever it says (a restored snapshot).
 *
 * `hold_ms` is the time from the writing on in which nobody else may take it: a holder that asks again with a shorter time may still hold a Lease of the longer one.
 * When the process dies, its leases are free at once for processes that can tell, and run out for others.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Lease, LeaseInfo } from '../../contracts/state-store.ts';
import type { Clock, Host, Processes } from '../../host/host.ts';

interface Row {
  readonly name: string;
  readonly holder: string;
  readonly token: number;
  readonly renewals: number;
  readonly hold_ms: number;
  readonly expires_monotonic_ms: number;
  readonly monotonic_domain: string;
  readonly boot_id: string;
  readonly process: string;
  readonly released: number;
}

interface Sighting {
  readonly token: number;
  readonly renewals: number;
  readonly sinceMs: number;
}

export class Leases {
  readonly #clock: Clock;
  readonly #processes: Pick<Processes, 'self' | 'isGone'>;
  readonly #domain: string;
  readonly #bootId: string;
  readonly #names: StatementSync;
  readonly #select: StatementSync;
  readonly #upsert: StatementSync;
  readonly #release: StatementSync;
  readonly #sightings = new Map<string, Sighting>();

  constructor(database: DatabaseSync, { clock, random, processes }: Pick<Host, 'clock' | 'random' | 'processes'>) {
    this.#clock = clock;
    this.#processes = processes;
    // Without a boot nobody may compare with us. The text has to differ from every other clock's.
    this.#domain = clock.boot?.monotonicDomain ?? `alone ${Buffer.from(random.bytes(16)).toString('hex')}`;
    this.#bootId = clock.boot?.id ?? '';
    this.#names = database.prepare('SELECT name FROM leases ORDER BY name');
    this.#select = database.prepare('SELECT * FROM leases WHERE name = ?');
    this.#upsert = database.prepare('INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)');
    this.#release = database.prepare('UPDATE leases SET released = 1 WHERE name = ? AND holder = ? AND token = ?');
  }

  /** Inside a transaction. `askedMs`: by the monotonic clock, before anything was sent. */
  acquire(name: string, holder: string, ttlMs: number, askedMs: number, outlivesProcess = false): Lease {
    const row = this.#read(name);
    const held = row !== undefined && this.#isHeld(row);
    if (held && row.holder !== holder) throw heldBy(row);
    const token = held ? row.token : (row?.token ?? 0) + 1;
    this.#write(name, holder, token, ttlMs, row, held, outlivesProcess ? '' : this.#ownProcess);
    return { name, holder, token, ttlMs, validUntilMonotonicMs: askedMs + ttlMs };
  }

  /** Inside a transaction. */
  renew(lease: Lease, askedMs: number): Lease {
    const row = this.#requireOwn(lease);
    // One that outlives its process goes on doing so.
    this.#write(lease.name, lease.holder, lease.token, lease.ttlMs, row, true, row.process === '' ? '' : this.#ownProcess);
    return { ...lease, validUntilMonotonicMs: askedMs + lease.ttlMs };
  }

  /** Inside a transaction. */
  release(lease: Lease): void {
    this.#release.run(lease.name, lease.holder, lease.token);
  }

  /** Throws STATE_LEASE_LOST unless that very lease is held now. Inside the transaction that depends on it. */
  requireHeld(lease: Lease): void {
    this.#requireOwn(lease);
  }

  info(name: string): LeaseInfo | undefined {
    const row = this.#read(name);
    return row === undefined ? undefined : { name, holder: row.holder, token: row.token, held: this.#isHeld(row) };
  }

  all(): readonly LeaseInfo[] {
    return this.#names.all().flatMap(({ name }) => this.info(String(name)) ?? []);
  }

  #read(name: string): Row | undefined {
    return this.#select.get(name) as Row | undefined;
  }

  #requireOwn(lease: Lease): Row {
    const row = this.#read(lease.name);
    const isOwn =
      row !== undefined &&
      row.released === 0 &&
      row.holder === lease.holder &&
      row.token === lease.token &&
      row.monotonic_domain === this.#domain &&
      this.#clock.monotonicMs() < row.expires_monotonic_ms;
    if (!isOwn) throw lost(lease, row);
    return row;
  }

  get #ownProcess(): string {
    return this.#processes.self ?? '';
  }

  #write(name: string, holder: string, token: number, ttlMs: number, row: Row | undefined, held: boolean, process: string): void {
    const nowMs = this.#clock.monotonicMs();
    const promisedMs = held && row !== undefined ? this.#remainingMs(row, nowMs) : 0;
    const holdMs = Math.max(ttlMs, promisedMs);
    this.#upsert.run(name, holder, token, (row?.renewals ?? 0) + 1, holdMs, nowMs + holdMs, this.#domain, this.#bootId, process);
  }

  /** What an earlier Lease of the same holder may still count on, at most. */
  #remainingMs(row: Row, nowMs: number): number {
    return this.#isComparable(row, nowMs) ? row.expires_monotonic_ms - nowMs : row.hold_ms;
  }

  #isComparable(row: Row, nowMs: number): boolean {
    return row.monotonic_domain === this.#domain && row.expires_monotonic_ms - nowMs <= row.hold_ms;
  }

  #isHeld(row: Row): boolean {
    if (row.released !== 0) return false;
    if (row.boot_id !== '' && this.#bootId !== '' && row.boot_id !== this.#bootId) return false;
    if (row.process !== '' && this.#bootId !== '' && row.boot_id === this.#bootId && this.#processes.isGone?.(row.process) === true)
      return false;
    const nowMs = this.#clock.monotonicMs();
    if (this.#isComparable(row, nowMs)) {
      this.#sightings.delete(row.name);
      return nowMs < row.expires_monotonic_ms;
    }
    const seen = this.#sightings.get(row.name);
    if (seen?.token === row.token && seen.renewals === row.renewals) return nowMs - seen.sinceMs < row.hold_ms;
    this.#sightings.set(row.name, { token: row.token, renewals: row.renewals, sinceMs: nowMs });
    return true;
  }
}

function heldBy(row: Row): HoldfastError {
  return fail('STATE_LEASE_HELD', {
    message: `${row.holder} holds the lease ${row.name}`,
    subject: row.name,
    details: { holder: row.holder, token: row.token },
  });
}

function lost(lease: Lease, row: Row | undefined): HoldfastError {
  const now = row !== undefined && row.token !== lease.token ? `: ${row.holder} has it, with token ${row.token}` : ': its time is over';
  return fail('STATE_LEASE_LOST', {
    message: `${lease.holder} no longer holds the lease ${lease.name}${now}`,
    subject: lease.name,
    details: { token: lease.token },
  });
}
