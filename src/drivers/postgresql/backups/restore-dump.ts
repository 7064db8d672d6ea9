/**
 * Loads dumps into a server that is made anew: roles first, then each database, stopping at the first error.
 *
 * The new server's own superuser has a name that no dump has, so that every role of the original is made as it was. It is loaded without fsync and made durable as a whole at the end; dying
 * inside leaves a directory to be thrown away.
 */
import { fail } from '../../../base/errors.ts';
import { formatInstant } from '../../../base/instants.ts';
import type {
  BackupReader,
  CheckResult,
  RecoveryTarget,
  RestoredCopy,
  RestorePreview,
  RestorerContext,
  RunningCopy,
} from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import type { ComponentOptions } from '../options.ts';
import type { Address } from '../ports.ts';
import { CopyServer, copyPort } from './copy-server.ts';
import { type DumpDetails, dumpDetails, dumpPart, globalsPart } from './dump-details.ts';
import { assertReachable, giveToOwner, openPrograms, type Programs, runProgram } from './programs.ts';
import { PostgresqlRunningCopy } from './running-copy.ts';
import { lastWords } from './server-log.ts';
import { SqlSession } from './sql-session.ts';

const superuser = 'holdfast_restore';
const loadTimeoutMs = 24 * 3_600_000;
const initTimeoutMs = 300_000;

export interface DumpPlace {
  readonly context: RestorerContext<ComponentOptions>;
  readonly runDirectory: string;
}

interface DumpCopyRequest extends DumpPlace {
  readonly backup: BackupReader;
  readonly details: DumpDetails;
  readonly programs: Programs;
  readonly target: RecoveryTarget;
  readonly directory: string;
}

function problemsOf(target: RecoveryTarget): RestorePreview['problems'] {
  if (target.kind === 'newest' || target.kind === 'consistent') return [];
  return [
    {
      message: 'a dump comes back to its own instant only: the log can not be replayed over it',
      hint: 'Restore a base backup to that point.',
    },
  ];
}

export async function previewDump(
  context: RestorerContext<ComponentOptions>,
  backup: BackupReader,
  target: RecoveryTarget,
): Promise<RestorePreview> {
  const problems = [...problemsOf(target)];
  try {
    await openPrograms(context.host, dumpDetails(backup).major, context.options['restore-bin-directory']);
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    if (hint === undefined) throw error;
    problems.push({ message, hint });
  }
  const { consistentAtMs, dataBytes } = backup.facts;
  return { target: `the instant of the dump, ${formatInstant(consistentAtMs)}`, newestMs: consistentAtMs, bytes: dataBytes, problems };
}

