/**
 * Loads the driver of every folder in src/drivers, and the backend of every folder in src/repositories. A folder whose driver can't be used is named as a problem and left out:
 * nothing is generated from half a driver.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AnyDriver } from '../../src/contracts/driver.ts';
import type { AnyRepositoryBackendFactory } from '../../src/contracts/repository-backend.ts';

export interface LoadedDrivers {
  /** In the order of their names. */
  readonly drivers: readonly AnyDriver[];
  readonly problems: readonly string[];
}

/** `shared`: names of folders that several drivers share, and that are none themselves. */
export async function loadDrivers(folder: string, shared: readonly string[] = []): Promise<LoadedDrivers> {
  const { loaded, problems } = await loadFolders<AnyDriver>(folder, 'driver', shared);
  return { drivers: loaded, problems };
}

export interface LoadedRepositories {
  /** In the order of their names. */
  readonly repositories: readonly AnyRepositoryBackendFactory[];
  readonly problems: readonly string[];
}

export async function loadRepositories(folder: string): Promise<LoadedRepositories> {
  const { loaded, problems } = await loadFolders<AnyRepositoryBackendFactory>(folder, 'backend');
  return { repositories: loaded, problems };
}

async function loadFolders<T extends { readonly name: string }>(
  folder: string,
  what: 'driver' | 'backend',
  shared: readonly string[] = [],
): Promise<{ loaded: T[]; problems: string[] }> {
  const loaded: T[] = [];
  const problems: string[] = [];
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !shared.includes(entry.name));
  for (const { name } of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = join(folder, name, `${what}.ts`);
    if (!existsSync(file)) {
      problems.push(`${name} has no ${what}.ts: it is left out`);
      continue;
    }
    try {
      loaded.push(await loadOne<T>(file, name, what));
    } catch (error) {
      problems.push(`${name} can not be loaded, it is left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { loaded, problems };
}

async function loadOne<T extends { readonly name: string }>(file: string, name: string, what: 'driver' | 'backend'): Promise<T> {
  const found = ((await import(pathToFileURL(file).href)) as Partial<Record<typeof what, T>>)[what];
  if (found === undefined) throw new Error(`${what}.ts exports no "${what}"`);
  if (found.name !== name) throw new Error(`the ${what} calls itself "${found.name}"; it must be named as its folder`);
  return found;
}
