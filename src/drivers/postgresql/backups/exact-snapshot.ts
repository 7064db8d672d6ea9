/**
 * Views of all databases at one exactly known place of the log, so that a copy can be recovered to that very place and must then show the same.
 *
 * A snapshot alone has no place: while transactions commit, nobody can say which of them it sees. Two ways:
 *   quiet   no transaction is in progress, and the end of the log is the same before and after the snapshot: then everything before that place is seen and nothing after it
 *   locked  the tables are locked against writing (SHARE) for the moment in which snapshot and place are read: whoever wrote them has ended, and nobody begins
 *
 * Invariant: no lock is waited for longer than `lockWaitMs` nor held longer than the snapshot takes; while it is waited for, writers queue behind it for that long at the most.
 */
import type { Clock, Log } from '../../../host/host.ts';
import { type Lsn, parseLsn } from '../lsn.ts';
import { quoteName, refusalState, type SqlSession } from './sql-session.ts';

export interface SnapshotTable {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
  readonly materialized: boolean;
}

export interface ExactSnapshotRequest<T extends SnapshotTable> {
  /** By database: their transactions are the snapshots, and stay open. */
  readonly sessions: ReadonlyMap<string, SqlSession>;
  /** Others, for the locks. */
  readonly locking: ReadonlyMap<string, SqlSession>;
  readonly control: SqlSession;
  /** As they are now, each time anew: tables come and go. */
  listTables(): Promise<readonly T[]>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ExactSnapshot<T extends SnapshotTable> {
  /** What the snapshots can be asked for. */
  readonly tables: readonly T[];
  /** Undefined: no place could be told, the snapshots are those of some moment. */
  readonly lsn: Lsn | undefined;
  readonly how: 'quiet' | 'locked' | 'inexact' | 'own';
}

const quietTries = 25;
const quietPauseMs = 20;
const lockTries = 6;
const lockWaitMs = 150;
const lockPauseMs = 400;

export async function takeExactSnapshot<T extends SnapshotTable>(request: ExactSnapshotRequest<T>): Promise<ExactSnapshot<T>> {
  for (let tries = 0; tries < quietTries; tries += 1) {
    const tables = await request.listTables();
    const lsn = await attempt(request, () => tryQuiet(request, tables));
    if (lsn !== undefined) return { tables, lsn, how: 'quiet' };
    await end(request.sessions);
    await request.clock.sleep(quietPauseMs);
  }
  for (let tries = 0; tries < lockTries; tries += 1) {
    const tables = await request.listTables();
    const lsn = await attempt(request, () => tryLocked(request, tables)).finally(() => end(request.locking));
    if (lsn !== undefined) return { tables, lsn, how: 'locked' };
    await end(request.sessions);
    await request.clock.sleep(lockPauseMs);
  }
  return { ...(await takeOwnSnapshots(request)), how: 'inexact' };
}

/** One for each database, of whatever moment. */
export async function takeOwnSnapshots<T extends SnapshotTable>(
  request: Pick<ExactSnapshotRequest<T>, 'sessions' | 'listTables' | 'clock' | 'log'>,
): Promise<ExactSnapshot<T>> {
  for (let tries = 0; tries < lockTries; tries += 1) {
    const tables = await request.listTables();
    const begun = await attempt(request, () => beginAll(request.sessions, tables));
    if (begun !== undefined) return { tables, lsn: undefined, how: 'own' };
    await end(request.sessions);
    await request.clock.sleep(quietPauseMs);
  }
  // Nothing keeps the tables from being dropped or emptied meanwhile; what then fails is said of each.
  const tables = await request.listTables();
  await beginAll(request.sessions, []);
  return { tables, lsn: undefined, how: 'own' };
}

/**
 * Undefined where the tables could not be locked. 55P03: somebody holds one for longer than we wait. 53200: more tables than the server can lock. 42501: we may not. 40P01: a deadlock.
 * 42P01: one is gone.
 */
async function attempt<R>({ log }: { readonly log: Log }, work: () => Promise<R | undefined>): Promise<R | undefined> {
  try {
    return await work();
  } catch (error) {
    const state = refusalState(error);
    if (state === undefined || !['55P03', '53200', '42501', '40P01', '42P01'].includes(state)) throw error;
    log.debug('fingerprint-not-locked', { message: (error as Error).message });
    return undefined;
  }
}

async function endOfLog(control: SqlSession): Promise<string> {
  return String((await control.row('SELECT pg_current_wal_insert_lsn()::text AS lsn'))['lsn']);
}

/**
 * The transaction's first query takes its snapshot. Before it the tables are locked as for any reading (LOCK takes no snapshot): to be dropped or emptied by TRUNCATE between the snapshot and
 * their digest would show in it.
 */
async function begin(session: SqlSession, tables: readonly SnapshotTable[]): Promise<string> {
  const lock = lockWords(tables, 'ACCESS SHARE');
  await session.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = ${lockWaitMs}${lock}`);
  return String((await session.row('SELECT pg_current_snapshot()::text AS snapshot'))['snapshot']);
}

function beginAll(sessions: ReadonlyMap<string, SqlSession>, tables: readonly SnapshotTable[]): Promise<readonly string[]> {
  return Promise.all(
    [...sessions].map(([database, session]) =>
      begin(
        session,
        tables.filter((table) => table.database === database),
      ),
    ),
  );
}

async function end(sessions: ReadonlyMap<string, SqlSession>): Promise<void> {
  await Promise.all([...sessions.values()].map((session) => session.query('ROLLBACK')));
}

/**
 * Whether a transaction that writes is in progress, by the lock that each holds on its own number until it is seen by others. The snapshot's text does not tell: its `xmax` is one more than the
 * newest number that has ended, and a younger one that waits for its synchronous standby has its commit in the log already, and is in no list.
 */
async function isWriting(control: SqlSession): Promise<boolean> {
  const row = await control.row(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock') AS writing",
  );
  return row['writing'] === true;
}

async function tryQuiet<T extends SnapshotTable>(
  { sessions, control }: ExactSnapshotRequest<T>,
  tables: readonly T[],
): Promise<Lsn | undefined> {
  const before = await endOfLog(control);
  if (await isWriting(control)) return undefined;
  const snapshots = await beginAll(sessions, tables);
  const after = await endOfLog(control);
  // `xmin:xmax:those in progress between`: none, and the same in every database.
  const quiet = snapshots.every((snapshot) => /^(\d+):\1:$/.test(snapshot)) && new Set(snapshots).size <= 1;
  return quiet && before === after ? parseLsn(after) : undefined;
}

async function tryLocked<T extends SnapshotTable>(request: ExactSnapshotRequest<T>, tables: readonly T[]): Promise<Lsn> {
  const { locking, sessions, control } = request;
  for (const [database, session] of locking) {
    const own = tables.filter((table) => table.database === database);
    await session.query(`BEGIN READ WRITE; SET LOCAL lock_timeout = ${lockWaitMs}${lockWords(own, 'SHARE')}`);
  }
  await beginAll(sessions, tables);
  return parseLsn(await endOfLog(control));
}

/** Materialised views can't be locked by name. */
function lockWords(tables: readonly SnapshotTable[], mode: 'SHARE' | 'ACCESS SHARE'): string {
  const names = tables
    .filter(({ materialized }) => !materialized)
    .map(({ schema, table }) => `ONLY ${quoteName(schema)}.${quoteName(table)}`);
  return names.length === 0 ? '' : `; LOCK TABLE ${names.join(', ')} IN ${mode} MODE`;
}
