/** A tool that takes a full backup of a PostgreSQL server and restores it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunningPostgres } from '../../test/systems/postgresql.ts';
import { findClusterOwner } from '../../test/systems/postgresql-template.ts';
import { runProgram } from '../../test/systems/run-program.ts';

export interface BackupPeer {
  readonly name: string;
  /** The setting of `archive_command` while it is this peer's turn. */
  readonly archiveCommand: string;
  /** Once, before the first backup. */
  prepare(): Promise<void>;
  backup(): Promise<void>;
  /** The newest backup into a directory that does not exist yet; afterwards a server can be started there. */
  restore(into: string): Promise<void>;
  /** Where its backups lie. */
  readonly repository: string;
  /** Peak resident memory of its largest process, where it was looked at. */
  readonly peakRssMb?: number;
  close(): Promise<void>;
}

export interface PeerPlace {
  readonly server: RunningPostgres;
  /** Belongs to the system user of the server. */
  readonly directory: string;
  readonly timeoutMs: number;
}

/** Runs a program as the server's system user. */
export async function asOwner(
  words: readonly string[],
  options: { env?: Record<string, string>; timeoutMs: number; cwd?: string },
): Promise<string> {
  const { commandPrefix } = await findClusterOwner();
  return (await runProgram([...commandPrefix, ...words], options)).stdout;
}

export async function diskMb(directory: string): Promise<number> {
  const { stdout } = await runProgram(['du', '-sb', directory], { timeoutMs: 60_000 });
  return Number(stdout.split('\t')[0]) / 1_000_000;
}

/** Fields 14 to 17 of a process in ticks: its own, and that of children who have ended and were waited for. Nothing where it has ended. */
async function ticksOf(process: string): Promise<{ own: number; ended: number }> {
  const text = await readFile(`/proc/${process}/stat`, 'utf8').catch(() => '');
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(Number);
  return { own: user + system, ended: endedUser + endedSystem };
}

const tickSeconds = 0.01;

/** Processor seconds of everything that was started here and has ended; others who use the machine do not count. */
export async function endedSeconds(): Promise<number> {
  return (await ticksOf('self')).ended * tickSeconds;
}

/** Processor seconds of a server with all of its processes, those that have ended too. */
export async function serverSeconds(dataDirectory: string): Promise<number> {
  const pid = (await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8')).split('\n', 1)[0] as string;
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
  const all = await Promise.all([pid, ...children].map(ticksOf));
  return all.reduce((sum, { own, ended }) => sum + own + ended, 0) * tickSeconds;
}

/** Starts the restored server, waits until it accepts a connection, and stops it. Resolves to what its processes have used, for nobody waits for them. */
export async function startAndStop(server: RunningPostgres, dataDirectory: string, port: number, timeoutMs: number): Promise<number> {
  const ctl = join(server.binDirectory, 'pg_ctl');
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c logging_collector=off -c archive_mode=off -c synchronous_standby_names=''`;
  const log = `${dataDirectory}.log`;
  try {
    await asOwner([ctl, 'start', '-D', dataDirectory, '-w', '-t', String(timeoutMs / 1_000), '-l', log, '-o', options], { timeoutMs });
  } catch (error) {
    throw new Error(`the restored server does not start:\n${(await readFile(log, 'utf8')).slice(-2_000)}`, { cause: error });
  }
  const usedSeconds = await serverSeconds(dataDirectory);
  await asOwner([ctl, 'stop', '-D', dataDirectory, '-w', '-m', 'fast'], { timeoutMs });
  return usedSeconds;
}
