/**
 * Turns the parts of one backup into pieces: cut, digest, compress, seal, put. All parts share the lanes, so memory is bounded by the pieces under way however many bytes come and
 * however slow the store is; `write` waits for a free lane, and that is the driver's back-pressure.
 *
 * Invariant: a piece's line reaches the list only after the store has said that the object is there with these very bytes. Lines of a part come in the order of its bytes.
 * What dies here leaves objects without a manifest: not a backup.
 */
import { createHash } from 'node:crypto';
import { fail } from '../base/errors.ts';
import type { PartWriter } from '../contracts/backup.ts';
import type { Random } from '../host/host.ts';
import type { BackupSeal } from './backup-seal.ts';
import type { Lanes } from './lanes.ts';
import type { PartLine, PieceLine } from './manifest.ts';
import { compressionLevel } from './repository-format.ts';
import { deflate, digestStored, nonceBytes, type RunningDigest } from './sealing.ts';

/** What the parts of one backup share. */
export interface PieceWriting {
  readonly seal: BackupSeal;
  readonly random: Random;
  readonly lanes: Lanes;
  readonly pieceBytes: number;
  readonly signal: AbortSignal;
  /** Buffers of `pieceBytes` that are free: taking one again saves the kernel the clearing of new memory. */
  readonly buffers: Uint8Array[];
  readonly progress: { plainBytes: number; storedBytes: number };
  putPiece(storedDigest: string, content: Uint8Array): Promise<void>;
  /** Says which chapter the line went into. */
  list(line: PieceLine): number;
  /** The first failure ends the whole backup: nothing of it can be committed any more. */
  failed(error: unknown): void;
  /** Throws what `failed` was told, or the signal's reason. */
  throwIfOver(): void;
}

export class PieceWriter implements PartWriter {
  readonly name: string;
  readonly #writing: PieceWriting;
  readonly #compressed: boolean;
  #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  #running: RunningDigest | undefined;
  #position = 0;
  /** Resolves when every piece so far is stored and listed. */
  #listed: Promise<void> = Promise.resolve();
  readonly #digest = createHash('sha256');
  #plainBytes = 0;
  #storedBytes = 0;
  #firstChapter = 0;
  #state: 'open' | 'ending' | 'ended' = 'open';

  constructor(name: string, compressed: boolean, writing: PieceWriting) {
    this.name = name;
    this.#compressed = compressed;
    this.#writing = writing;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#state !== 'open') throw fail('BUG_BROKEN_BELIEF', { message: `bytes were written to the part ${this.name} after its end` });
    this.#writing.throwIfOver();
    let rest = bytes;
    while (rest.length > 0) {
      const room = this.#writing.pieceBytes - this.#chunkBytes;
      const chunk = rest.subarray(0, room);
      this.#chunks.push(chunk);
      this.#chunkBytes += chunk.length;
      this.#running ??= this.#writing.seal.plainDigest.begin();
      this.#running.update(chunk);
      rest = rest.subarray(chunk.length);
      if (this.#chunkBytes === this.#writing.pieceBytes) await this.#cut();
    }
  }

  async end(): Promise<void> {
    if (this.#state !== 'open') throw fail('BUG_BROKEN_BELIEF', { message: `the part ${this.name} was ended twice` });
    this.#state = 'ending';
    if (this.#chunkBytes > 0) await this.#cut();
    await this.#listed;
    this.#writing.throwIfOver();
    this.#state = 'ended';
  }

  /** Undefined while it is not ended. */
  line(): PartLine | undefined {
    if (this.#state !== 'ended') return undefined;
    return {
      part: this.name,
      plainBytes: this.#plainBytes,
      storedBytes: this.#storedBytes,
      pieces: this.#position,
      digest: this.#digest.copy().digest('hex'),
      firstChapter: this.#firstChapter,
    };
  }

  /** Hands what has gathered to a lane. Resolves when a lane was free, not when the piece is stored. */
  async #cut(): Promise<void> {
    const { lanes } = this.#writing;
    await lanes.enter();
    const position = this.#position;
    this.#position += 1;
    const plainDigest = (this.#running as RunningDigest).finish();
    this.#running = undefined;
    const { plain, buffer } = this.#gather();
    const stored = this.#store(plain, plainDigest, position).finally(() => {
      if (buffer !== undefined) this.#writing.buffers.push(buffer);
      lanes.leave();
    });
    const before = this.#listed;
    this.#listed = (async () => {
      const [line] = await Promise.all([stored, before]);
      this.#list(line);
    })();
    this.#listed.catch((error: unknown) => this.#writing.failed(error));
    this.#writing.throwIfOver();
  }

  /** One contiguous block, without copying where the driver wrote it in one go. */
  #gather(): { readonly plain: Uint8Array; readonly buffer?: Uint8Array } {
    const chunks = this.#chunks;
    const total = this.#chunkBytes;
    this.#chunks = [];
    this.#chunkBytes = 0;
    if (chunks.length === 1) return { plain: chunks[0] as Uint8Array };
    const buffer = this.#writing.buffers.pop() ?? new Uint8Array(this.#writing.pieceBytes);
    let at = 0;
    for (const chunk of chunks) {
      buffer.set(chunk, at);
      at += chunk.length;
    }
    return { plain: buffer.subarray(0, total), buffer };
  }

  async #store(plain: Uint8Array, plainDigest: string, position: number): Promise<PieceLine> {
    const { seal, random, progress } = this.#writing;
    this.#writing.throwIfOver();
    progress.plainBytes += plain.length;
    const body = this.#compressed ? ({ codec: 'none', bytes: plain } as const) : await deflate(plain, compressionLevel);
    const nonce = seal.seal === undefined ? undefined : random.bytes(nonceBytes);
    const content =
      seal.seal === undefined || nonce === undefined
        ? body.bytes
        : await seal.seal.seal(body.bytes, nonce, seal.words(this.name, position));
    // Bytes that are stored as they came were digested already.
    const stored = content === plain ? plainDigest : await digestStored(content);
    await this.#writing.putPiece(stored, content);
    progress.storedBytes += content.length;
    return {
      part: this.name,
      position,
      stored,
      storedBytes: content.length,
      plain: plainDigest,
      plainBytes: plain.length,
      codec: body.codec,
      ...(nonce === undefined ? {} : { nonce: Buffer.from(nonce).toString('base64') }),
    };
  }

  #list(line: PieceLine): void {
    const chapter = this.#writing.list(line);
    if (line.position === 0) this.#firstChapter = chapter;
    this.#digest.update(line.plain);
    this.#plainBytes += line.plainBytes;
    this.#storedBytes += line.storedBytes;
  }
}
