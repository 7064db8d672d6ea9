/**
 * What a push of a log file needs to know of a spec, kept beside the program's own cache: the next push of the same database need not load and check the whole spec, while the database
 * waits. It holds for exactly the spec files that it was made from, to the byte, and for this version of the program; secrets are not in it, only where they come from.
 */
import { hashJson, sha256Hex } from '../../base/hashing.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { Host } from '../../host/host.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';

export interface PushMemory extends JsonObject {
  readonly version: string;
  /** Absolute path and digest of each spec file. */
  readonly specs: readonly { readonly path: string; readonly digest: string }[];
  readonly platform: string;
  readonly component: string;
  /** The component's: it knows whose log a file is. */
  readonly driver: string;
  readonly repository: string;
  /** Of a repository in a directory; others are opened by the whole program. */
  readonly directory: string;
  readonly lockMs?: number;
  /** `env:NAME` or `file:PATH`. */
  readonly secretSource?: string;
}

export interface PushMemoryKey {
  readonly workingDirectory: string;
  readonly specs: readonly string[];
  readonly component: string;
  readonly repository: string | undefined;
}

/** The name of its file. */
export function pushMemoryName(key: PushMemoryKey): string {
  return `${hashJson([key.workingDirectory, [...key.specs], key.component, key.repository ?? null] as Json)}.json`;
}

export async function digestSpecs(host: Pick<Host, 'files'>, paths: readonly string[]): Promise<PushMemory['specs']> {
  return await Promise.all(paths.map(async (path) => ({ path, digest: sha256Hex(await host.files.readBytes(path)) })));
}

/** Undefined where the repository is not one that the quick way can open. */
export function makePushMemory(
  from: Pick<PushMemory, 'version' | 'specs' | 'platform' | 'component' | 'driver'>,
  { name, driver, options, encryption, lockMs, storeKey }: RepositorySpec,
): PushMemory | undefined {
  const { path } = (options ?? {}) as { readonly path?: unknown };
  if (driver !== 'filesystem' || typeof path !== 'string' || storeKey !== undefined || encryption?.kind === 'key-service') return undefined;
  return {
    ...from,
    repository: name,
    directory: path,
    ...(lockMs === undefined ? {} : { lockMs }),
    ...(encryption === undefined ? {} : { secretSource: encryption.secret.source }),
  };
}
