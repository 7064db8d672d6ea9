/**
 * The fingerprint of a server's content at the end of a backup: in all databases that can be entered, at one exact place of the log where one can be had.
 *
 * It comes after the files, for only what lies behind the end of a backup can be recovered to. A mark is written into the log right behind the place, so that a recovery finds a record there to
 * stop before, also where nobody writes.
 */
import type { Fingerprint, FingerprintEntry } from '../../../contracts/backup.ts';
import { type Lsn, parseLsn, positionAt } from '../lsn.ts';
import { addressOf } from '../options.ts';
import { type ExactSnapshot, takeExactSnapshot, takeOwnSnapshots } from './exact-snapshot.ts';
import { formatSample, planFingerprint, type TableShare } from './fingerprint-plan.ts';
import { type FingerprintTable, readTables } from './fingerprint-tables.ts';
import type { PostgresqlSite } from './postgresql-site.ts';
import { refusalState, SqlSession } from './sql-session.ts';
import { countTable, digestSettings, digestTable } from './table-digest.ts';

const databasesMost = 16;
/** From here on a second session digests beside the first. */
const secondFromBytes = 16 * 1024 * 1024;

export interface FingerprintRequest {
  readonly site: PostgresqlSite;
  readonly control: SqlSession;
  readonly databases: readonly string[];
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly key: Uint8Array;
  readonly signal: AbortSignal;
  /** `exact`: all databases at one place of the log. `own`: each one's own moment, which a dump of it shares; rows that are written anew lie elsewhere, so parts of tables are only counted. */
  readonly moment: 'exact' | 'own';
}

/** Snapshots that are open, at their place; the digests are computed while the log arrives where it is kept. */
export class OpenFingerprint {
  readonly snapshot: ExactSnapshot<FingerprintTable>;
  /** The snapshots' own sessions, by database; for pg_dump too, which takes over a snapshot by its name. */
  readonly sessions: ReadonlyMap<string, SqlSession>;
  readonly #request: FingerprintRequest;
  readonly #tables: readonly FingerprintTable[];
  readonly #limits: readonly string[];

  private constructor(
    request: FingerprintRequest,
    sessions: ReadonlyMap<string, SqlSession>,
    snapshot: ExactSnapshot<FingerprintTable>,
    tables: readonly FingerprintTable[],
    limits: readonly string[],
  ) {
    this.#request = request;
    this.sessions = sessions;
    this.snapshot = snapshot;
    this.#tables = tables;
    this.#limits = limits;
  }

  static async open(request: FingerprintRequest): Promise<OpenFingerprint> {
    const { site, control, signal } = request;
    const home = addressOf(site.site).database;
    const limits: string[] = [];
    const sessions = new Map<string, SqlSession>();
    const listing = new Map<string, SqlSession>();
    try {
      for (const database of chooseDatabases(request.databases, home, limits)) {
        const session = await enter(site, database, signal, limits);
        if (!session) continue;
        sessions.set(database, session);
        listing.set(database, await SqlSession.open(site.host, { ...addressOf(site.site), database }, signal));
      }
      let found: readonly string[] = [];
      const listTables = async () => {
        const lists = await Promise.all([...listing].map(([database, session]) => readTables(session, database, home)));
        found = lists.flatMap((list) => list.limits);
        return lists.flatMap((list) => list.tables);
      };
      const { clock, log } = site.host;
      const snapshot =
        request.moment === 'own'
          ? await takeOwnSnapshots({ sessions, listTables, clock, log })
          : await takeExactSnapshot({ sessions, locking: listing, control, listTables, clock, log });
      limits.push(...found);
      return new OpenFingerprint(request, sessions, snapshot, settle(snapshot, limits), limits);
    } catch (error) {
      for (const session of sessions.values()) session.close();
      throw error;
    } finally {
      for (const session of listing.values()) session.close();
    }
  }

