/**
 * Real PostgreSQL clusters: primaries and streaming standbys, as small and quick as they can be while still real.
 *
 * Layout of a cluster's directory: `data/` (the data directory), `instance.conf` (address, port: what is true of this
 * instance only), `log/postgresql.log`, the Unix socket, `output.log`. `data/postgresql.conf` is the same everywhere and
 * includes `../instance.conf`, because pg_basebackup and pg_rewind copy it from one instance to another: a former primary
 * that was rewound still listens on its own port. So `pg_ctl -D DIR/data start` works too, also for others.
 *
 * Run as root, everything runs as the user that owns the cluster; put `commandPrefix` before programs such as pg_ctl.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import {
  type ClusterOwner,
  findClusterOwner,
  giveToOwner,
  type PostgresPasswords,
  type PostgresRole,
  prepareData,
} from './postgresql-template.ts';
import { readProcess } from './process-tree.ts';
import { findPostgresqlPrograms } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export type { PostgresPasswords, PostgresRole } from './postgresql-template.ts';

interface PlaceOptions {
  readonly dir?: string;
  readonly address?: string;
  readonly port?: number;
  /** False (the default) is quick and safe against a killed process, but not against a lost machine. */
  readonly fsync?: boolean;
  /** More settings for this instance, in postgresql.conf words. They win over the defaults here. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  readonly outliveParent?: boolean;
  /** Put before each program, so that the server lives in a network namespace of its own. `query` then comes by the Unix socket. */
  readonly networkPrefix?: readonly string[];
  /** More lines of pg_hba.conf; a standby has those of its primary. */
  readonly access?: readonly string[];
}

export interface PrimaryOptions extends PlaceOptions {
  /** Major version; default: the oldest installed. */
  readonly version?: number;
  /** A system identifier and passwords of its own, at the price of a real initdb. */
  readonly freshIdentity?: boolean;
  readonly checksums?: boolean;
}

export interface StandbyOptions extends PlaceOptions {
  readonly applicationName?: string;
  /** A physical replication slot on the primary, created if missing. */
  readonly slot?: string;
}

/** A data directory with all that is needed to run it; whether it runs is another matter. */
export interface PostgresCluster {
  readonly dir: string;
  readonly dataDirectory: string;
  readonly address: string;
  readonly port: number;
  readonly version: number;
  /** Where this version's postgres, pg_ctl, pg_rewind ... are. */
  readonly binDirectory: string;
  readonly passwords: PostgresPasswords;
  readonly logFile: string;
  /** The system user that owns the files; undefined: the current one. */
  readonly owner: string | undefined;
  readonly commandPrefix: readonly string[];
  readonly outliveParent: boolean;
  /** Where other programs find its Unix socket, when TCP does not lead there. */
  readonly queryHost: string | undefined;
  /** postgresql://ROLE:PASSWORD@ADDRESS:PORT/DATABASE. Role `holdfast` and database `postgres` unless told. */
  url(role?: PostgresRole, database?: string): string;
}

export interface RunningPostgres extends Running, Omit<PostgresCluster, 'dir' | 'address' | 'port'> {
  /** One statement on a connection of its own, as superuser `holdfast` in database `postgres` unless told; its rows. */
  query(text: string, options?: QueryOptions): Promise<Record<string, unknown>[]>;
}

export interface QueryOptions {
  readonly values?: readonly unknown[];
  readonly role?: PostgresRole;
  readonly database?: string;
  readonly timeoutMs?: number;
}

const sharedSettings = {
  wal_level: 'replica',
  wal_log_hints: 'on',
  hot_standby: 'on',
  max_wal_senders: 10,
  max_replication_slots: 10,
  max_connections: 50,
  wal_keep_size: '256MB',
  shared_buffers: '32MB',
  // A standby asks again for a lost primary after this; the default, 5 s, only makes tests wait.
  wal_retrieve_retry_interval: '100ms',
  // Of the shared memory of a server that is killed nothing may be left when its directory is removed.
  dynamic_shared_memory_type: 'mmap',
  password_encryption: 'scram-sha-256',
  logging_collector: 'on',
  log_directory: '../log',
  log_filename: 'postgresql.log',
  log_rotation_age: 0,
  log_rotation_size: 0,
  log_line_prefix: '%m [%p] %q%a ',
};

