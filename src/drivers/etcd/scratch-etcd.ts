/**
 * A single member of our own on a restored data directory: on Unix sockets of this machine only, as a new cluster that no old member can join.
 *
 * Invariant: it does not outlive this process, and the snapshot that it came from is not changed.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { compareVersions } from '../../base/versions.ts';
import { type ScratchProcess, startScratchProcess } from '../../contracts/scratch-process.ts';
import type { Host } from '../../host/host.ts';
import { EtcdClient } from './client.ts';
import type { EtcdOptions } from './options.ts';

export const memberName = 'restored';
const peerUrl = 'http://127.0.0.1:2380';
const restoreMaxMs = 6 * 3_600_000;
const startMaxMs = 600_000;
const probeMs = 2_000;
const socketPathMaxBytes = 100;
/** etcd names a socket as a host and a port, and makes it in its working directory. */
const clientSocket = 'client:0';

export interface RestoreTool {
  readonly program: 'etcdutl' | 'etcdctl';
  readonly version: string;
}

/** etcdutl came with 3.5, and 3.6 took the command out of etcdctl. */
export async function findRestoreTool(host: Host, signal: AbortSignal): Promise<RestoreTool | undefined> {
  for (const program of ['etcdutl', 'etcdctl'] as const) {
    const version = await readVersion(host, program, 'version', signal);
    if (version !== undefined && (program === 'etcdutl' || compareVersions(version, '3.6') < 0)) return { program, version };
  }
  return undefined;
}

export const readServerVersion = (host: Host, signal: AbortSignal): Promise<string | undefined> =>
  readVersion(host, 'etcd', '--version', signal);

async function readVersion(host: Host, program: string, argument: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout } = await host.processes.run({ program, args: [argument], env: { ETCDCTL_API: '3' }, timeoutMs: 10_000, signal });
    return /version:\s*v?(\d+\.\d+\.\d+)/i.exec(stdout)?.[1];
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'HANDS_NO_PROGRAM') return undefined;
    throw error;
  }
}

/** Makes the data directory, which must not exist, from a snapshot file. The tool checks the digest at the file's end. */
export async function restoreSnapshot(
  host: Host,
  tool: RestoreTool,
  file: string,
  dataDirectory: string,
  signal: AbortSignal,
): Promise<void> {
  const { exitCode, stderr, stdout } = await host.processes.run({
    program: tool.program,
    args: [
      ...['snapshot', 'restore', file, '--data-dir', dataDirectory, '--name', memberName],
      ...[
        '--initial-cluster',
        `${memberName}=${peerUrl}`,
        '--initial-cluster-token',
        'holdfast-restored',
        '--initial-advertise-peer-urls',
        peerUrl,
      ],
    ],
    env: { ETCDCTL_API: '3' },
    timeoutMs: restoreMaxMs,
    signal,
  });
  if (exitCode !== 0)
    throw fail('BACKUP_TOOL_FAILED', {
      message: `${tool.program} snapshot restore ended with ${exitCode}: ${`${stdout}${stderr}`.trim().slice(-800)}`,
    });
}

export interface ScratchEtcd {
  readonly client: EtcdClient;
  readonly socketPath: string;
  stop(): Promise<void>;
}

export async function startScratchEtcd(
  host: Host,
  place: { readonly dataDirectory: string; readonly workDirectory: string; readonly options: EtcdOptions },
  signal: AbortSignal,
): Promise<ScratchEtcd> {
  const { dataDirectory, workDirectory, options } = place;
  const socketPath = `${workDirectory}/${clientSocket}`;
  const logFile = `${workDirectory}/etcd.log`;
  if (Buffer.byteLength(socketPath) > socketPathMaxBytes)
    throw fail('USAGE', {
      message: `${socketPath} is too long for the name of a Unix socket`,
      hint: 'Use a work directory with a shorter path.',
    });
  const client = new EtcdClient(host, { url: 'http://copy', socketPath, trust: {}, options });
  const scratch: ScratchProcess = await startScratchProcess(host, {
    name: 'etcd on the copy',
    program: 'etcd',
    args: [
      ...['--name', memberName, '--data-dir', dataDirectory],
      ...['--listen-client-urls', `unix://${clientSocket}`, '--advertise-client-urls', 'http://127.0.0.1:2379'],
      ...['--listen-peer-urls', 'unix://peer:0', '--initial-advertise-peer-urls', peerUrl, '--initial-cluster', `${memberName}=${peerUrl}`],
      ...['--logger', 'zap', '--log-outputs', logFile],
    ],
    cwd: workDirectory,
    readyTimeoutMs: startMaxMs,
    signal,
    isReady: () => isHealthy(client, signal),
    readLog: async () => ((await host.files.exists(logFile)) ? lastWords(await host.files.readText(logFile)) : ''),
  });
  return { client, socketPath, stop: () => scratch.stop() };
}

async function isHealthy(client: EtcdClient, signal: AbortSignal): Promise<boolean> {
  try {
    return await client.isHealthy({ timeoutMs: probeMs, signal });
  } catch (error) {
    // Its socket is not there yet, or it has no leader yet: whether it still runs is asked before the next try.
    if (error instanceof HoldfastError && error.kind === 'transient') return false;
    throw error;
  }
}

/** What it complained of, without the lines on what it does. */
function lastWords(log: string): string {
  const lines = log.trim().split('\n');
  const bad = lines.filter((line) => /"level":"(?:error|fatal|panic)"/.test(line));
  return (bad.length > 0 ? bad : lines).slice(-3).join('\n');
}
