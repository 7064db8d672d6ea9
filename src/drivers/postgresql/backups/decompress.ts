/**
 * zstd, from a stream of pieces to a stream of pieces, no further than the consumer has come. Bytes that are no zstd are BACKUP_DAMAGED.
 *
 * What comes out is in memory of its own: who has used it may release it.
 */
import { createZstdDecompress } from 'node:zlib';
import { fail, HoldfastError } from '../../../base/errors.ts';

const chunkBytes = 256 * 1024;

/** `onTaken` is told of each piece that is not needed any more. */
export async function* decompress(
  name: string,
  content: AsyncIterable<Uint8Array>,
  onTaken: (piece: Uint8Array) => void = () => {},
): AsyncIterable<Uint8Array> {
  // With room for one chunk: of several that wait, a stream makes one, by copying.
  const output = createZstdDecompress({ chunkSize: chunkBytes, readableHighWaterMark: chunkBytes } as object);
  // A failure of the input (wrong digest, unreachable store) has to arrive as what it is.
  feed(content, output, onTaken).catch((error: unknown) => void output.destroy(error as Error));
  try {
    for await (const piece of output as AsyncIterable<Uint8Array>) yield piece;
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw fail('BACKUP_DAMAGED', { message: `${name} can not be decompressed: ${(error as Error).message}`, cause: error });
  } finally {
    output.destroy();
  }
}

async function feed(
  content: AsyncIterable<Uint8Array>,
  output: ReturnType<typeof createZstdDecompress>,
  onTaken: (piece: Uint8Array) => void,
): Promise<void> {
  const closed = new Promise<void>((resolve) => output.once('close', () => resolve()));
  for await (const piece of content) {
    // Called back once all of it was taken; not where the stream is destroyed meanwhile.
    await Promise.race([new Promise<void>((resolve) => output.write(piece, () => resolve())), closed]);
    if (output.destroyed) return;
    onTaken(piece);
  }
  output.end();
}