  async digest(): Promise<Fingerprint> {
    const { key, site, systemIdentifier, timeline, moment } = this.#request;
    const plan = planFingerprint(this.#tables, site.options.fingerprint);
    const shares = new Map(plan.map((share) => [share.name, share]));
    const limits = [...this.#limits];
    const entries: FingerprintEntry[] = [];
    const digestOne = async (session: SqlSession, table: FingerprintTable): Promise<void> => {
      const share = shares.get(table.name) as TableShare;
      const entry = await digestOr(session, limits, table.name, () =>
        share.stripes !== undefined && moment === 'own'
          ? countTable(session, table).then(({ count }) => ({ name: table.name, count }))
          : digestTable(session, { ...table, ...share }, key),
      );
      if (entry) entries.push(entry);
    };
    for (const [database, session] of this.sessions) await this.#digestDatabase(database, session, digestOne);
    const parts = plan.filter(({ stripes }) => stripes !== undefined);
    if (parts.length > 0) {
      const what = moment === 'own' ? 'only counted' : 'digested in part';
      limits.push(`${parts.length} of ${plan.length} tables were ${what}: ${parts.slice(0, 3).map(partly).join('; ')}`);
    }
    const { lsn } = this.snapshot;
    return {
      ...(lsn === undefined ? {} : { position: positionAt(systemIdentifier, timeline, lsn) }),
      entries: entries.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
      ...(limits.length === 0 ? {} : { limits }),
    };
  }

  /** The largest tables first, so that two sessions end at about the same time. */
  async #digestDatabase(
    database: string,
    session: SqlSession,
    digestOne: (session: SqlSession, table: FingerprintTable) => Promise<void>,
  ): Promise<void> {
    const left = this.#tables.filter((table) => table.database === database).toSorted((a, b) => b.bytes - a.bytes);
    const totalBytes = left.reduce((sum, { bytes }) => sum + bytes, 0);
    const second = left.length > 1 && totalBytes >= secondFromBytes ? await this.#openSecond(database, session) : undefined;
    const digestAll = async (by: SqlSession): Promise<void> => {
      for (let table = left.shift(); table !== undefined; table = left.shift()) await digestOne(by, table);
    };
    try {
      await Promise.all([session, ...(second ? [second] : [])].map(digestAll));
    } finally {
      second?.close();
    }
  }

  /** One more session that sees the same. Undefined where the server lets nobody else in: then one does it all. */
  async #openSecond(database: string, session: SqlSession): Promise<SqlSession | undefined> {
    const { site, signal } = this.#request;
    const { name } = await session.row('SELECT pg_export_snapshot() AS name');
    let second: SqlSession | undefined;
    try {
      second = await SqlSession.open(site.host, { ...addressOf(site.site), database }, signal);
      await second.query(digestSettings);
      await second.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '${String(name)}'`);
      return second;
    } catch (error) {
      second?.close();
      if (refusalState(error) === undefined) throw error;
      site.host.log.debug('fingerprint-by-one', { message: (error as Error).message });
      return undefined;
    }
  }

  close(): void {
    for (const session of this.sessions.values()) session.close();
  }
}

/** One table that the server can't read (dropped meanwhile, or damaged) is said, and leaves the others as they are. */
async function digestOr(
  session: SqlSession,
  limits: string[],
  name: string,
  work: () => Promise<FingerprintEntry>,
): Promise<FingerprintEntry | undefined> {
  await session.query('SAVEPOINT before_table');
  try {
    return await work();
  } catch (error) {
    if (refusalState(error) === undefined) throw error;
    await session.query('ROLLBACK TO SAVEPOINT before_table');
    limits.push(`${name} could not be digested: ${(error as Error).message}`);
    return undefined;
  }
}

function partly({ name, stripes = [], blocks }: ReturnType<typeof planFingerprint>[number]): string {
  return `${name} (${formatSample(stripes, blocks)})`;
}

function chooseDatabases(all: readonly string[], home: string, limits: string[]): readonly string[] {
  const ordered = [...all].sort((a, b) => Number(b === home) - Number(a === home));
  if (ordered.length > databasesMost) limits.push(`only ${databasesMost} of ${ordered.length} databases were digested`);
  return ordered.slice(0, databasesMost);
}

async function enter(site: PostgresqlSite, database: string, signal: AbortSignal, limits: string[]): Promise<SqlSession | undefined> {
  try {
    const session = await SqlSession.open(site.host, { ...addressOf(site.site), database }, signal);
    await session.query(digestSettings);
    return session;
  } catch (error) {
    // 42501, 28xxx: not let in. 3D000: dropped meanwhile. 55000: it takes no connections.
    const state = refusalState(error);
    if (state === undefined || !/^(?:42501|28...|3D000|55000)$/.test(state)) throw error;
    limits.push(`the database ${database} could not be entered: ${(error as Error).message}`);
    return undefined;
  }
}

/** What is left to be digested, and what has to be said. */
function settle({ how, tables }: ExactSnapshot<FingerprintTable>, limits: string[]): readonly FingerprintTable[] {
  if (how === 'inexact')
    limits.push('writers left no moment at which the place in the log could be told: a copy can not be compared exactly');
  if (how !== 'locked') return tables;
  const views = tables.filter(({ materialized }) => materialized).length;
  if (views > 0) limits.push(`${views} materialised views were left out: they can not be locked against being refreshed`);
  return tables.filter(({ materialized }) => !materialized);
}

/** A record behind the place that a recovery stops before, flushed; the end of the log after it. Undefined where this server takes no writes. */
export async function markLog(control: SqlSession): Promise<Lsn | undefined> {
  try {
    await control.query(
      `BEGIN READ WRITE; SET LOCAL synchronous_commit = 'local'; SELECT pg_logical_emit_message(true, 'holdfast', 'fingerprint'); COMMIT`,
    );
  } catch (error) {
    if (refusalState(error) !== '25006') throw error;
    return undefined;
  }
  const { lsn } = await control.row('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return parseLsn(String(lsn));
}
