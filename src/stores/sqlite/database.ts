/**
 * The database file: opened, checked, brought into shape.
 *
 * Invariant: a database that is open is whole (SQLite's quick check), is Holdfast's, is of this platform and of a format that this version knows. Commits are durable:
 * write-ahead log with synchronous=FULL. Dying while the tables are made leaves none of them.
 *
 *   store    one row: the revision of the last commit; changes up to `pruned_revision` are no longer in the log; the platform's name
 *   entries  what is stored now
 *   changes  what was changed, in order, for watches; bounded, the oldest go
 *   leases   one row for each name ever leased (see leases.ts)
 */
import { DatabaseSync } from 'node:sqlite';
import { fail } from '../../base/errors.ts';

/** "Hold", in SQLite's header. */
const applicationId = 0x486f6c64;
const formatVersion = 1;
/** How long SQLite itself waits for a lock. Short, for it blocks the whole process; the store waits on without blocking. */
const busyTimeoutMs = 5;

const tables = `
  CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, pruned_revision INTEGER NOT NULL, platform TEXT NOT NULL) STRICT;
  CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE changes (revision INTEGER NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (revision, place)) STRICT, WITHOUT ROWID;
  CREATE TABLE leases (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, token INTEGER NOT NULL, renewals INTEGER NOT NULL, hold_ms REAL NOT NULL, expires_monotonic_ms REAL NOT NULL,
    monotonic_domain TEXT NOT NULL, boot_id TEXT NOT NULL, process TEXT NOT NULL, released INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${formatVersion};
`;

/** Throws what SQLite throws when the file is busy: the caller tries again. Everything else is mapped. */
export function openDatabase(path: string, platform: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    const version = readNumber(database, 'user_version');
    if (version > formatVersion) {
      throw fail('STATE_NEWER_FORMAT', { message: `${path} has format ${version}; this version knows ${formatVersion}`, subject: path });
    }
    refuseForeign(database, path, version);
    useWriteAheadLog(database, path);
    if (version === 0) createTables(database, platform);
    checkIntegrity(database, path);
    checkPlatform(database, path, platform);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function readNumber(database: DatabaseSync, pragma: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
}

function refuseForeign(database: DatabaseSync, path: string, version: number): void {
  // In this order: another process may be making the tables right now, and their mark comes in the same transaction.
  const isEmpty = database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined;
  const isOurs = readNumber(database, 'application_id') === applicationId;
  if (isOurs || (isEmpty && version === 0)) return;
  throw fail('STATE_DAMAGED', {
    message: `${path} is a database, but not one of Holdfast`,
    subject: path,
    hint: 'Name another file: this one is not touched.',
  });
}

function useWriteAheadLog(database: DatabaseSync, path: string): void {
  const mode = Object.values(database.prepare('PRAGMA journal_mode = WAL').get() ?? {})[0];
  if (mode !== 'wal') {
    throw fail('SYSTEM_REFUSED', {
      message: `${path}: the file system can not hold a write-ahead log`,
      subject: path,
      hint: 'Put the state directory on a local disk.',
    });
  }
  database.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864');
}

function createTables(database: DatabaseSync, platform: string): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have been first.
    if (database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined) {
      database.exec(tables);
      database.prepare('INSERT INTO store VALUES (1, 0, 0, ?)').run(platform);
    }
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function checkIntegrity(database: DatabaseSync, path: string): void {
  const faults = database
    .prepare('PRAGMA quick_check(3)')
    .all()
    .map((row) => String(Object.values(row)[0]));
  if (faults.length === 1 && faults[0] === 'ok') return;
  throw fail('STATE_DAMAGED', { message: `${path}: ${faults.join('; ')}`, subject: path });
}

function checkPlatform(database: DatabaseSync, path: string, platform: string): void {
  const row = database.prepare('SELECT platform FROM store').get();
  if (row === undefined)
    throw fail('STATE_DAMAGED', { message: `${path}: the row that says whose state this is, is missing`, subject: path });
  if (row.platform !== platform) {
    throw fail('STATE_OTHER_PLATFORM', {
      message: `${path} holds the state of "${row.platform}", not of "${platform}"`,
      subject: path,
      details: { platform: String(row.platform) },
    });
  }
}
