/** What a restorer has to know of the server: versions, what its recovery needs, what is installed in it, and how it sorts. */
import type { JsonObject } from '../../../base/json.ts';
import { isNotAllowed, type SqlSession } from './sql-session.ts';

export interface ServerFacts {
  /** `15.18`. */
  readonly version: string;
  readonly major: number;
  readonly inRecovery: boolean;
  /** The role that initdb made: it is there in every copy. */
  readonly superuser: string;
  readonly segmentBytes: number;
  /** Settings that a recovery needs at least as large as they were, and the libraries that were loaded at the start. */
  readonly settings: Readonly<Record<string, string>>;
  readonly databases: readonly DatabaseFacts[];
}

export interface DatabaseFacts extends JsonObject {
  readonly name: string;
  readonly encoding: string;
  readonly provider: string;
  readonly collate: string;
  readonly ctype: string;
  readonly icu: string | null;
  /** Of libc or ICU, as the server knew it: the order of indexes depends on it. */
  readonly collationVersion: string | null;
}

const settingsWanted = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'shared_preload_libraries',
  'data_checksums',
  'block_size',
  'TimeZone',
];

export async function readServerFacts(session: SqlSession): Promise<ServerFacts> {
  const row = await session.row(`
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
      pg_is_in_recovery() AS in_recovery, (SELECT rolname FROM pg_roles WHERE oid = 10) AS superuser, (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')::int AS segment_bytes`);
  const settings: Record<string, string> = {};
  // shared_preload_libraries is shown only to those who may see all settings; without it the row is not there.
  const rows = await session.query('SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[]) AND setting IS NOT NULL', [
    settingsWanted,
  ]);
  for (const { name, setting } of rows) settings[String(name)] = String(setting);
  return {
    version: String(row['version']).split(' ')[0] ?? '',
    major: Number(row['major']),
    inRecovery: row['in_recovery'] === true,
    superuser: String(row['superuser']),
    segmentBytes: Number(row['segment_bytes']),
    settings,
    databases: await readDatabases(session, Number(row['major'])),
  };
}

async function readDatabases(session: SqlSession, major: number): Promise<readonly DatabaseFacts[]> {
  const icu = major >= 17 ? 'datlocale' : 'daticulocale';
  const rows = await session.query(`
    SELECT datname AS name, pg_encoding_to_char(encoding) AS encoding, datlocprovider::text AS provider, datcollate AS collate, datctype AS ctype,
      ${icu} AS icu, datcollversion AS version
    FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname`);
  return rows.map((row) => ({
    name: String(row['name']),
    encoding: String(row['encoding']),
    provider: row['provider'] === 'i' ? 'icu' : row['provider'] === 'b' ? 'builtin' : 'libc',
    collate: String(row['collate']),
    ctype: String(row['ctype']),
    icu: row['icu'] === null ? null : String(row['icu']),
    collationVersion: row['version'] === null ? null : String(row['version']),
  }));
}

export async function readExtensions(session: SqlSession): Promise<Readonly<Record<string, string>>> {
  const rows = await session.query('SELECT extname, extversion FROM pg_extension ORDER BY extname');
  return Object.fromEntries(rows.map((row) => [String(row['extname']), String(row['extversion'])]));
}

/** Makes the server finish its segment. False where our role may not. */
export async function switchSegment(session: SqlSession): Promise<boolean> {
  try {
    await session.query('SELECT pg_switch_wal()');
    return true;
  } catch (error) {
    if (isNotAllowed(error)) return false;
    throw error;
  }
}
