/**
 * Which instant a backup comes back to. BASE_BACKUP tells where in the log it ended, not when; so the server's clock and the end of its log are read together, again and again,
 * while it runs.
 *
 * Invariant: what is reported was read before the place that is asked for had been written: the clock first, then the row, then the end of the log.
 */
import type { CanaryRow } from '../../../contracts/canary.ts';
import type { Clock, Log } from '../../../host/host.ts';
import { type Lsn, parseLsn } from '../lsn.ts';
import type { SqlSession } from './sql-session.ts';

interface Reading {
  readonly atMs: number;
  readonly lsn: Lsn;
  readonly canary: CanaryRow | undefined;
}

const everyMs = 200;

export class ConsistencyWatch {
  readonly #session: SqlSession;
  readonly #clock: Clock;
  readonly #text: string;
  readonly #values: readonly unknown[];
  readonly #readings: Reading[] = [];
  readonly #end = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(session: SqlSession, clock: Clock, text: string, values: readonly unknown[]) {
    this.#session = session;
    this.#clock = clock;
    this.#text = text;
    this.#values = values;
  }

  static async start(session: SqlSession, clock: Clock, component: string, inRecovery: boolean, log: Log): Promise<ConsistencyWatch> {
    const lsn = inRecovery ? 'pg_last_wal_replay_lsn()' : 'pg_current_wal_insert_lsn()';
    const { canary } = await session.row(`SELECT to_regclass('holdfast.canary') IS NOT NULL AND has_schema_privilege('holdfast', 'USAGE')
      AND has_table_privilege('holdfast.canary', 'SELECT') AS canary WHERE to_regnamespace('holdfast') IS NOT NULL`);
    const row =
      canary === true
        ? `(SELECT json_build_object('number', number::text, 'atMs', at_ms::text, 'epoch', epoch::text)::text FROM holdfast.canary WHERE component = $1)`
        : 'NULL::text';
    const text = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at_ms, ${row} AS canary, ${lsn}::text AS lsn`;
    const watch = new ConsistencyWatch(session, clock, text, canary === true ? [component] : []);
    await watch.read();
    watch.#running = watch.#watch(log);
    return watch;
  }

  async #watch(log: Log): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.#clock.sleep(everyMs, this.#end.signal).catch(() => undefined);
      if (this.#end.signal.aborted) return;
      try {
        await this.read();
      } catch (error) {
        // The readings so far stay true; the backup is dated earlier than it could be.
        log.warn('backup-clock-lost', { message: (error as Error).message });
        return;
      }
    }
  }

  async read(): Promise<Reading> {
    const row = await this.#session.row(this.#text, this.#values);
    const canary = row['canary'] === null ? undefined : (JSON.parse(String(row['canary'])) as Record<keyof CanaryRow, string>);
    const reading = {
      atMs: Math.floor(Number(row['at_ms'])),
      lsn: parseLsn(String(row['lsn'])),
      canary: canary && { number: Number(canary.number), atMs: Number(canary.atMs), epoch: Number(canary.epoch) },
    };
    this.#readings.push(reading);
    // A backup may run for a day: of what lies behind, the first and some of the last are enough.
    if (this.#readings.length > 2_000) this.#readings.splice(1, 1_000);
    return reading;
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  /** The newest that was read before the log had come to this place. */
  newestBefore(lsn: Lsn): Reading | undefined {
    return this.#readings.filter((reading) => reading.lsn <= lsn).at(-1);
  }
}
