/**
 * Directories for servers that tests, benchmarks and the demo start.
 *
 * Invariant: every parent is open to other users, because a server that must not run as root has to reach its own part. When
 * this process dies without cleaning up, the watchdog removes the directory, unless it was made to outlive the process.
 */
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { directoryVariable } from './memory-directory.ts';
import { forgetDirectory, watchDirectory } from './watchdog-client.ts';

export interface TemporaryDirectoryOptions {
  readonly outliveParent?: boolean;
}

export interface ServerDirectoryOptions extends TemporaryDirectoryOptions {
  /** In memory, where the surroundings name a place for it: for servers of many small files. */
  readonly manyFiles?: boolean;
}

/** Root's own TMPDIR may be closed to the user that the server runs as; /tmp never is. */
const base = process.getuid?.() === 0 ? '/tmp' : tmpdir();

/** A new empty directory /tmp/holdfast-NAME-xxxxxx. */
export async function temporaryDirectory(name = 'test', options: TemporaryDirectoryOptions = {}): Promise<string> {
  return make(join(base, `holdfast-${name}-`), options);
}

async function make(prefix: string, options: TemporaryDirectoryOptions): Promise<string> {
  const directory = await mkdtemp(prefix);
  if (options.outliveParent !== true) watchDirectory(directory);
  await chmod(directory, 0o755);
  return directory;
}

/** The given directory, made if missing and refused if it holds anything; or a new temporary one. */
export async function serverDirectory(wanted: string | undefined, name: string, options: ServerDirectoryOptions): Promise<string> {
  if (wanted === undefined) {
    const place = options.manyFiles ? process.env[directoryVariable] : undefined;
    // A socket's path may have 107 characters: the shorter name makes up for the longer place.
    return place === undefined ? temporaryDirectory(name, options) : make(join(place, `hf-${name}-`), options);
  }
  await mkdir(wanted, { recursive: true, mode: 0o755 });
  if ((await readdir(wanted)).length > 0) throw new Error(`${wanted} is not empty: a server needs a directory of its own`);
  if (options.outliveParent !== true) watchDirectory(wanted);
  return wanted;
}

export async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  forgetDirectory(directory);
}
