/**
 * Files being written side by side. Small ones go out whole; large ones in rooms of one memory that is used again and again, each at its own place and several at a time, past the system's
 * cache: a restored directory is larger than what anybody will soon read of it.
 *
 * Invariant: no more than `roomCount` rooms and `openMost` files are in use, so a slow disk slows the stream down. The first failure stops all.
 */
import { fail } from '../../../base/errors.ts';
import type { FileStreams, FileWriter } from '../../../host/host.ts';

const roomBytes = 2 * 1024 * 1024;
const roomCount = 6;
/** Less is written from memory of its own. */
const roomFromBytes = 128 * 1024;
const openMost = 64;

interface OpenFile {
  readonly opened: Promise<void>;
  /** Everything that was begun on it. */
  last: Promise<void>;
  writer: FileWriter | undefined;
}

export class WritingFiles {
  readonly #files: FileStreams;
  readonly #open = new Set<OpenFile>();
  #free: Uint8Array[] | undefined;
  #memory: ArrayBufferLike | undefined;
  #failure: { readonly error: unknown } | undefined;
  #onChange: () => void = () => {};

  constructor(files: FileStreams) {
    this.#files = files;
  }

  async #when(isRoom: () => boolean): Promise<void> {
    while (!isRoom() && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
    if (this.#failure) throw this.#failure.error;
  }

  /** Does not wait for the file: making it is most of the work on a small one. */
  async open(path: string, mode: number): Promise<OpenFile> {
    await this.#when(() => this.#open.size < openMost);
    const file: { opened: Promise<void>; last: Promise<void>; writer: FileWriter | undefined } = {
      opened: Promise.resolve(),
      last: Promise.resolve(),
      writer: undefined,
    };
    file.opened = this.#heard(async () => {
      file.writer = await this.#files.openWriter(path, { mode });
    });
    file.last = file.opened;
    this.#open.add(file);
    return file;
  }

  /** Memory for the next bytes of a file, at most so many. It goes back with `write`. */
  async room(bytes: number): Promise<Uint8Array> {
    if (bytes < roomFromBytes) return new Uint8Array(bytes);
    this.#free ??= this.#makeRooms();
    const free = this.#free;
    await this.#when(() => free.length > 0);
    return (free.pop() as Uint8Array).subarray(0, bytes);
  }

  #makeRooms(): Uint8Array[] {
    const memory = this.#files.directMemory(roomBytes * roomCount);
    this.#memory = memory.buffer;
    return Array.from({ length: roomCount }, (_, index) => memory.subarray(index * roomBytes, (index + 1) * roomBytes));
  }

  /** Once the file is there; not at all once something has failed. */
  write(file: OpenFile, room: Uint8Array, at: number): void {
    const written = file.opened
      .then(() => this.#heard(async () => (this.#failure ? undefined : await file.writer?.writeAt(room, at))))
      .then(() => this.#giveBack(room));
    file.last = Promise.all([file.last, written]).then(() => undefined);
  }

  #giveBack({ buffer, byteOffset }: Uint8Array): void {
    if (buffer !== this.#memory) return;
    this.#free?.push(new Uint8Array(buffer, byteOffset, roomBytes));
    this.#onChange();
  }

  close(file: OpenFile): void {
    file.last = file.last.then(async () => {
      await this.#heard(async () => await file.writer?.close());
      this.#open.delete(file);
      this.#onChange();
    });
  }

  /** The first failure is everybody's. */
  async #heard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failure ??= { error };
      this.#onChange();
    }
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
