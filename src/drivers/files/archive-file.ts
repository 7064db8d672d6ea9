/**
 * Puts one file into the archive as it was at one instant.
 *
 * Invariant: a file counts only if it is the same before and after it was read: same inode, size, and time of change. One that changed is read again; after so many times the backup
 * fails, for it would hold something that never was. Small files are read before anything is written. Of a large one the archive may hold torn contents, always followed by the whole
 * one under the same path, which is the one that counts.
 */
import { createHash, type Hash, hash } from 'node:crypto';
import { fail } from '../../base/errors.ts';
import type { FileFacts, FileStreams } from '../../host/host.ts';
import type { TarEntry } from './tar-entry.ts';
import type { TarWriter } from './tar-writer.ts';

export interface ArchivedFile {
  readonly entry: TarEntry;
  readonly sha256: Uint8Array;
  readonly facts: FileFacts;
  /** The first bytes. */
  readonly head: Buffer;
  /** Whether the mark that was looked for is in it. */
  readonly hasMark: boolean;
}

export interface ReadRules {
  readonly fileStreams: FileStreams;
  readonly attempts: number;
  readonly headBytes: number;
  readonly mark: Buffer | undefined;
  readonly signal: AbortSignal;
}

const smallMaxBytes = 1_048_576;
const nothing = Buffer.alloc(0);

/** Undefined where it is no longer there. */
export async function archiveFile(tar: TarWriter, root: string, found: FileFacts, rules: ReadRules): Promise<ArchivedFile | undefined> {
  const path = `${root}/${found.path}`;
  let before: FileFacts | undefined = found;
  let isBegun = false;
  for (let attempt = 0; attempt < rules.attempts; attempt += 1) {
    rules.signal.throwIfAborted();
    if (attempt > 0) before = await rules.fileStreams.stat(path);
    if (before === undefined || before.kind !== 'file') {
      if (isBegun) await discard(tar, found);
      return undefined;
    }
    const entry = entryOfFile(found.path, before);
    const isSmall = before.sizeBytes <= smallMaxBytes;
    const pieces: Uint8Array[] = [];
    if (!isSmall) {
      await tar.begin(entry);
      isBegun = true;
    }
    const reading = new Reading(rules);
    const isRead = await readInto(path, before.sizeBytes, rules, async (bytes) => {
      reading.add(bytes);
      if (isSmall) pieces.push(bytes);
      else await tar.content(bytes);
    });
    if (!isSmall) await tar.end();
    const after = isRead ? await rules.fileStreams.stat(path) : undefined;
    if (after === undefined || !isSame(before, after) || reading.sizeBytes !== before.sizeBytes) continue;
    if (isSmall) {
      await tar.begin(entry);
      for (const bytes of pieces) await tar.content(bytes);
      await tar.end();
    }
    return { entry, sha256: reading.digest(), facts: after, head: reading.head, hasMark: reading.hasMark };
  }
  throw fail('BACKUP_INCOMPLETE', {
    subject: path,
    message: `${path} changed each of the ${rules.attempts} times that it was read`,
    hint: 'Write a new file beside it and rename it, leave the file out, or make the writer stand still with before and after.',
  });
}

const entryOfFile = (path: string, facts: FileFacts): TarEntry => ({
  path,
  kind: 'file',
  sizeBytes: facts.sizeBytes,
  mode: facts.mode,
  modifiedMs: facts.modifiedMs,
});

const isSame = (before: FileFacts, after: FileFacts): boolean =>
  after.kind === 'file' &&
  after.identity === before.identity &&
  after.sizeBytes === before.sizeBytes &&
  after.modifiedMs === before.modifiedMs;

async function discard(tar: TarWriter, found: FileFacts): Promise<void> {
  await tar.begin({ ...entryOfFile(found.path, { ...found, sizeBytes: 0 }), discards: true });
  await tar.end();
}

/** False where the file went away before it was opened. */
async function readInto(path: string, sizeBytes: number, rules: ReadRules, take: (bytes: Uint8Array) => Promise<void>): Promise<boolean> {
  if (sizeBytes === 0) return true;
  const reading = rules.fileStreams.read(path, { to: sizeBytes, signal: rules.signal })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await reading.next().catch((error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'NOT_FOUND') return undefined;
        throw error;
      });
      if (next === undefined) return false;
      if (next.done === true) return true;
      await take(next.value);
    }
  } finally {
    await reading.return?.();
  }
}

class Reading {
  /** A file of one piece is hashed in one go, which costs a fraction of a Hash object. */
  #hash: Hash | undefined;
  #first: Uint8Array | undefined;
  readonly #rules: ReadRules;
  #tail: Buffer = nothing;
  head: Buffer = nothing;
  hasMark = false;
  sizeBytes = 0;

  constructor(rules: ReadRules) {
    this.#rules = rules;
  }

  add(bytes: Uint8Array): void {
    const { mark, headBytes } = this.#rules;
    if (this.#first === undefined) this.#first = bytes;
    else {
      this.#hash ??= createHash('sha256').update(this.#first);
      this.#hash.update(bytes);
    }
    this.sizeBytes += bytes.length;
    if (this.head.length < headBytes) this.head = Buffer.concat([this.head, bytes.subarray(0, headBytes - this.head.length)]);
    if (mark === undefined || this.hasMark) return;
    this.hasMark = Buffer.concat([this.#tail, bytes]).includes(mark);
    this.#tail = Buffer.from(bytes.subarray(-(mark.length - 1)));
  }

  digest(): Uint8Array {
    return this.#hash?.digest() ?? Buffer.from(hash('sha256', this.#first ?? nothing, 'binary'), 'latin1');
  }
}
