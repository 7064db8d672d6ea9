/**
 * Views of all databases at one exactly known place of the log, so that a copy can be recovered to that very place and must then show the same.
 *
 * A snapshot alone has no place: while transactions commit, nobody can say which of them it sees. Two ways:
 *   quiet   nothing is in progress in the snapshot, and the end of the log is the same before and after it: then everything before that place is seen and nothing after it
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

export interface ExactSnapshotRequest {
  /** By database: their transactions are the snapshots, and stay open. */
  readonly sessions: ReadonlyMap<string, SqlSession>;
  /** Others, for the locks. */
  readonly locking: ReadonlyMap<string, SqlSession>;
  readonly control: SqlSession;
  readonly tables: readonly SnapshotTable[];
  readonly clock: Clock;
  readonly log: Log;
}

export interface ExactSnapshot {
  /** Undefined: no place could be told, the snapshots are those of some moment. */
  readonly lsn: Lsn | undefined;
  readonly how: 'quiet' | 'locked' | 'inexact' | 'own';
}

const quietTries = 25;
const quietPauseMs = 20;
const lockTries = 6;
const lockWaitMs = 150;
const lockPauseMs = 400;

export async function takeExactSnapshot(request: ExactSnapshotRequest): Promise<ExactSnapshot> {
  for (let tries = 0; tries < quietTries; tries += 1) {
    const lsn = await tryQuiet(request);
    if (lsn !== undefined) return { lsn, how: 'quiet' };
    await end(request.sessions);
    await request.clock.sleep(quietPauseMs);
  }
  for (let tries = 0; tries < lockTries; tries += 1) {
    const lsn = await tryLocked(request);
    if (lsn !== undefined) return { lsn, how: 'locked' };
    await end(request.sessions);
    await request.clock.sleep(lockPauseMs);
  }
  for (const session of request.sessions.values()) await begin(session);
  return { lsn: undefined, how: 'inexact' };
}

/** One for each database, of whatever moment. */
export async function takeOwnSnapshots(sessions: ReadonlyMap<string, SqlSession>): Promise<ExactSnapshot> {
  await Promise.all([...sessions.values()].map(begin));
  return { lsn: undefined, how: 'own' };
}

async function endOfLog(control: SqlSession): Promise<string> {
  return String((await control.row('SELECT pg_current_wal_insert_lsn()::text AS lsn'))['lsn']);
}

/** The transaction's first query takes its snapshot. */
async function begin(session: SqlSession): Promise<string> {
  await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  return String((await session.row('SELECT pg_current_snapshot()::text AS snapshot'))['snapshot']);
}

async function end(sessions: ReadonlyMap<string, SqlSession>): Promise<void> {
  await Promise.all([...sessions.values()].map((session) => session.query('ROLLBACK')));
}

async function tryQuiet({ sessions, control }: ExactSnapshotRequest): Promise<Lsn | undefined> {
  const before = await endOfLog(control);
  const snapshots = await Promise.all([...sessions.values()].map(begin));
  const after = await endOfLog(control);
  // `xmin:xmax:those in progress between`: none, and the same in every database.
  const quiet = snapshots.every((snapshot) => /^(\d+):\1:$/.test(snapshot)) && new Set(snapshots).size <= 1;
  return quiet && before === after ? parseLsn(after) : undefined;
}

async function tryLocked(request: ExactSnapshotRequest): Promise<Lsn | undefined> {
  const { locking, sessions, control, log } = request;
  try {
    for (const [database, session] of locking)
      await lockTables(
        session,
        request.tables.filter((table) => table.database === database),
      );
    await Promise.all([...sessions.values()].map(begin));
    return parseLsn(await endOfLog(control));
  } catch (error) {
    // 55P03: somebody writes for longer than we wait. 53200: more tables than the server can lock. 42501: we may not. 40P01: a deadlock. 42P01: a table is gone.
    const state = refusalState(error);
    if (state === undefined || !['55P03', '53200', '42501', '40P01', '42P01'].includes(state)) throw error;
    log.info('fingerprint-not-locked', { message: (error as Error).message });
    return undefined;
  } finally {
    await end(locking);
  }
}

async function lockTables(session: SqlSession, tables: readonly SnapshotTable[]): Promise<void> {
  await session.query(`BEGIN READ WRITE; SET LOCAL lock_timeout = ${lockWaitMs}`);
  const names = tables
    .filter(({ materialized }) => !materialized)
    .map(({ schema, table }) => `ONLY ${quoteName(schema)}.${quoteName(table)}`);
  if (names.length > 0) await session.query(`LOCK TABLE ${names.join(', ')} IN SHARE MODE`);
}
