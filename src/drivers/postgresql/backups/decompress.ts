/** zstd, from a stream of pieces to a stream of pieces, no further than the consumer has come. Bytes that are no zstd are BACKUP_DAMAGED. */
import { Readable, type Transform } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { fail, HoldfastError } from '../../../base/errors.ts';

const chunkBytes = 256 * 1024;

export async function* decompress(name: string, content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const input = Readable.from(content, { objectMode: false, highWaterMark: chunkBytes });
  const output: Transform = createZstdDecompress({ chunkSize: chunkBytes, highWaterMark: 2 * chunkBytes } as object);
  // A failure of the input (wrong digest, unreachable store) has to arrive as what it is.
  input.on('error', (error) => output.destroy(error));
  input.pipe(output);
  try {
    for await (const piece of output as AsyncIterable<Uint8Array>) yield piece;
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw fail('BACKUP_DAMAGED', { message: `${name} can not be decompressed: ${(error as Error).message}`, cause: error });
  } finally {
    input.destroy();
    output.destroy();
  }
}
