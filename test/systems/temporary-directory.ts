/**
 * Directories for servers that tests, benchmarks and the demo start.
 *
 * Invariant: every parent is open to other users, because a server that must not run as root has to reach its own part. When
 * this process dies without cleaning up, the watchdog removes the directory, unless it was made to outlive the process.
 */
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetDirectory, watchDirectory } from './watchdog-client.ts';

export interface TemporaryDirectoryOptions {
  readonly outliveParent?: boolean;
}

/** Root's own TMPDIR may be closed to the user that the server runs as; /tmp never is. */
const base = process.getuid?.() === 0 ? '/tmp' : tmpdir();

/** A new empty directory /tmp/holdfast-NAME-xxxxxx. */
export async function temporaryDirectory(name = 'test', options: TemporaryDirectoryOptions = {}): Promise<string> {
  const directory = await mkdtemp(join(base, `holdfast-${name}-`));
  if (options.outliveParent !== true) watchDirectory(directory);
  await chmod(directory, 0o755);
  return directory;
}

/** The given directory, made if missing and refused if it holds anything; or a new temporary one. */
export async function serverDirectory(wanted: string | undefined, name: string, options: TemporaryDirectoryOptions): Promise<string> {
  if (wanted === undefined) return temporaryDirectory(name, options);
  await mkdir(wanted, { recursive: true, mode: 0o755 });
  if ((await readdir(wanted)).length > 0) throw new Error(`${wanted} is not empty: a server needs a directory of its own`);
  if (options.outliveParent !== true) watchDirectory(wanted);
  return wanted;
}

export async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  forgetDirectory(directory);
}
