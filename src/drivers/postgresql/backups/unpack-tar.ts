/**
 * Unpacks a tar file, as PostgreSQL writes it (ustar, names of up to 100 characters, no extensions), from a stream into a directory.
 *
 * Invariant: nothing is written outside of the directory, an existing file is never touched, and at most `queuedMaxBytes` wait to be written: files are written side by side, each
 * one in order. A stream that ends early is an error, never a short file. Dying inside leaves a directory that is not a complete restore; whoever calls begins again in an empty one.
 */
import { fail } from '../../../base/errors.ts';
import { releaseMemory } from '../../../base/release-memory.ts';
import type { FileStreams, FileWriter, Host } from '../../../host/host.ts';

const blockBytes = 512;
const queuedMaxBytes = 16 * 1024 * 1024;
const openMost = 64;

interface Entry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly kind: 'file' | 'directory' | 'link';
  readonly target: string;
}

export interface Unpacked {
  readonly files: number;
  readonly bytes: number;
}

export async function unpackTar(
  host: Pick<Host, 'files' | 'fileStreams'>,
  content: AsyncIterable<Uint8Array>,
  into: string,
  onBytes: (bytes: number) => void,
): Promise<Unpacked> {
  const source = new Pieces(content);
  const writing = new WritingFiles(host.fileStreams);
  let files = 0;
  let bytes = 0;
  try {
    for (;;) {
      const header = await source.exactly(blockBytes);
      // Two blocks of zeros end the file; what comes after them is padding.
      if (header === undefined || header.every((byte) => byte === 0)) {
        if (header === undefined) throw cutShort();
        break;
      }
      const entry = parseHeader(header);
      await makeEntry(host, entry, into, source, writing, onBytes);
      files += entry.kind === 'file' ? 1 : 0;
      bytes += entry.sizeBytes;
    }
    // To the end, so that the digest of the last piece is checked too.
    await source.drain();
  } catch (error) {
    await writing.giveUp();
    throw error;
  }
  await writing.finish();
  return { files, bytes };
}

async function makeEntry(
  host: Pick<Host, 'files' | 'fileStreams'>,
  entry: Entry,
  into: string,
  source: Pieces,
  writing: WritingFiles,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const path = entry.path === '' ? into : `${into}/${entry.path}`;
  if (entry.kind === 'directory') {
    await host.files.makeDirectory(path, { mode: entry.mode });
    return;
  }
  if (entry.kind === 'link') {
    await host.fileStreams.symbolicLink(entry.target, path);
    return;
  }
  const file = await writing.open(path, entry.mode);
  for (let left = entry.sizeBytes; left > 0; ) {
    const piece = await source.some(left);
    if (piece === undefined) throw cutShort();
    left -= piece.length;
    onBytes(piece.length);
    await writing.write(file, piece, source.lend());
  }
  writing.close(file);
  const padding = (blockBytes - (entry.sizeBytes % blockBytes)) % blockBytes;
  if (padding > 0 && (await source.exactly(padding)) === undefined) throw cutShort();
}

function cutShort(): Error {
  return fail('BACKUP_DAMAGED', { message: 'a tar file of the backup ends in the middle' });
}