export async function restoreDump(place: DumpPlace, backup: BackupReader, target: RecoveryTarget, into: string): Promise<RestoredCopy> {
  const { context, runDirectory } = place;
  const { host } = context;
  const [problem] = problemsOf(target);
  if (problem) throw fail('RESTORE_TARGET_UNREACHABLE', { ...problem, subject: backup.backupId });
  const details = dumpDetails(backup);
  const programs = await openPrograms(host, details.major, context.options['restore-bin-directory']);
  for (const path of [into, runDirectory]) await assertReachable(host, programs, path);
  await host.files.makeDirectory(runDirectory, { mode: 0o700 });
  await giveToOwner(host, programs, runDirectory);
  await host.fileStreams.setMode(into, 0o700);
  await giveToOwner(host, programs, into);
  const request: DumpCopyRequest = { ...place, backup, details, programs, target, directory: into };
  await initialise(request);
  // Nobody but us has it, and it is worth nothing before it is whole.
  const server = await startServer(request, { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' });
  try {
    await load(request);
  } finally {
    await server.stop();
  }
  await host.fileStreams.syncFileSystem(into);
  return new DumpCopy(request);
}

async function initialise({ context, programs, directory }: DumpCopyRequest): Promise<void> {
  const args = ['-D', directory, `--username=${superuser}`, '--auth=peer', '--encoding=UTF8', '--locale=C', '--no-sync'];
  const { exitCode, stderr } = await runProgram(context.host, programs, 'initdb', args, {
    timeoutMs: initTimeoutMs,
    signal: context.signal,
  });
  if (exitCode !== 0) throw fail('BACKUP_TOOL_FAILED', { message: `initdb: ${stderr.trim().slice(-1_000)}` });
}

async function startServer(
  { context, programs, directory, runDirectory }: DumpCopyRequest,
  settings: Readonly<Record<string, string>>,
): Promise<CopyServer> {
  const server = await CopyServer.start({
    host: context.host,
    programs,
    details: { settings: {} },
    directory,
    runDirectory,
    settings,
    signal: context.signal,
  });
  if (await server.isReady(() => {})) return server;
  throw fail('BACKUP_TOOL_FAILED', {
    message: `the server that a dump is loaded into did not start: ${lastWords(await server.readLog())}`,
  });
}

async function load(request: DumpCopyRequest): Promise<void> {
  const { context, programs, backup, details, runDirectory } = request;
  const where = [`--host=${runDirectory}`, `--port=${copyPort}`, `--username=${superuser}`, '--no-password'];
  const globals = await readText(backup, globalsPart);
  const psql = await runProgram(
    context.host,
    programs,
    'psql',
    ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', ...where, '--dbname=template1'],
    { timeoutMs: loadTimeoutMs, signal: context.signal, stdin: globals },
  );
  if (psql.exitCode !== 0) throw fail('BACKUP_TOOL_FAILED', { message: `the roles can not be made: ${psql.stderr.trim().slice(-1_000)}` });
  for (const database of details.databases) {
    context.progress(`loading ${database}`);
    const how = ['--exit-on-error', '--clean', '--if-exists', '--create', '--dbname=template1'];
    await feed(context.host, programs, [...how, ...where], backup.readPart(dumpPart(database)), database, context.signal);
  }
}

async function readText(backup: BackupReader, part: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of backup.readPart(part)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

async function feed(
  host: Host,
  programs: Programs,
  args: readonly string[],
  content: AsyncIterable<Uint8Array>,
  database: string,
  signal: AbortSignal,
): Promise<void> {
  if (!host.processes.start) throw fail('HANDS_NO_PROGRAM', { message: 'programs can not be kept running here' });
  const process = await host.processes.start({
    program: 'setpriv',
    args: [...programs.prefix.slice(1), `${programs.directory}/pg_restore`, ...args],
    cwd: '/',
    timeoutMs: loadTimeoutMs,
    signal,
    withInput: true,
  });
  const drained = (async () => {
    for await (const _ of process.stdout);
  })();
  try {
    for await (const piece of content) await process.write(piece);
  } catch (error) {
    process.signal('SIGKILL');
    throw error;
  }
  process.endInput();
  await drained;
  const { exitCode, stderr } = await process.ended;
  if (exitCode !== 0) throw fail('BACKUP_TOOL_FAILED', { message: `pg_restore of ${database}: ${stderr.trim().slice(-1_000)}` });
}

class DumpCopy implements RestoredCopy {
  readonly directory: string;
  readonly #request: DumpCopyRequest;

  constructor(request: DumpCopyRequest) {
    this.#request = request;
    this.directory = request.directory;
  }

  get startHint(): string {
    return `${this.#request.programs.directory}/pg_ctl -D '${this.directory}' start; its superuser is ${superuser}`;
  }

  async checkStopped(): Promise<readonly CheckResult[]> {
    const { context, programs } = this.#request;
    const { stdout, stderr } = await runProgram(context.host, programs, 'pg_controldata', ['-D', this.directory], {
      timeoutMs: 60_000,
      signal: context.signal,
    });
    const state = /^Database cluster state:\s*(.*)$/m.exec(stdout)?.[1]?.trim();
    const ok = state === 'shut down' && !/WARNING/.test(`${stdout}${stderr}`);
    return [{ name: 'pg_controldata', level: 'P3', ok, detail: `state "${state}" ${stderr.trim()}`.trim() }];
  }

  async start(): Promise<RunningCopy> {
    const { context, details, programs, target, runDirectory, backup } = this.#request;
    const server = await startServer(this.#request, {});
    const address: Address = {
      host: runDirectory,
      port: copyPort,
      user: superuser,
      database: details.database,
      password: undefined,
      tls: { mode: 'disable', ca: undefined },
    };
    try {
      const session = await SqlSession.open(context.host, address, context.signal);
      const { consistentAtMs } = backup.facts;
      const reached = { atMs: consistentAtMs, detail: `the content of the dump of ${formatInstant(consistentAtMs)}` };
      return new PostgresqlRunningCopy({ context, details, programs, target, server, session, address, reached });
    } catch (error) {
      await server.stop();
      throw error;
    }
  }
}
