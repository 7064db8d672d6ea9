/**
 * Buffers for pieces, used again and again: taking one saves the kernel the clearing of new memory. Of the store's own kind of memory where it has one.
 *
 * Invariant: never more are made than are out at one time.
 */
import type { RepositoryBackend } from '../contracts/repository-backend.ts';

/** The block of a disk, which memory is moved by. */
const blockBytes = 4_096;

export interface PieceBuffers {
  take(): Uint8Array;
  /** Whoever gives one back does not look at it again. */
  giveBack(buffer: Uint8Array): void;
}

/** So many are made together; more than that only when they are all out. */
export function makeBuffers(backend: Pick<RepositoryBackend, 'directMemory'>, bytes: number, count: number): PieceBuffers {
  const free: Uint8Array[] = [];
  let made = false;
  const allocate = (total: number) => backend.directMemory?.(total) ?? new Uint8Array(total);
  const makeAll = (): void => {
    made = true;
    const stride = Math.ceil(bytes / blockBytes) * blockBytes;
    const memory = allocate(stride * count);
    for (let index = 0; index < count; index += 1) free.push(memory.subarray(index * stride, index * stride + bytes));
  };
  return {
    take() {
      if (!made) makeAll();
      return free.pop() ?? allocate(bytes);
    },
    giveBack: (buffer) => void free.push(buffer),
  };
}
