/**
 * What a socket has brought and nobody has taken yet, in one buffer that is used again and again: a stream of gigabytes needs no new memory.
 *
 * Invariant: bytes are taken in the order in which they came. What was taken is good until the next `need`. Beyond the room of the buffer the socket is held back, so that a slow taker
 * slows the sender down.
 */
import type { SocketWithBuffer } from '../../../host/host.ts';
import type { RawStream } from '../client.ts';

/** Room for the largest piece of a backup that servers send, several times over. */
const roomBytes = 1024 * 1024;
/** As much may come at once, from a socket without our own buffer too. */
const pieceMostBytes = 256 * 1024;

export class ReceivedBytes {
  readonly #stream: RawStream;
  #bytes = Buffer.allocUnsafeSlow(roomBytes);
  #from = 0;
  #to = 0;
  #held = false;
  #end: { readonly cause: unknown } | undefined;
  #wake: () => void = () => {};

  constructor(stream: RawStream, takeOver: SocketWithBuffer['takeOver'] | undefined) {
    this.#stream = stream;
    // What the package listened with would swallow the bytes.
    stream.removeAllListeners('data');
    if (takeOver !== undefined) takeOver((bytes) => this.#add(bytes));
    else
      stream.on('data', (bytes) => {
        if (!this.#add(bytes)) stream.pause();
      });
    stream.on('end', () => this.#over(undefined));
    stream.on('close', () => this.#over(undefined));
    stream.on('error', (error) => this.#over(error));
    stream.resume();
  }

  /** Why nothing more comes; undefined while something may. */
  get end(): { readonly cause: unknown } | undefined {
    return this.#end;
  }

  get length(): number {
    return this.#to - this.#from;
  }

  byteAt(offset: number): number {
    return this.#bytes[this.#from + offset] as number;
  }

  uint32At(offset: number): number {
    return this.#bytes.readUInt32BE(this.#from + offset);
  }

  /** So many bytes from `skip` on; all of it is gone from here. */
  take(skip: number, count: number): Buffer {
    const taken = this.#bytes.subarray(this.#from + skip, this.#from + skip + count);
    this.#from += skip + count;
    return taken;
  }

  /** True once so many bytes are there, false where the stream ends before. */
  async need(count: number): Promise<boolean> {
    while (this.length < count) {
      this.#makeRoom(count);
      if (this.#end !== undefined) return false;
      if (this.#held) {
        this.#held = false;
        this.#stream.resume();
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return true;
  }

  /** What lies here goes to the front of the buffer; one message may be larger than the room. */
  #makeRoom(count: number): void {
    const wanted = count + pieceMostBytes;
    const target = wanted > this.#bytes.length ? Buffer.allocUnsafeSlow(wanted) : this.#bytes;
    this.#bytes.copy(target, 0, this.#from, this.#to);
    this.#bytes = target;
    this.#to -= this.#from;
    this.#from = 0;
  }

  /** False: enough for now. */
  #add(bytes: Uint8Array): boolean {
    if (this.#to + bytes.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(this.#to + bytes.length + pieceMostBytes);
      this.#bytes.copy(larger, 0, 0, this.#to);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#to);
    this.#to += bytes.length;
    this.#wake();
    this.#held = this.#to + pieceMostBytes > this.#bytes.length;
    return !this.#held;
  }

  #over(cause: unknown): void {
    this.#end ??= { cause };
    this.#wake();
  }
}
