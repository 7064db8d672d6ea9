/**
 * A ClickHouse of our own on this machine, for proofs and restores: on loopback only, with a password made for it, without Keeper and without other servers.
 *
 * Invariant: it does not outlive this process. Its directory holds a configuration with which a person can start it too.
 */
import { createHash } from 'node:crypto';
import { fail, HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { type ScratchProcess, startScratchProcess } from '../../contracts/scratch-process.ts';
import type { Host } from '../../host/host.ts';
import { ClickhouseClient } from './client.ts';

const startMaxMs = 120_000;
const probeMs = 2_000;
const user = 'holdfast';

export interface ScratchClickhouse {
  readonly client: ClickhouseClient;
  readonly url: string;
  stop(): Promise<void>;
}

export const filesIn = (directory: string): string => `${directory}/files`;
export const configIn = (directory: string): string => `${directory}/config.xml`;

export async function startScratchClickhouse(
  host: Host,
  program: readonly string[],
  directory: string,
  signal: AbortSignal,
): Promise<ScratchClickhouse> {
  const password = new Secret(Buffer.from(host.random.bytes(16)).toString('hex'), 'made for the copy');
  const port = await findPort(host);
  await host.files.makeDirectory(filesIn(directory), { mode: 0o700 });
  await host.files.writeAtomically(configIn(directory), configOf(directory, port, password), { mode: 0o600 });
  const url = `http://127.0.0.1:${port}`;
  const client = new ClickhouseClient(host, { url, user, password, trust: {} });
  const [first, ...words] = program;
  const scratch: ScratchProcess = await startScratchProcess(host, {
    name: 'ClickHouse on the copy',
    program: first as string,
    args: [...words, 'server', `--config-file=${configIn(directory)}`],
    cwd: directory,
    readyTimeoutMs: startMaxMs,
    signal,
    isReady: () => isReady(client, signal),
    readLog: async () => {
      const log = `${directory}/clickhouse.err.log`;
      return (await host.files.exists(log)) ? (await host.files.readText(log)).slice(-1_500) : '';
    },
  });
  return { client, url, stop: () => scratch.stop() };
}

/** Only its own password lets us in: whoever else sits on the port by then is not taken for the copy. */
async function isReady(client: ClickhouseClient, signal: AbortSignal): Promise<boolean> {
  try {
    return (await client.query('SELECT 1 AS one', { timeoutMs: probeMs, signal }))[0]?.one === 1;
  } catch (error) {
    // It does not listen yet: whether it still runs is asked before the next try.
    if (error instanceof HoldfastError && error.kind === 'transient') return false;
    throw error;
  }
}

async function findPort({ net }: Host): Promise<number> {
  if (net.listenHttp === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'this host has no sockets' });
  const listener = await net.listenHttp({ host: '127.0.0.1', port: 0, onQuestion: async () => ({ status: 503, headers: {}, body: '' }) });
  await listener.close();
  return listener.port;
}

const xml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function configOf(directory: string, port: number, password: Secret): string {
  const place = xml(directory);
  const digest = createHash('sha256').update(password.reveal()).digest('hex');
  return `<clickhouse>
  <logger><level>warning</level><log>${place}/clickhouse.log</log><errorlog>${place}/clickhouse.err.log</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${port}</http_port>
  <path>${place}/data/</path>
  <tmp_path>${place}/tmp/</tmp_path>
  <user_files_path>${place}/files/</user_files_path>
  <backups><allowed_path>${place}/files</allowed_path></backups>
  <user_directories><users_xml><path>${place}/config.xml</path></users_xml></user_directories>
  <users><${user}><password_sha256_hex>${digest}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></${user}></users>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
</clickhouse>
`;
}
