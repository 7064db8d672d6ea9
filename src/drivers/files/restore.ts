/**
 * Restores a directory from its archive.
 *
 * Invariant: only into an empty directory, and never outside of it: an entry must lie in a directory that this restore has made itself, so that no link in the archive leads it elsewhere. What dies on
 * the way leaves a directory that is not empty, which the next attempt refuses.
 */
import { createHash } from 'node:crypto';
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { Json } from '../../base/json.ts';
import type {
  BackupReader,
  CheckResult,
  RecoveryTarget,
  RestoredCopy,
  Restorer,
  RestorerContext,
  RunningCopy,
} from '../../contracts/backup.ts';
import { makeRestoreTarget } from '../../contracts/restore-files.ts';
import type { FileFacts, Host } from '../../host/host.ts';
import { archivePart } from './backup-source.ts';
import { faissHeaderBytes, parseFaissHeader } from './faiss-header.ts';
import { checkFaissCopy, type FaissNote } from './faiss-notes.ts';
import { compareTallies, GroupTallies } from './group-tallies.ts';
import type { FilesOptions } from './options.ts';
import type { TarEntry } from './tar-entry.ts';
import { readTar } from './tar-reader.ts';

type Context = RestorerContext<FilesOptions>;

interface Written {
  files: number;
  bytes: number;
}

export function openRestorer(context: Context): Restorer {
  return {
    preview: async (backup, target) => {
      const problem = problemOf(backup, target);
      return {
        target: `the files of ${formatInstant(backup.facts.consistentAtMs)}`,
        newestMs: backup.facts.consistentAtMs,
        bytes: backup.facts.dataBytes,
        problems: problem === undefined ? [] : [problem],
      };
    },
    restore: async (backup, target, into) => {
      const problem = problemOf(backup, target);
      if (problem) throw fail('RESTORE_TARGET_UNREACHABLE', problem);
      await makeRestoreTarget(context.host, into);
      const written = await writeFiles(context, backup, into);
      return restoredCopy(context, backup, into, written);
    },
  };
}

function problemOf(backup: BackupReader, { kind }: RecoveryTarget): { message: string; hint: string } | undefined {
  if (kind === 'newest' || kind === 'consistent') return undefined;
  return {
    message: `a copy of files comes back to its own instant only, ${formatInstant(backup.facts.consistentAtMs)}`,
    hint: 'Take the newest backup before the instant that is wanted: holdfast backups lists them.',
  };
}

async function writeFiles(context: Context, backup: BackupReader, into: string): Promise<Written> {
  const { host, signal } = context;
  const written: Written = { files: 0, bytes: 0 };
  /** The directories on the way to the present one, made by us; they get their modes when we leave them, for one may forbid writing. */
  const open: TarEntry[] = [];
  let last: { readonly path: string; readonly bytes: number } | undefined;
  const leaveTo = async (path: string): Promise<void> => {
    for (let top = open.at(-1); top !== undefined && !path.startsWith(`${top.path}/`); top = open.at(-1)) {
      await host.fileStreams.setMode(`${into}/${top.path}`, top.mode);
      open.pop();
    }
  };
  for await (const { entry, content } of readTar(backup.readPart(archivePart))) {
    signal.throwIfAborted();
    await leaveTo(entry.path);
    refuseOutside(entry, open.at(-1)?.path);
    const path = `${into}/${entry.path}`;
    if (last?.path === entry.path) {
      await host.files.remove(path);
      written.files -= 1;
      written.bytes -= last.bytes;
    }
    last = undefined;
    if (entry.discards === true) continue;
    if (entry.kind === 'directory') {
      await host.files.makeDirectory(path, { mode: 0o700 });
      open.push(entry);
    } else if (entry.kind === 'link') await host.fileStreams.symbolicLink(entry.target ?? '', path);
    else {
      await writeFile(host, path, entry, content);
      written.files += 1;
      written.bytes += entry.sizeBytes;
      last = { path: entry.path, bytes: entry.sizeBytes };
      if (written.files % 10_000 === 0) context.progress(`${written.files} files, ${Math.round(written.bytes / 1_048_576)} MiB`);
    }
  }
  await leaveTo('');
  await host.fileStreams.syncFileSystem(into);
  return written;
}

