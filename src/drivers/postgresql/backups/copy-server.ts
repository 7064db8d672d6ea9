/**
 * The server process of a restored copy: started walled off, waited for, stopped.
 *
 * Walled off: it listens on a socket in a directory that only its owner enters, archives nothing, follows nobody, subscribes to nothing, loads no libraries of the original. All of it is on
 * the command line, which wins over every file that came with the backup.
 *
 * Invariant: `stop` ends it, however it was; and it dies with this process (see programs.ts).
 */
import { fail } from '../../../base/errors.ts';
import type { Host, RunningProcess } from '../../../host/host.ts';
import type { Programs } from './programs.ts';

export interface CopyServerRequest {
  readonly host: Host;
  readonly programs: Programs;
  readonly details: { readonly settings: Readonly<Record<string, string>> };
  readonly directory: string;
  /** Ours: sockets, log, configuration. Short enough for a socket's path. */
  readonly runDirectory: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export const copyPort = 5432;
const readyStatus = /^ready\s*$/;
const lookMs = 20;
const lifeMostMs = 7 * 24 * 3_600_000;
const orderlyMs = 60_000;
const atOnceMs = 10_000;
const logTailBytes = 64 * 1024;
/** So that a recovery finds at least what the original had. */
const atLeast = ['max_connections', 'max_worker_processes', 'max_prepared_transactions', 'max_locks_per_transaction'];

function walledOff(request: CopyServerRequest): Readonly<Record<string, string>> {
  const { runDirectory, details } = request;
  const needed = Object.fromEntries(
    atLeast.flatMap((name) => (details.settings[name] === undefined ? [] : [[name, details.settings[name]]])),
  );
  return {
    ...needed,
    config_file: `${runDirectory}/postgresql.conf`,
    hba_file: `${runDirectory}/pg_hba.conf`,
    ident_file: `${runDirectory}/pg_ident.conf`,
    listen_addresses: '',
    port: String(copyPort),
    unix_socket_directories: runDirectory,
    unix_socket_permissions: '0700',
    external_pid_file: '',
    archive_mode: 'off',
    archive_command: '',
    archive_library: '',
    primary_conninfo: '',
    primary_slot_name: '',
    synchronous_standby_names: '',
    max_wal_senders: '0',
    max_logical_replication_workers: '0',
    shared_preload_libraries: '',
    session_preload_libraries: '',
    local_preload_libraries: '',
    hot_standby: 'off',
    wal_level: 'replica',
    autovacuum: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'warning',
    lc_messages: 'C',
    log_timezone: 'UTC',
    ssl: 'off',
    shared_buffers: '128MB',
    huge_pages: 'off',
    jit: 'off',
    checkpoint_timeout: '1h',
    max_wal_size: '4GB',
    recovery_init_sync_method: 'syncfs',
    ...request.settings,
  };
}

export class CopyServer {
  readonly #request: CopyServerRequest;
  readonly #process: RunningProcess;
  readonly #exit: Promise<number>;
  #exitCode: number | undefined;

  private constructor(request: CopyServerRequest, process: RunningProcess) {
    this.#request = request;
    this.#process = process;
    // Nothing comes: it writes into its log. But only who reads hears of the end.
    const drained = (async () => {
      for await (const _ of process.stdout);
    })().catch(() => undefined);
    this.#exit = drained
      .then(() => process.ended)
      .then(
        ({ exitCode }) => exitCode,
        () => -1,
      );
    this.#exit.then((code) => {
      this.#exitCode = code;
    });
  }

  static async start(request: CopyServerRequest): Promise<CopyServer> {
    const { host, programs, directory, runDirectory, signal } = request;
    await host.files.writeAtomically(`${runDirectory}/postgresql.conf`, '', { mode: 0o644 });
    await host.files.writeAtomically(`${runDirectory}/pg_hba.conf`, 'local all all trust\n', { mode: 0o644 });
    await host.files.writeAtomically(`${runDirectory}/pg_ident.conf`, '', { mode: 0o644 });
    const settings = Object.entries(walledOff(request)).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const command = [...programs.prefix, `${programs.directory}/postgres`, '-D', directory, ...settings];
    if (!host.processes.start) throw fail('HANDS_NO_PROGRAM', { message: 'programs can not be kept running here' });
    const process = await host.processes.start({
      program: 'sh',
      args: ['-c', 'log=$1; shift; exec "$@" >>"$log" 2>&1', 'sh', `${runDirectory}/server.log`, ...command],
      cwd: runDirectory,
      timeoutMs: lifeMostMs,
      signal,
    });
    return new CopyServer(request, process);
  }

  get ended(): boolean {
    return this.#exitCode !== undefined;
  }

  /** True once it takes connections, false where it has ended before. */
  async isReady(onWait: () => void): Promise<boolean> {
    const { host, directory, signal } = this.#request;
    while (!this.ended) {
      const lines = await host.files.readText(`${directory}/postmaster.pid`).catch(() => '');
      if (readyStatus.test(lines.split('\n')[7] ?? '')) return true;
      onWait();
      await host.clock.sleep(lookMs, signal);
    }
    return false;
  }

  /** The whole log where it is short, else its end. */
  async readLog(): Promise<string> {
    const { host, runDirectory } = this.#request;
    const path = `${runDirectory}/server.log`;
    const size = (await host.fileStreams.stat(path))?.sizeBytes ?? 0;
    const pieces: Uint8Array[] = [];
    for await (const piece of host.fileStreams.read(path, { from: Math.max(0, size - logTailBytes) })) pieces.push(piece);
    return Buffer.concat(pieces).toString('utf8');
  }

  async stop(): Promise<void> {
    if (await this.#endedWithin(0)) return;
    this.#process.signal('SIGINT');
    if (await this.#endedWithin(orderlyMs)) return;
    this.#process.signal('SIGQUIT');
    if (await this.#endedWithin(atOnceMs)) return;
    this.#process.signal('SIGKILL');
    await this.#endedWithin(atOnceMs);
  }

  async #endedWithin(waitMs: number): Promise<boolean> {
    if (this.ended) return true;
    const stop = new AbortController();
    await Promise.race([this.#exit, this.#request.host.clock.sleep(waitMs, stop.signal).catch(() => undefined)]);
    stop.abort();
    return this.ended;
  }
}