const hostAccess = `local all all scram-sha-256
host all all 127.0.0.0/8 scram-sha-256
local replication all scram-sha-256
host replication all 127.0.0.0/8 scram-sha-256
`;

/** A new cluster, not started. Its roles: `holdfast` (superuser), `replicator`, `app` (owner of database `app`). */
export async function initPrimary(options: PrimaryOptions = {}): Promise<PostgresCluster> {
  const programs = findPostgresqlPrograms(options.version);
  if (programs === undefined) throw new Error(missing(options.version));
  const owner = await findClusterOwner();
  const place = await preparePlace(options, 'postgresql', owner);
  const { passwords } = await prepareData(place.dataDirectory, programs, owner, {
    checksums: options.checksums ?? false,
    freshIdentity: options.freshIdentity ?? false,
  });
  await writeFile(join(place.dataDirectory, 'postgresql.conf'), `${lines(sharedSettings)}include_if_exists '../instance.conf'\n`);
  await writeFile(join(place.dataDirectory, 'pg_hba.conf'), `${hostAccess}${(options.access ?? []).join('\n')}\n`);
  return cluster(place, { version: programs.version, binDirectory: programs.directory, passwords }, owner, options);
}

/** A standby copied from a running primary by pg_basebackup, streaming from it once it is started. */
export async function cloneStandby(primary: RunningPostgres, options: StandbyOptions = {}): Promise<PostgresCluster> {
  const owner = await findClusterOwner();
  const place = await preparePlace(options, 'standby', owner);
  if (options.slot !== undefined) await ensureSlot(primary, options.slot);
  const connection = [
    `host=${primary.address} port=${primary.port} user=replicator`,
    options.applicationName === undefined ? '' : ` application_name=${options.applicationName}`,
  ].join('');
  const slot = options.slot === undefined ? [] : ['--slot', options.slot];
  const source = ['--dbname', connection, '--pgdata', place.dataDirectory, ...slot];
  const how = ['--write-recovery-conf', '--wal-method=stream', '--checkpoint=fast', '--no-sync'];
  const prefix = [...(options.networkPrefix ?? []), ...owner.commandPrefix];
  await runProgram([...prefix, join(primary.binDirectory, 'pg_basebackup'), ...source, ...how], {
    cwd: place.dir,
    env: { PGPASSWORD: primary.passwords.replicator },
    timeoutMs: 120_000,
  });
  return cluster(place, primary, owner, options);
}

/** Starts a cluster and waits until it accepts connections (a standby: until it answers reads). */
export async function startPostgres(target: PostgresCluster): Promise<RunningPostgres> {
  const running = await startServer({
    name: `postgresql ${target.address}:${target.port}`,
    address: target.address,
    port: target.port,
    dir: target.dir,
    command: [...target.commandPrefix, join(target.binDirectory, 'postgres'), '-D', target.dataDirectory],
    prepare: () => forgetDeadServer(target),
    isReady: (pid) => acceptsConnections(target.dataDirectory, pid),
    // Fast shutdown: clients are sent away, a checkpoint is written, standbys receive everything.
    stopSignal: 'SIGINT',
    logFiles: [target.logFile],
    outliveParent: target.outliveParent,
  });
  const { dir: _dir, address: _address, port: _port, ...facts } = target;
  const query = (text: string, options: QueryOptions = {}) => queryOnce(target, text, options);
  return Object.assign(running, facts, { query });
}

export async function startPrimary(options: PrimaryOptions = {}): Promise<RunningPostgres> {
  return startPostgres(await initPrimary(options));
}

export async function startStandby(primary: RunningPostgres, options: StandbyOptions = {}): Promise<RunningPostgres> {
  return startPostgres(await cloneStandby(primary, options));
}

interface Place {
  readonly dir: string;
  readonly dataDirectory: string;
  readonly address: string;
  readonly port: number;
  readonly logFile: string;
}

