/**
 * Large files, and what a store of objects needs of a file system.
 *
 * Invariant: `createOnce` shows a file whole or not at all, and never in the place of another: the content goes into a temporary file beside, which gets its name by a hard link,
 * which the kernel refuses where the name is taken. Dying inside it leaves at most that temporary file (`.NAME.xxxx.tmp`).
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { BigIntStats, Dir } from 'node:fs';
import { chmod, type FileHandle, link, lstat, mkdir, open, opendir, readlink, rename, rm, rmdir, statfs, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { FileFacts, FileStreams, FileWriter } from '../host.ts';
import { DirectFile, directMemory, readInto, writeAll } from './direct-files.ts';
import { mapped } from './file-errors.ts';

const chunkBytesDefault = 1_048_576;
const linkTries = 5;
const run = promisify(execFile);

export function nodeFileStreams(): FileStreams {
  return {
    stat: (path) => mapped(path, 'look at', () => factsOf(path, path)),
    read,
    openWriter: (path, options) => mapped(path, 'write', () => openWriter(path, options)),
    createOnce: (path, content, options) => mapped(path, 'write', () => createOnce(path, content, options?.temporaryIn ?? dirname(path))),
    directMemory,
    readInto: (path, memory) => mapped(path, 'read', () => readInto(path, memory)),
    sync: (path) => mapped(path, 'make durable', () => syncOne(path)),
    syncFileSystem: (path) =>
      mapped(path, 'make durable', async () => {
        await run('sync', ['-f', path]);
      }),
    walk: (directory) => walk(directory, ''),
    rename: (from, to) => mapped(from, 'rename', () => rename(from, to)),
    link: (target, path) => mapped(path, 'link', () => link(target, path)),
    symbolicLink: (target, path) => mapped(path, 'link', () => symlink(target, path)),
    readLink: (path) => mapped(path, 'read', () => readlink(path)),
    setMode: (path, mode) => mapped(path, 'change', () => chmod(path, mode)),
    freeBytes: (path) =>
      mapped(path, 'look at', async () => {
        const { bavail, bsize } = await statfs(path);
        return bavail * bsize;
      }),
    removeEmptyDirectory: (path) => mapped(path, 'remove', () => removeEmptyDirectory(path)),
  };
}

async function factsOf(path: string, shown: string): Promise<FileFacts | undefined> {
  let found: BigIntStats;
  try {
    found = await lstat(path, { bigint: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : found.isSymbolicLink() ? 'link' : 'other';
  return {
    path: shown,
    kind,
    sizeBytes: Number(found.size),
    modifiedMs: Number(found.mtimeMs),
    mode: Number(found.mode & 0o7777n),
    identity: `${found.dev}:${found.ino}:${found.ctimeNs}`,
  };
}

type ReadOptions = NonNullable<Parameters<FileStreams['read']>[1]>;

async function* read(path: string, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
  const file = await mapped(path, 'read', () => open(path, 'r'));
  try {
    let at = options.from ?? 0;
    const end = options.to ?? Number.POSITIVE_INFINITY;
    while (at < end) {
      options.signal?.throwIfAborted();
      const wanted = Math.min(options.chunkBytes ?? chunkBytesDefault, end - at);
      const from = at;
      const { buffer, bytesRead } = await mapped(path, 'read', () => file.read(Buffer.allocUnsafe(wanted), 0, wanted, from));
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function openWriter(path: string, options: { mode?: number; append?: boolean } = {}): Promise<FileWriter> {
  const file: FileHandle = await open(path, options.append === true ? 'a' : 'wx', options.mode ?? 0o666);
  const direct = new DirectFile(path, file);
  return {
    write: (bytes) => mapped(path, 'write', () => writeAll(file, bytes)),
    writeAt: (bytes, at) => mapped(path, 'write', () => direct.writeAt(bytes, at)),
    sync: () => mapped(path, 'make durable', () => file.sync()),
    close: () => mapped(path, 'close', () => direct.close()),
  };
}

async function createOnce(path: string, content: Uint8Array, temporaryIn: string): Promise<'created' | 'exists'> {
  const temporary = join(temporaryIn, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = new DirectFile(temporary, await openNew(temporary, temporaryIn));
    try {
      await file.writeAt(content, 0);
    } finally {
      await file.close();
    }
    return await linkOnce(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function linkOnce(from: string, to: string): Promise<'created' | 'exists'> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await link(from, to);
      return 'created';
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return 'exists';
      // The directory is not there yet; or it was empty, and somebody has just removed it.
      if (code !== 'ENOENT' || attempt > linkTries) throw error;
      await mkdir(dirname(to), { recursive: true });
    }
  }
}

async function openNew(path: string, directory: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o640);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(directory, { recursive: true });
    return open(path, 'wx', 0o640);
  }
}

async function syncOne(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function removeEmptyDirectory(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(code)) return false;
    throw error;
  }
}

async function* walk(root: string, below: string): AsyncIterable<FileFacts> {
  const directory = below === '' ? root : join(root, below);
  const names: string[] = [];
  const handle = await mapped(directory, 'list', () => openExisting(directory, below !== ''));
  // As with files: it was removed since it was seen.
  if (handle === undefined) return;
  for await (const entry of handle) names.push(entry.name);
  names.sort();
  for (const name of names) {
    const path = below === '' ? name : `${below}/${name}`;
    const facts = await mapped(join(root, path), 'look at', () => factsOf(join(root, path), path));
    // It was removed since its directory was listed: it is not there.
    if (!facts) continue;
    yield facts;
    if (facts.kind === 'directory') yield* walk(root, path);
  }
}

/** Undefined where it has gone, for one that `mayBeGone`; a root that is not there is an error. */
async function openExisting(directory: string, mayBeGone: boolean): Promise<Dir | undefined> {
  try {
    return await opendir(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (mayBeGone && (code === 'ENOENT' || code === 'ENOTDIR')) return undefined;
    throw error;
  }
}
