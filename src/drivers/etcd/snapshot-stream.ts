/**
 * The snapshot of a member, streamed and checked on the way.
 *
 * Invariant: the bytes are handed on as they came, and the stream ends well only where the 32 bytes at its end are the SHA-256 of all before them and the size is a multiple of 512 and
 * 32 more: etcd itself sends a stream that broke in the middle without an error of its own.
 */
import { createHash } from 'node:crypto';
import { fail } from '../../base/errors.ts';

export const digestBytes = 32;
const pageBytes = 512;
const lineMaxBytes = 16_777_216;
const lineFeed = 10;

/** From lines of JSON to bytes. */
export async function* blobsOf(lines: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of lines) {
    rest = rest.length === 0 ? Buffer.from(piece.buffer, piece.byteOffset, piece.length) : Buffer.concat([rest, piece]);
    for (let end = rest.indexOf(lineFeed); end >= 0; end = rest.indexOf(lineFeed)) {
      const blob = blobOf(rest.toString('utf8', 0, end));
      rest = rest.subarray(end + 1);
      if (blob.length > 0) yield blob;
    }
    if (rest.length > lineMaxBytes) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the stream of the snapshot has a line without an end' });
  }
  if (rest.length > 0) {
    const blob = blobOf(rest.toString('utf8'));
    if (blob.length > 0) yield blob;
  }
}

function blobOf(line: string): Buffer {
  if (line.trim() === '') return Buffer.alloc(0);
  let message: { result?: { blob?: unknown }; error?: { message?: unknown } };
  try {
    message = JSON.parse(line) as typeof message;
  } catch (cause) {
    throw fail('BACKUP_INCOMPLETE', { message: 'the stream of the snapshot was cut within a message', cause });
  }
  if (message.error !== undefined)
    throw fail('BACKUP_TOOL_FAILED', { message: `etcd broke its snapshot off: ${String(message.error.message)}` });
  return Buffer.from(String(message.result?.blob ?? ''), 'base64');
}

/** Passes the bytes on; throws at the end where they are no whole snapshot. */
export async function* checkedSnapshot(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const check = new SnapshotDigest();
  for await (const piece of bytes) {
    check.add(piece);
    yield piece;
  }
  const wrong = check.findFault();
  if (wrong !== undefined)
    throw fail('BACKUP_INCOMPLETE', {
      message: `the snapshot is not whole: ${wrong}`,
      hint: 'Take it again; a member that repeats this is damaged.',
    });
}

export class SnapshotDigest {
  readonly #hash = createHash('sha256');
  #held: Buffer = Buffer.alloc(0);
  sizeBytes = 0;

  add(piece: Uint8Array): void {
    this.sizeBytes += piece.length;
    const joined = Buffer.concat([this.#held, piece]);
    const readyBytes = Math.max(0, joined.length - digestBytes);
    this.#hash.update(joined.subarray(0, readyBytes));
    this.#held = joined.subarray(readyBytes);
  }

  findFault(): string | undefined {
    if (this.sizeBytes <= digestBytes) return `it has only ${this.sizeBytes} bytes`;
    if (this.sizeBytes % pageBytes !== digestBytes) return `${this.sizeBytes} bytes are no whole pages and a digest`;
    return this.#hash.copy().digest().equals(this.#held) ? undefined : 'its digest is not that of its content';
  }
}