async function preparePlace(options: PlaceOptions, name: string, owner: ClusterOwner): Promise<Place> {
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort(address));
  const dir = await serverDirectory(options.dir, name, { ...options, manyFiles: true });
  const instance = {
    listen_addresses: address,
    port,
    unix_socket_directories: dir,
    ...(options.fsync === true ? {} : { fsync: 'off' }),
    ...options.settings,
  };
  await writeFile(join(dir, 'instance.conf'), lines(instance));
  await mkdir(join(dir, 'log'));
  await giveToOwner(dir, owner);
  return { dir, dataDirectory: join(dir, 'data'), address, port, logFile: join(dir, 'log', 'postgresql.log') };
}

function cluster(
  place: Place,
  source: Pick<PostgresCluster, 'version' | 'binDirectory' | 'passwords'>,
  owner: ClusterOwner,
  options: PlaceOptions,
): PostgresCluster {
  const { version, binDirectory, passwords } = source;
  return {
    ...place,
    version,
    binDirectory,
    passwords,
    owner: owner.user,
    commandPrefix: [...(options.networkPrefix ?? []), ...owner.commandPrefix],
    queryHost: options.networkPrefix ? place.dir : undefined,
    outliveParent: options.outliveParent ?? false,
    url: (role = 'holdfast', database = 'postgres') => `postgresql://${role}:${passwords[role]}@${place.address}:${place.port}/${database}`,
  };
}

async function ensureSlot(primary: RunningPostgres, slot: string): Promise<void> {
  const text = `SELECT pg_create_physical_replication_slot($1, true)
    WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`;
  await primary.query(text, { values: [slot] });
}

/** A killed server keeps its number until somebody has waited for it, which not every init does at once: PostgreSQL would take its lock file for that of a live one. */
async function forgetDeadServer(target: PostgresCluster): Promise<void> {
  for (const file of [join(target.dataDirectory, 'postmaster.pid'), join(target.dir, `.s.PGSQL.${target.port}.lock`)]) {
    if (!existsSync(file)) continue;
    const pid = Number((await readFile(file, 'utf8')).split('\n')[0]);
    if (Number.isInteger(pid) && existsSync(`/proc/${pid}`) && readProcess(pid) === undefined) await rm(file);
  }
}

/** The last line of postmaster.pid says so, as pg_ctl reads it; trying to connect would fill the log with refusals. */
async function acceptsConnections(dataDirectory: string, pid: number): Promise<boolean> {
  const file = join(dataDirectory, 'postmaster.pid');
  if (!existsSync(file)) return false;
  const [owner, , , , , , , status] = (await readFile(file, 'utf8')).split('\n');
  return Number(owner) === pid && (status?.trim() === 'ready' || status?.trim() === 'standby');
}

async function queryOnce(target: PostgresCluster, text: string, options: QueryOptions): Promise<Record<string, unknown>[]> {
  const { Client } = (await import('pg')).default;
  const timeoutMs = options.timeoutMs ?? 10_000;
  const client = new Client({
    connectionString: target.url(options.role, options.database),
    ...(target.queryHost === undefined ? {} : socketOf(target, options)),
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => {
    // The server died under an idle connection; a query that was running rejects by itself.
  });
  try {
    await client.connect();
    return (await client.query(text, [...(options.values ?? [])])).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

/** A connection string would win over a host that is given beside it. */
function socketOf(target: PostgresCluster, options: QueryOptions): Record<string, unknown> {
  const role = options.role ?? 'holdfast';
  return {
    connectionString: undefined,
    host: target.queryHost,
    port: target.port,
    user: role,
    password: target.passwords[role],
    database: options.database ?? 'postgres',
  };
}

function lines(settings: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`)
    .join('');
}

function missing(version: number | undefined): string {
  if (version === undefined || version === 15) return 'PostgreSQL is not installed: run "sh tools/bootstrap/bootstrap.sh --systems"';
  return `PostgreSQL ${version} is not installed: run "sh tools/bootstrap/bootstrap.sh --postgresql-${version}" if it offers that version`;
}
