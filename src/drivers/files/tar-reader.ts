/**
 * Reads a tar archive as it streams in: each entry, and its content as pieces that must be read before the next entry is asked for (what was not read is skipped).
 *
 * Invariant: an archive without its end is an error, never a shorter one.
 */
import { fail } from '../../base/errors.ts';
import { blockBytes, decodeHeader, decodeRecords, entryOf, extendedFlag, paddingBytes, type TarEntry } from './tar-entry.ts';

export interface ReadEntry {
  readonly entry: TarEntry;
  readonly content: AsyncIterable<Uint8Array>;
}

const extendedMaxBytes = 1_048_576;

export async function* readTar(bytes: AsyncIterable<Uint8Array>): AsyncIterable<ReadEntry> {
  const source = new Pieces(bytes);
  try {
    for (;;) {
      let header = decodeHeader(await source.exactly(blockBytes));
      if (header === undefined) break;
      let records: ReadonlyMap<string, string> = new Map();
      if (header.flag === extendedFlag) {
        if (header.sizeBytes > extendedMaxBytes)
          throw fail('BACKUP_DAMAGED', { message: 'the archive of files is damaged: an extended header is too long' });
        records = decodeRecords(await source.exactly(header.sizeBytes));
        await source.exactly(paddingBytes(header.sizeBytes));
        header = decodeHeader(await source.exactly(blockBytes));
        if (header === undefined)
          throw fail('BACKUP_DAMAGED', { message: 'the archive of files is damaged: an extended header without its entry' });
      }
      const entry = entryOf(header, records);
      const content = new Content(source, entry.sizeBytes);
      yield { entry, content };
      await content.skip();
      await source.exactly(paddingBytes(entry.sizeBytes));
    }
    await source.exactly(blockBytes);
  } finally {
    await source.close();
  }
}

class Content implements AsyncIterable<Uint8Array> {
  readonly #source: Pieces;
  #leftBytes: number;

  constructor(source: Pieces, sizeBytes: number) {
    this.#source = source;
    this.#leftBytes = sizeBytes;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    while (this.#leftBytes > 0) {
      const piece = await this.#source.upTo(this.#leftBytes);
      this.#leftBytes -= piece.length;
      yield piece;
    }
  }

  async skip(): Promise<void> {
    for await (const piece of this) void piece;
  }
}

class Pieces {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#iterator = bytes[Symbol.asyncIterator]();
  }

  async upTo(maxBytes: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const next = await this.#iterator.next();
      if (next.done === true) throw fail('BACKUP_DAMAGED', { message: 'the archive of files ends in the middle' });
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, maxBytes);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async exactly(sizeBytes: number): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for (let left = sizeBytes; left > 0; ) {
      const piece = await this.upTo(left);
      pieces.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}
