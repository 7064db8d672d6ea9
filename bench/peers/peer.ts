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

/** Seconds for which the machine's processors were busy since it was started. */
export async function busySeconds(): Promise<number> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}

/** Starts the restored server, waits until it accepts a connection, and stops it. Resolves to the time from now until it accepted. */
export async function startAndStop(server: RunningPostgres, dataDirectory: string, port: number, timeoutMs: number): Promise<number> {
  const ctl = join(server.binDirectory, 'pg_ctl');
  const startedMs = performance.now();
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c logging_collector=off -c archive_mode=off -c synchronous_standby_names=''`;
  const log = `${dataDirectory}.log`;
  try {
    await asOwner([ctl, 'start', '-D', dataDirectory, '-w', '-t', String(timeoutMs / 1_000), '-l', log, '-o', options], { timeoutMs });
  } catch (error) {
    throw new Error(`the restored server does not start:\n${(await readFile(log, 'utf8')).slice(-2_000)}`, { cause: error });
  }
  const tookMs = performance.now() - startedMs;
  await asOwner([ctl, 'stop', '-D', dataDirectory, '-w', '-m', 'fast'], { timeoutMs });
  return tookMs;
}