function refuseOutside(entry: TarEntry, directory: string | undefined): void {
  const names = entry.path.split('/');
  const parent = names.slice(0, -1).join('/');
  if (names.some((name) => name === '' || name === '.' || name === '..') || parent !== (directory ?? ''))
    throw fail('BACKUP_DAMAGED', { message: `the archive of files has an entry outside of its directories: ${entry.path}` });
}

async function writeFile(host: Host, path: string, entry: TarEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
  const writer = await host.fileStreams.openWriter(path, { mode: 0o600 });
  try {
    for await (const bytes of content) await writer.write(bytes);
  } finally {
    await writer.close();
  }
  await host.fileStreams.setMode(path, entry.mode);
}

function restoredCopy(context: Context, backup: BackupReader, directory: string, written: Written): RestoredCopy {
  const notes = (backup.facts.more?.faiss ?? []) as readonly FaissNote[];
  const { python } = context.options;
  return {
    directory,
    checkStopped: async () => [
      countCheck(backup, written),
      ...(await checkFaissCopy(context.host, directory, notes, python, context.signal)),
    ],
    start: async () => runningCopy(context, backup, directory),
    startHint: `move ${directory} to where it is used; the old directory is left as it is`,
  };
}

function countCheck(backup: BackupReader, written: Written): CheckResult {
  const { dataBytes, more } = backup.facts;
  const ok = written.files === more?.files && written.bytes === dataBytes;
  const detail = `${written.files} files of ${written.bytes} bytes came out, ${String(more?.files)} of ${dataBytes} went in`;
  return { name: 'as many files came out as went in', level: 'P3', ok, detail };
}

function runningCopy(context: Context, backup: BackupReader, directory: string): RunningCopy {
  const { consistentAtMs } = backup.facts;
  return {
    reached: { atMs: consistentAtMs, detail: `came to the files of ${formatInstant(consistentAtMs)}` },
    check: async () => [],
    compare: async (expected, key) => {
      const tallies = new GroupTallies(key, new Set(expected.entries.map(({ name }) => name)));
      for await (const found of context.host.fileStreams.walk(directory)) {
        context.signal.throwIfAborted();
        await addToTallies(context.host, directory, found, tallies);
      }
      return compareTallies(expected, tallies.entries());
    },
    readCanary: async () => undefined,
    ask: (question) => answer(context.host, directory, question),
    address: directory,
    stop: async () => {},
  };
}

async function addToTallies(host: Host, directory: string, found: FileFacts, tallies: GroupTallies): Promise<void> {
  if (found.kind === 'other') return;
  const { path, kind, mode, modifiedMs } = found;
  const isLink = kind === 'link';
  const entry: TarEntry = {
    path,
    kind,
    sizeBytes: kind === 'file' ? found.sizeBytes : 0,
    mode: isLink ? 0o777 : mode,
    modifiedMs,
    ...(isLink ? { target: await host.fileStreams.readLink(`${directory}/${path}`) } : {}),
  };
  tallies.add(entry, kind === 'file' ? await digestOf(host, `${directory}/${path}`) : new Uint8Array(0));
}

async function digestOf(host: Host, path: string): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const bytes of host.fileStreams.read(path)) hash.update(bytes);
  return hash.digest();
}

/** `sha256 PATH`, `size PATH`, `ntotal PATH`, `dimension PATH`. */
async function answer(host: Host, directory: string, question: string): Promise<Json> {
  const [, word = '', path = ''] = /^(\S+)\s+(.+)$/.exec(question.trim()) ?? [];
  const isInside = path !== '' && !path.startsWith('/') && !path.split('/').includes('..');
  if (!isInside || !['sha256', 'size', 'ntotal', 'dimension'].includes(word))
    throw fail('USAGE', {
      message: `not a question to files: ${question}`,
      hint: 'Ask sha256, size, ntotal or dimension of a path below the directory: ntotal tenant-7/main.faiss',
    });
  const facts = await host.fileStreams.stat(`${directory}/${path}`);
  if (facts?.kind !== 'file') return null;
  if (word === 'size') return facts.sizeBytes;
  if (word === 'sha256') return (await digestOf(host, `${directory}/${path}`)).toString('hex');
  const pieces: Uint8Array[] = [];
  for await (const bytes of host.fileStreams.read(`${directory}/${path}`, { to: faissHeaderBytes })) pieces.push(bytes);
  const head = parseFaissHeader(Buffer.concat(pieces));
  return 'unknown' in head ? null : word === 'ntotal' ? head.ntotal : head.dimension;
}
