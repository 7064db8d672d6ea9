/**
 * Writing and reading past the system's cache of files: the disk takes the bytes from our memory itself.
 *
 * The cache costs more than the disk where gigabytes go through it once: new pages for all of them, a copy, and a flush at the end that everybody waits for. The kernel asks for memory and
 * places at whole blocks; the one kind of memory that Node gives at whole pages is that of WebAssembly.
 * https://man7.org/linux/man-pages/man2/open.2.html (O_DIRECT)
 *
 * Invariant: what can not go this way (other memory, the end of a file, a file system without it) goes the ordinary one, and the file is the same.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** As large as the blocks of any disk. */
export const directBlockBytes = 4_096;
/** Less is not worth a second opening of the file. */
const directLeastBytes = 128 * 1_024;
const pageBytes = 65_536;
/** Known to TypeScript only with the types of browsers. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer };
};
const directMemories = new WeakSet<ArrayBufferLike>();

/** Where the system gives no such memory it is ordinary memory, which goes the ordinary way. */
export function directMemory(bytes: number): Uint8Array {
  const pages = Math.ceil(bytes / pageBytes);
  try {
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
    directMemories.add(buffer);
    return new Uint8Array(buffer, 0, bytes);
  } catch (error) {
    // It reserves addresses far beyond its size, which a limit of the process may forbid.
    if (!(error instanceof RangeError)) throw error;
    return new Uint8Array(bytes);
  }
}

/** How many of the bytes, from the first one on, can go past the cache to that place of a file. */
function directPart(bytes: Uint8Array, at: number): number {
  const fits = directMemories.has(bytes.buffer) && bytes.byteOffset % directBlockBytes === 0 && at % directBlockBytes === 0;
  return fits && bytes.length >= directLeastBytes ? bytes.length - (bytes.length % directBlockBytes) : 0;
}

/** A file that is open for writing, and a second opening of it for what goes past the cache. */
export class DirectFile {
  readonly #path: string;
  readonly #file: FileHandle;
  #direct: Promise<FileHandle | undefined> | undefined;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async writeAt(bytes: Uint8Array, at: number): Promise<void> {
    const direct = directPart(bytes, at);
    const done = direct === 0 ? 0 : await this.#writeDirect(bytes.subarray(0, direct), at);
    await writeAll(this.#file, bytes.subarray(done), at + done);
  }

  /** How much of it was written so. */
  async #writeDirect(bytes: Uint8Array, at: number): Promise<number> {
    this.#direct ??= openDirect(this.#path, constants.O_WRONLY);
    const file = await this.#direct;
    let done = 0;
    // A disk that is full may take a part that does not end at a block; the ordinary way then says so.
    while (file !== undefined && done < bytes.length && done % directBlockBytes === 0) {
      try {
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      } catch (error) {
        if (!isUnsupported(error)) throw error;
        break;
      }
    }
    return done;
  }

  async close(): Promise<void> {
    try {
      await (await this.#direct)?.close();
    } finally {
      await this.#file.close();
    }
  }
}

/** Undefined where the file system has no such way. */
async function openDirect(path: string, flags: number): Promise<FileHandle | undefined> {
  if (constants.O_DIRECT === undefined) return undefined;
  try {
    return await open(path, flags | constants.O_DIRECT);
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    return undefined;
  }
}

function isUnsupported(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EINVAL' || code === 'ENOTSUP';
}

/** From a place on, or behind what was written last. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, at?: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, at === undefined ? null : at + done)).bytesWritten;
}

/** The bytes of a file from its beginning, as far as the memory goes: past the cache where that can be. How many there were. */
export async function readInto(path: string, memory: Uint8Array): Promise<number> {
  const direct = directPart(memory, 0) > 0 ? await openDirect(path, constants.O_RDONLY) : undefined;
  const file = direct ?? (await open(path, 'r'));
  try {
    let done = 0;
    for (;;) {
      // Past the cache only whole blocks are read; the end of the file cuts them.
      const rest = memory.length - done;
      const wanted = direct === undefined ? rest : rest - (rest % directBlockBytes);
      if (wanted === 0) return done;
      const { bytesRead } = await file.read(memory, done, wanted, done);
      done += bytesRead;
      if (bytesRead === 0 || (direct !== undefined && done % directBlockBytes !== 0)) return done;
    }
  } finally {
    await file.close();
  }
}
