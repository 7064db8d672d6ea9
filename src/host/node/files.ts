/**
 * The machine's files.
 *
 * Invariant: `writeAtomically` leaves the old content or the new, whole and durable. Dying inside it leaves at most a temporary file (`.NAME.xxxx.tmp`) beside, which
 * nobody reads.
 */
import { randomBytes } from 'node:crypto';
import { access, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Files } from '../host.ts';
import { mapped } from './file-errors.ts';

export function nodeFiles(): Files {
  return {
    readText: (path) => mapped(path, 'read', () => readFile(path, 'utf8')),
    readBytes: (path) => mapped(path, 'read', () => readBytes(path)),
    writeAtomically: (path, content, options) => mapped(path, 'write', () => writeAtomically(path, content, options?.mode)),
    exists: (path) => mapped(path, 'look at', () => exists(path)),
    makeDirectory: (path, options) =>
      mapped(path, 'make', async () => {
        await mkdir(path, { recursive: true, ...(options?.mode === undefined ? {} : { mode: options.mode }) });
      }),
    list: (path) => mapped(path, 'list', async () => (await readdir(path)).sort()),
    remove: (path) => mapped(path, 'remove', () => rm(path, { recursive: true, force: true })),
  };
}

/** As plain bytes, without copying them: files of 16 MiB are read while a database waits. */
async function readBytes(path: string): Promise<Uint8Array> {
  const { buffer, byteOffset, length } = await readFile(path);
  return new Uint8Array(buffer, byteOffset, length);
}

async function writeAtomically(path: string, content: string | Uint8Array, mode: number | undefined): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', mode ?? 0o666);
    try {
      if (mode !== undefined) await file.chmod(mode); // the umask has a say in open()
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

/** A rename is durable only once the directory is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}
