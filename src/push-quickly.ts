/**
 * Pushes a log file with what an earlier push has learnt of the spec (src/control/backups/push-memory.ts), loading nothing of the program but what writes into the repository.
 *
 * Invariant: it does what the whole program would do, or nothing. Undefined where nothing is remembered, the spec or the program has changed, or anything goes wrong: then the whole
 * program does it, and explains what is wrong. Dying here leaves the file archived whole, or not at all.
 */
import { basename, join } from 'node:path';
import { openRepository } from './backups/open-repository.ts';
import { assert } from './base/assert.ts';
import type { Secret } from './base/secret.ts';
import { digestSpecs, type PushMemory, type PushMemoryKey, pushMemoryName } from './control/backups/push-memory.ts';
import type { Host, Log } from './host/host.ts';
import { nodeClock } from './host/node/clock.ts';
import { nodeFileStreams } from './host/node/file-streams.ts';
import { nodeFiles } from './host/node/files.ts';
import { nodeRandom } from './host/node/random.ts';
import { nodeSecrets } from './host/node/secrets.ts';
import { logIdentifiers } from './log-identifiers.generated.ts';
import { FileStore } from './repositories/filesystem/file-store.ts';

export interface QuickPush extends PushMemoryKey {
  readonly path: string;
  readonly version: string;
  readonly cacheDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly warn: (text: string) => void;
}

export interface QuicklyPushed {
  readonly name: string;
  readonly component: string;
  readonly repository: string;
  readonly identity: string;
  readonly outcome: 'kept' | 'same';
  readonly bytes: number;
}

type QuickHost = Pick<Host, 'clock' | 'files' | 'fileStreams' | 'log' | 'random' | 'secrets'>;

export async function pushQuickly(request: QuickPush): Promise<QuicklyPushed | undefined> {
  const host: QuickHost = {
    clock: nodeClock(),
    files: nodeFiles(),
    fileStreams: nodeFileStreams(),
    log: warningsTo(request.warn),
    random: nodeRandom(),
    secrets: nodeSecrets(request.environment),
  };
  try {
    const memory = await recall(request, host);
    return memory === undefined ? undefined : await push(memory, request.path, host);
  } catch (error) {
    request.warn(`the quick way does not work, the whole program is loaded: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

async function recall(request: QuickPush, host: QuickHost): Promise<PushMemory | undefined> {
  const file = join(request.cacheDirectory, 'wal-push', pushMemoryName(request));
  if (!(await host.files.exists(file))) return undefined;
  const memory = JSON.parse(await host.files.readText(file)) as PushMemory;
  if (memory.version !== request.version) return undefined;
  const now = await digestSpecs(host, request.specs);
  return JSON.stringify(now) === JSON.stringify(memory.specs) ? memory : undefined;
}

async function push(memory: PushMemory, path: string, host: QuickHost): Promise<QuicklyPushed> {
  const { platform, component, driver, directory, repository, lockMs } = memory;
  const identify = logIdentifiers[driver];
  assert(identify !== undefined, `the logs of ${driver} can be told apart`);
  const secret = await readSecret(memory, host);
  // A directory asks nothing of a host but what is here.
  const backend = new FileStore(directory, host as Host, undefined);
  const [identity, bytes, opened] = await Promise.all([
    identify().then(({ identifyLog }) => identifyLog(host, path)),
    host.files.readBytes(path),
    openRepository({ backend, host, platform, ...(lockMs === undefined ? {} : { lockMs }), ...(secret === undefined ? {} : { secret }) }),
  ]);
  try {
    const name = basename(path);
    const outcome = await (await opened.openArchive(component, identity)).push(name, bytes);
    return { name, component, repository, identity, outcome, bytes: bytes.length };
  } finally {
    await opened.close();
  }
}

async function readSecret({ secretSource }: PushMemory, { secrets }: QuickHost): Promise<Secret | undefined> {
  if (secretSource === undefined) return undefined;
  const [kind, where] = [secretSource.slice(0, secretSource.indexOf(':')), secretSource.slice(secretSource.indexOf(':') + 1)];
  return kind === 'env' ? await secrets.fromEnvironment(where) : await secrets.fromFile(where);
}

function warningsTo(warn: (text: string) => void): Log {
  const tell = (event: string, fields: object = {}): void => warn(`${event} ${JSON.stringify(fields)}`);
  const nothing = (): void => undefined;
  const log: Log = { debug: nothing, info: nothing, warn: tell, error: tell, with: () => log };
  return log;
}
