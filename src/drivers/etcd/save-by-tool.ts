/**
 * The snapshot by `etcdctl snapshot save`, for members whose HTTP gateway is off.
 *
 * Invariant: the password goes to the tool by its environment, the key by a file that only we can read, in the work directory. The tool saves to a file, which is then streamed.
 */
import { fail } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { EtcdContext } from './observe.ts';

/** What was found before the snapshot: enough to say later that it is not an old one. */
export interface Origin {
  readonly clusterId: string;
  readonly version: string;
  readonly revision: string;
  readonly member: string;
  readonly bytes: AsyncIterable<Uint8Array>;
}

const saveMaxMs = 6 * 3_600_000;
const statusMs = 15_000;

export async function saveByTool(context: EtcdContext, workDirectory: string | undefined, signal: AbortSignal): Promise<Origin> {
  const { host, site, options } = context;
  const [endpoint = ''] = site.endpoints;
  if (workDirectory === undefined)
    throw fail('BACKUP_TOOL_FAILED', {
      message: 'the HTTP gateway of etcd is off, and etcdctl needs a work directory to save to',
      hint: 'Switch the gateway on, or give a work directory.',
    });
  const keyFile = `${workDirectory}/client.key`;
  if (site.key) await host.files.writeAtomically(keyFile, site.key.reveal(), { mode: 0o600 });
  const login: Record<string, string | Secret> =
    options.user === undefined || options.password === undefined ? {} : { ETCDCTL_USER: options.user, ETCDCTL_PASSWORD: options.password };
  const trust = [
    ...(site.ca === undefined ? [] : ['--cacert', site.ca]),
    ...(site.certificate === undefined ? [] : ['--cert', site.certificate, '--key', keyFile]),
  ];
  const run = async (timeoutMs: number, ...words: string[]): Promise<string> => {
    const args = [...words, '--endpoints', endpoint, ...trust];
    const { exitCode, stdout, stderr } = await host.processes.run({
      program: 'etcdctl',
      args,
      env: { ETCDCTL_API: '3', ...login },
      timeoutMs,
      signal,
    });
    if (exitCode === 0) return stdout;
    const isLogin = /authentication failed|permission denied|user name is empty/i.test(stderr);
    throw fail(isLogin ? 'SYSTEM_WRONG_CREDENTIALS' : 'BACKUP_TOOL_FAILED', {
      message: `etcdctl ${words[0]} ${words[1]} ended with ${exitCode}: ${stderr.trim().slice(-800)}`,
    });
  };
  try {
    const status = await run(statusMs, 'endpoint', 'status', '-w', 'json');
    const file = `${workDirectory}/saved.db`;
    await run(saveMaxMs, 'snapshot', 'save', file);
    return {
      // Taken as text: its numbers are larger than a number of JSON can be here.
      clusterId: /"cluster_id":(\d+)/.exec(status)?.[1] ?? '0',
      revision: /"revision":(\d+)/.exec(status)?.[1] ?? '0',
      version: /"version":"([^"]+)"/.exec(status)?.[1] ?? '0',
      member: new URL(endpoint).host,
      bytes: streamAndRemove(context, file, signal),
    };
  } finally {
    await host.files.remove(keyFile);
  }
}

async function* streamAndRemove({ host }: EtcdContext, file: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
  try {
    yield* host.fileStreams.read(file, { signal });
  } finally {
    await host.files.remove(file);
  }
}
