/**
 * Logical dumps: `pg_dump --format=custom` of every database (not compressed: the repository does that, better) and `pg_dumpall --globals-only`.
 *
 * Invariant: each dump is of the very snapshot that its fingerprint is taken in, and a pg_dump that does not end well makes the backup fail: its part is never ended. When the process
 * dies, pg_dump loses its reader and ends.
 */
import { fail } from '../../../base/errors.ts';
import type { BackupContext, BackupFacts, BackupSink, TakeOptions } from '../../../contracts/backup.ts';
import type { Host, ProcessRequest } from '../../../host/host.ts';
import { addressOf } from '../options.ts';
import { dumpPart, globalsPart } from './dump-details.ts';
import { type PostgresqlSite, replicationAddress } from './postgresql-site.ts';
import { findProgramDirectory, missingPrograms } from './programs.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { readServerFacts } from './server-facts.ts';
import { SqlSession } from './sql-session.ts';
import { OpenFingerprint } from './take-fingerprint.ts';

const dumpTimeoutMs = 24 * 3_600_000;

export async function takeDump(site: PostgresqlSite, sink: BackupSink, options: TakeOptions, context: BackupContext): Promise<BackupFacts> {
  const { host } = site;
  const session = await SqlSession.open(host, addressOf(site.site), context.signal);
  let taken: OpenFingerprint | undefined;
  try {
    const server = await readServerFacts(session);
    const directory = await findProgramDirectory(host, server.major, site.options['restore-bin-directory'], 'pg_dump');
    if (directory === undefined) throw missingPrograms(server.major, site.options['restore-bin-directory']);
    const systemIdentifier = await readIdentity(site, context.signal);
    // What was acknowledged before the snapshots are taken is in them.
    const before = await session.row(`SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at_ms,
      (SELECT sum(pg_database_size(oid))::float8 FROM pg_database WHERE datallowconn AND NOT datistemplate) AS bytes`);
    const databases = server.databases.map(({ name }) => name);
    const request = {
      site,
      control: session,
      databases,
      systemIdentifier,
      timeline: 0,
      key: options.fingerprintKey,
      signal: context.signal,
    };
    taken = await OpenFingerprint.open({ ...request, moment: 'own' });
    const missing = databases.find((name) => !taken?.sessions.has(name));
    if (missing !== undefined)
      throw fail('BACKUP_INCOMPLETE', { message: `the database ${missing} could not be entered, so it can not be dumped` });
    const dump = new DumpPrograms(host, site, directory, sink, context);
    await dump.run('pg_dumpall', ['--globals-only', '--no-tablespaces', `--database=${addressOf(site.site).database}`], globalsPart);
    for (const [database, snapshotSession] of taken.sessions) {
      const snapshot = String((await snapshotSession.row('SELECT pg_export_snapshot() AS name'))['name']);
      context.progress(`dumping ${database}`);
      const how = ['--format=custom', '--compress=0', '--no-tablespaces', '--no-password', `--snapshot=${snapshot}`];
      await dump.run('pg_dump', how, dumpPart(database), database);
    }
    const fingerprint = site.options.fingerprint === 0 ? undefined : await taken.digest();
    return {
      engine: 'postgresql',
      engineVersion: server.version,
      identity: systemIdentifier,
      consistentAtMs: Number(before['at_ms']),
      dataBytes: Number(before['bytes'] ?? 0),
      ...(fingerprint ? { fingerprint } : {}),
      more: {
        format: 'dump',
        major: server.major,
        database: addressOf(site.site).database,
        databases: server.databases.map((each) => ({ ...each })),
      },
    };
  } finally {
    taken?.close();
    session.close();
  }
}

async function readIdentity(site: PostgresqlSite, signal: AbortSignal): Promise<string> {
  const connection = await ReplicationConnection.open(site.host, replicationAddress(site.site), signal);
  try {
    return (await connection.command('IDENTIFY_SYSTEM'))[0]?.[0] ?? '';
  } finally {
    connection.close();
  }
}

class DumpPrograms {
  readonly #host: Host;
  readonly #directory: string;
  readonly #sink: BackupSink;
  readonly #context: BackupContext;
  readonly #env: NonNullable<ProcessRequest['env']>;

  constructor(host: Host, site: PostgresqlSite, directory: string, sink: BackupSink, context: BackupContext) {
    const { host: server, port, user, password, tls } = addressOf(site.site);
    this.#host = host;
    this.#directory = directory;
    this.#sink = sink;
    this.#context = context;
    // Everything that names the server is in the environment; the password must be, and a database's name could be taken for options elsewhere.
    this.#env = {
      PGHOST: server,
      PGPORT: String(port),
      PGUSER: user,
      PGSSLMODE: tls.mode,
      PGAPPNAME: 'pg_dump for holdfast',
      ...(tls.ca === undefined ? {} : { PGSSLROOTCERT: tls.ca }),
      ...(password === undefined ? {} : { PGPASSWORD: password }),
    };
  }

  async run(program: string, args: readonly string[], partName: string, database?: string): Promise<void> {
    if (!this.#host.processes.start) throw fail('HANDS_NO_PROGRAM', { message: 'programs can not be kept running here' });
    const process = await this.#host.processes.start({
      program: `${this.#directory}/${program}`,
      args,
      env: { ...this.#env, ...(database === undefined ? {} : { PGDATABASE: database }) },
      timeoutMs: dumpTimeoutMs,
      signal: this.#context.signal,
    });
    const part = this.#sink.openPart(partName);
    try {
      for await (const piece of process.stdout) await part.write(piece);
    } catch (error) {
      process.signal('SIGKILL');
      throw error;
    }
    const { exitCode, stderr } = await process.ended;
    if (exitCode !== 0) {
      throw fail('BACKUP_TOOL_FAILED', {
        message: `${program}${database === undefined ? '' : ` of ${database}`} ended with ${exitCode}: ${stderr.trim().slice(-1_000)}`,
        subject: program,
      });
    }
    await part.end();
  }
}
