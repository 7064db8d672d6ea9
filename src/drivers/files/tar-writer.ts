/**
 * Writes a tar archive into a part of a backup.
 *
 * Invariant: content is as long as its header said, whatever happened to the file meanwhile: what is missing is filled with zeros, and the caller writes the file once more. The last
 * entry of a path is the one that counts. Small writes are gathered; never more than a batch and one piece of a file are held.
 */
import { assert } from '../../base/assert.ts';
import type { PartWriter } from '../../contracts/backup.ts';
import { blockBytes, encodeHeader, paddingBytes, type TarEntry } from './tar-entry.ts';

const batchBytes = 262_144;
const zeros = Buffer.alloc(blockBytes);

export class TarWriter {
  readonly #part: PartWriter;
  #batch: Uint8Array[] = [];
  #batchedBytes = 0;
  #leftBytes = 0;
  #padding = 0;
  writtenBytes = 0;

  constructor(part: PartWriter) {
    this.#part = part;
  }

  async begin(entry: TarEntry): Promise<void> {
    assert(this.#leftBytes === 0 && this.#padding === 0, 'the entry before was ended');
    this.#leftBytes = entry.sizeBytes;
    this.#padding = paddingBytes(entry.sizeBytes);
    await this.#put(encodeHeader(entry));
  }

  /** Bytes beyond the announced size are left out. */
  async content(bytes: Uint8Array): Promise<void> {
    const taken = bytes.length > this.#leftBytes ? bytes.subarray(0, this.#leftBytes) : bytes;
    this.#leftBytes -= taken.length;
    if (taken.length > 0) await this.#put(taken);
  }

  async end(): Promise<void> {
    while (this.#leftBytes > 0) await this.content(Buffer.alloc(Math.min(this.#leftBytes, batchBytes)));
    if (this.#padding > 0) await this.#put(zeros.subarray(0, this.#padding));
    this.#padding = 0;
  }

  async finish(): Promise<void> {
    await this.#put(Buffer.alloc(2 * blockBytes));
    await this.#flush();
    await this.#part.end();
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#batch.push(bytes);
    this.#batchedBytes += bytes.length;
    if (this.#batchedBytes >= batchBytes) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#batchedBytes === 0) return;
    const [only] = this.#batch;
    const bytes = this.#batch.length === 1 && only !== undefined ? only : Buffer.concat(this.#batch, this.#batchedBytes);
    this.writtenBytes += bytes.length;
    this.#batch = [];
    this.#batchedBytes = 0;
    await this.#part.write(bytes);
  }
}