function parseHeader(header: Uint8Array): Entry {
  const view = Buffer.from(header.buffer, header.byteOffset, blockBytes);
  const text = (from: number, length: number) => {
    const end = view.indexOf(0, from);
    return view.toString('utf8', from, end < 0 || end > from + length ? from + length : end);
  };
  const number = (from: number, length: number) => {
    // Larger than octal digits can say: base 256 behind a set first bit.
    if (((view[from] as number) & 0x80) === 0) return Number.parseInt(text(from, length).trim() || '0', 8);
    return Number(view.subarray(from + 1, from + length).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n));
  };
  const sum = view.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (sum !== number(148, 8)) throw fail('BACKUP_DAMAGED', { message: 'a tar file of the backup has a header with a wrong sum' });
  const prefix = text(345, 155);
  const path = (prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`).replace(/^(?:\.\/)+/, '').replace(/\/+$/, '');
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw fail('BACKUP_DAMAGED', { message: `a tar file of the backup names ${path}` });
  const type = String.fromCharCode(view[156] as number);
  const kind = type === '5' ? 'directory' : type === '2' ? 'link' : type === '0' || type === '\0' ? 'file' : undefined;
  if (kind === undefined) throw fail('BACKUP_DAMAGED', { message: `a tar file of the backup holds ${path} of the unknown kind "${type}"` });
  return {
    path: path === '.' ? '' : path,
    sizeBytes: kind === 'file' ? number(124, 12) : 0,
    mode: number(100, 8) & 0o7777,
    kind,
    target: text(157, 100),
  };
}

/** Takes bytes from a stream by count, without copying what lies in one piece. */
class Pieces {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #kept: Uint8Array = new Uint8Array(0);
  #lent: Lent = new Lent(this.#kept);

  constructor(content: AsyncIterable<Uint8Array>) {
    this.#iterator = content[Symbol.asyncIterator]();
  }

  /** At least one byte and at most so many; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#kept.length === 0) {
      const { value, done } = await this.#iterator.next();
      if (done) return undefined;
      this.#lent.giveBack();
      this.#lent = new Lent(value);
      this.#kept = value;
    }
    const piece = this.#kept.subarray(0, most);
    this.#kept = this.#kept.subarray(piece.length);
    return piece;
  }

  /** What the bytes taken last lie in, for one more who uses it. */
  lend(): Lent {
    return this.#lent.lend();
  }

  /** Just so many, for headers; undefined where the stream ends before. */
  async exactly(count: number): Promise<Uint8Array | undefined> {
    if (this.#kept.length >= count) return this.some(count);
    const whole = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const piece = await this.some(count - at);
      if (piece === undefined) return undefined;
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  async drain(): Promise<void> {
    this.#kept = new Uint8Array(0);
    while (!(await this.#iterator.next()).done);
  }
}

/** Bytes with the number of those who use them. The last one gives their memory back. */
class Lent {
  readonly #bytes: Uint8Array;
  #users = 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  lend(): this {
    this.#users += 1;
    return this;
  }

  giveBack(): void {
    this.#users -= 1;
    if (this.#users === 0) releaseMemory(this.#bytes);
  }
}

interface OpenFile {
  last: Promise<void>;
  writer: FileWriter | undefined;
}

/** Files being written, each in order and several at a time. The first failure stops all. */
class WritingFiles {
  readonly #files: FileStreams;
  readonly #open = new Set<OpenFile>();
  #queuedBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #onRoom: () => void = () => {};

  constructor(files: FileStreams) {
    this.#files = files;
  }

  async #roomWhen(isRoom: () => boolean): Promise<void> {
    while (!isRoom() && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve;
      });
    }
    if (this.#failure) throw this.#failure.error;
  }

  /** Does not wait for the file: making it is most of the work on a small one. */
  async open(path: string, mode: number): Promise<OpenFile> {
    await this.#roomWhen(() => this.#open.size < openMost);
    const file: OpenFile = { writer: undefined, last: Promise.resolve() };
    this.#open.add(file);
    this.#then(file, async () => {
      file.writer = await this.#files.openWriter(path, { mode });
    });
    return file;
  }

  /** After everything that the file has to do before; not at all once something has failed. */
  #then(file: OpenFile, work: () => Promise<void> | undefined): void {
    file.last = file.last
      .then(() => (this.#failure ? undefined : work()))
      .catch((error: unknown) => {
        this.#failure ??= { error };
        this.#onRoom();
      });
  }

  async write(file: OpenFile, bytes: Uint8Array, lent: Lent): Promise<void> {
    await this.#roomWhen(() => this.#queuedBytes < queuedMaxBytes);
    // Bytes whose memory was given back have no length any more.
    const { length } = bytes;
    this.#queuedBytes += length;
    this.#then(file, () => file.writer?.write(bytes));
    file.last = file.last.then(() => {
      lent.giveBack();
      this.#done(length);
    });
  }

  #done(bytes: number): void {
    this.#queuedBytes -= bytes;
    this.#onRoom();
  }

  close(file: OpenFile): void {
    file.last = file.last.then(async () => {
      await file.writer?.close().catch((error: unknown) => {
        this.#failure ??= { error };
      });
      this.#open.delete(file);
      this.#onRoom();
    });
  }

  async finish(): Promise<void> {
    while (this.#open.size > 0) await Promise.all([...this.#open].map(({ last }) => last));
    if (this.#failure) throw this.#failure.error;
  }

  async giveUp(): Promise<void> {
    this.#failure ??= { error: fail('INTERRUPTED', { message: 'unpacking was given up' }) };
    for (const file of this.#open) this.close(file);
    await Promise.all([...this.#open].map(({ last }) => last));
  }
}
