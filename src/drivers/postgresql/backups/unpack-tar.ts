/**
 * Unpacks a tar file, as PostgreSQL writes it (ustar, names of up to 100 characters, no extensions), from a stream into a directory.
 *
 * Invariant: nothing is written outside of the directory, an existing file is never touched, and what waits to be written is bounded (see writing-files.ts). A stream that ends early is an
 * error, never a short file. Dying inside leaves a directory that is not a complete restore; whoever calls begins again in an empty one.
 */
import { fail } from '../../../base/errors.ts';
import { releaseMemory } from '../../../base/release-memory.ts';
import type { Host } from '../../../host/host.ts';
import { WritingFiles } from './writing-files.ts';

const blockBytes = 512;

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
  for (let at = 0; at < entry.sizeBytes; ) {
    const room = await writing.room(entry.sizeBytes - at);
    if (!(await source.fill(room))) throw cutShort();
    writing.write(file, room, at);
    at += room.length;
    onBytes(room.length);
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

/** Takes bytes from a stream by count. What was handed on is good until more is asked for. */
class Pieces {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #kept: Uint8Array = new Uint8Array(0);
  #whole: Uint8Array = this.#kept;

  constructor(content: AsyncIterable<Uint8Array>) {
    this.#iterator = content[Symbol.asyncIterator]();
  }

  /** At least one byte and at most so many; undefined at the end. */
  async #some(most: number): Promise<Uint8Array | undefined> {
    while (this.#kept.length === 0) {
      const { value, done } = await this.#iterator.next();
      if (done) return undefined;
      releaseMemory(this.#whole);
      this.#whole = value;
      this.#kept = value;
    }
    const piece = this.#kept.subarray(0, most);
    this.#kept = this.#kept.subarray(piece.length);
    return piece;
  }

  /** Just so many, for headers, without copying what lies in one piece; undefined where the stream ends before. */
  async exactly(count: number): Promise<Uint8Array | undefined> {
    if (this.#kept.length >= count) return this.#some(count);
    const whole = new Uint8Array(count);
    return (await this.fill(whole)) ? whole : undefined;
  }

  /** False where the stream ends before. */
  async fill(target: Uint8Array): Promise<boolean> {
    for (let at = 0; at < target.length; ) {
      const piece = await this.#some(target.length - at);
      if (piece === undefined) return false;
      target.set(piece, at);
      at += piece.length;
    }
    return true;
  }

  async drain(): Promise<void> {
    this.#kept = new Uint8Array(0);
    while (!(await this.#iterator.next()).done);
  }
}
