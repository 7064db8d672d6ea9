/**
 * A Redis of our own on an RDB file: on a Unix socket of this machine only, without replication, append-only file or snapshots, and refusing writes.
 *
 * Invariant: it changes nothing in the directory, and it does not outlive this process. Keys are not removed when their time is over, save those that are asked for.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { compareVersions } from '../../base/versions.ts';
import { startScratchProcess } from '../../contracts/scratch-process.ts';
import type { Host } from '../../host/host.ts';
import type { RedisConnection, RedisPort, RedisTarget, Reply, Word } from './port.ts';

export interface ScratchPlace {
  /** Holds `dump.rdb`. */
  readonly directory: string;
  /** For the socket and the log; its path must be short. */
  readonly workDirectory: string;
  readonly program: string;
  readonly databases: number;
}

export interface ScratchRedis {
  readonly connection: RedisConnection;
  readonly socketPath: string;
  command(...words: Word[]): Promise<Reply>;
  stop(): Promise<void>;
}

/** Which programs belong to an engine; their versions are read, never assumed. */
export const programsOf = (engine: string) =>
  engine === 'valkey'
    ? { server: 'valkey-server', checkSnapshot: 'valkey-check-rdb', client: 'valkey-cli' }
    : { server: 'redis-server', checkSnapshot: 'redis-check-rdb', client: 'redis-cli' };

/** The version of the program on this machine; undefined where there is none. */
export async function readProgramVersion(host: Host, program: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout } = await host.processes.run({ program, args: ['--version'], timeoutMs: 10_000, signal });
    return /v=(\d+(?:\.\d+)*)/.exec(stdout)?.[1] ?? /v?(\d+\.\d+(?:\.\d+)*)/.exec(stdout)?.[1];
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'HANDS_NO_PROGRAM') return undefined;
    throw error;
  }
}

const socketPathMaxBytes = 100;
const loadMaxMs = 6 * 3_600_000;
export const scratchCommandMs = 60_000;

export async function startScratchRedis(host: Host, port: RedisPort, place: ScratchPlace, signal: AbortSignal): Promise<ScratchRedis> {
  const socketPath = `${place.workDirectory}/r.sock`;
  const logFile = `${place.workDirectory}/redis.log`;
  if (Buffer.byteLength(socketPath) > socketPathMaxBytes)
    throw fail('USAGE', {
      message: `${socketPath} is too long for the name of a Unix socket`,
      hint: 'Use a work directory with a shorter path.',
    });
  const version = await readProgramVersion(host, place.program, signal);
  if (version === undefined) throw fail('HANDS_NO_PROGRAM', { message: `${place.program} is not installed on this machine` });
  const target: RedisTarget = { host: socketPath, port: 0, tls: false, socketPath };
  let connection: RedisConnection | undefined;
  const process = await startScratchProcess(host, {
    name: `${place.program} on the copy`,
    program: place.program,
    args: scratchArguments(place, socketPath, logFile, version),
    readyTimeoutMs: loadMaxMs,
    signal,
    isReady: async () => {
      connection = await whenLoaded(port, target, signal);
      return connection !== undefined;
    },
    readLog: async () => ((await host.files.exists(logFile)) ? await host.files.readText(logFile) : ''),
  });
  const opened = connection as unknown as RedisConnection;
  const command = async (...words: Word[]): Promise<Reply> => {
    const [reply] = await opened.send([words], { timeoutMs: scratchCommandMs, signal });
    if (reply instanceof HoldfastError) throw reply;
    return reply as Reply;
  };
  const stop = async (): Promise<void> => {
    opened.close();
    await process.stop();
  };
  try {
    await command('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
  } catch (error) {
    await stop();
    throw error;
  }
  return { connection: opened, socketPath, command, stop };
}

function scratchArguments(place: ScratchPlace, socketPath: string, logFile: string, version: string): string[] {
  const settings: Readonly<Record<string, string>> = {
    port: '0',
    unixsocket: socketPath,
    unixsocketperm: '700',
    dir: place.directory,
    dbfilename: 'dump.rdb',
    appendonly: 'no',
    save: '',
    'replica-read-only': 'yes',
    // No replica will ever come: so every write is refused.
    'min-replicas-to-write': '1',
    databases: String(place.databases),
    daemonize: 'no',
    logfile: logFile,
    // Older servers allow DEBUG without it, and do not know the setting.
    ...(compareVersions(version, '7') >= 0 ? { 'enable-debug-command': 'local' } : {}),
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

async function whenLoaded(port: RedisPort, target: RedisTarget, signal: AbortSignal): Promise<RedisConnection | undefined> {
  let connection: RedisConnection;
  try {
    connection = await port.connect(target, { timeoutMs: 1_000, signal });
  } catch (error) {
    // Its socket is not there yet, or it is busy with reading: whether it still runs is asked before the next try.
    if (error instanceof HoldfastError && (error.kind === 'transient' || error.kind === 'unknown-outcome')) return undefined;
    throw error;
  }
  const [reply] = await connection.send([['INFO', 'persistence']], { timeoutMs: scratchCommandMs, signal }).catch((error: unknown) => {
    connection.close();
    if (error instanceof HoldfastError && error.kind === 'unknown-outcome') return [undefined];
    throw error;
  });
  if (typeof reply === 'string' && /\bloading:0\b/.test(reply)) return connection;
  connection.close();
  return undefined;
}
