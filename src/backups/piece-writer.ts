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
import type { PieceBuffers } from './piece-buffers.ts';
import { compressionLevel } from './repository-format.ts';
import {
  type Codec,
  deflate,
  digestStored,
  nonceBytes,
  openStoredDigest,
  type RunningDigest,
  type RunningSeal,
  tagBytes,
} from './sealing.ts';

/** What the parts of one backup share. */
export interface PieceWriting {
  readonly seal: BackupSeal;
  readonly random: Random;
  readonly lanes: Lanes;
  readonly pieceBytes: number;
  readonly signal: AbortSignal;
  /** Of a piece and a tag. */
  readonly buffers: PieceBuffers;
  readonly progress: { plainBytes: number; storedBytes: number };
  putPiece(storedDigest: string, content: Uint8Array): Promise<void>;
  /** Says which chapter the line went into. */
  list(line: PieceLine): number;
  /** The first failure ends the whole backup: nothing of it can be committed any more. */
  failed(error: unknown): void;
  /** Throws what `failed` was told, or the signal's reason. */
  throwIfOver(): void;
}

/** Where the bytes of the next piece gather. */
interface Gathering {
  /** Room for a piece and the tag of its seal. */
  readonly buffer: Uint8Array;
  readonly digest: RunningDigest;
  /** Bytes that are not to be compressed are sealed as they come. */
  readonly seal: RunningSeal | undefined;
  /** Of what the seal makes of them, taken along while it is in the processor's cache. */
  readonly stored: RunningDigest | undefined;
  readonly nonce: Uint8Array | undefined;
  plainBytes: number;
}

interface Finished {
  readonly content: Uint8Array;
  readonly codec: Codec;
  /** Of the content, where it was taken along. */
  readonly digest: string | undefined;
}

export class PieceWriter implements PartWriter {
  readonly name: string;
  readonly #writing: PieceWriting;
  readonly #compressed: boolean;
  #gathering: Gathering | undefined;
  #written: Promise<void> = Promise.resolve();
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
    // One after the other, also where the driver does not wait: bytes must never overtake those before them.
    const before = this.#written;
    const written = before.then(() => this.#append(bytes));
    this.#written = written;
    await written;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    this.#writing.throwIfOver();
    const { pieceBytes } = this.#writing;
    for (let rest = bytes; rest.length > 0; ) {
      this.#gathering ??= this.#begin();
      const gathering = this.#gathering;
      const chunk = rest.subarray(0, pieceBytes - gathering.plainBytes);
      const place = gathering.buffer.subarray(gathering.plainBytes);
      gathering.digest.update(chunk);
      if (gathering.seal === undefined) place.set(chunk);
      else {
        gathering.seal.into(place, chunk);
        gathering.stored?.update(place.subarray(0, chunk.length));
      }
      gathering.plainBytes += chunk.length;
      rest = rest.subarray(chunk.length);
      if (gathering.plainBytes === pieceBytes) await this.#cut(gathering);
    }
  }

  async end(): Promise<void> {
    if (this.#state !== 'open') throw fail('BUG_BROKEN_BELIEF', { message: `the part ${this.name} was ended twice` });
    this.#state = 'ending';
    await this.#written;
    if (this.#gathering !== undefined) await this.#cut(this.#gathering);
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

  #begin(): Gathering {
    const { seal, random, buffers } = this.#writing;
    const nonce = seal.seal === undefined ? undefined : random.bytes(nonceBytes);
    // The position of the piece that comes next: pieces are cut in order, whatever is under way.
    const words = seal.words(this.name, this.#position);
    const sealsAtOnce = this.#compressed && nonce !== undefined;
    return {
      buffer: buffers.take(),
      digest: seal.plainDigest.begin(),
      seal: sealsAtOnce ? seal.seal?.begin(nonce, words) : undefined,
      stored: sealsAtOnce ? openStoredDigest() : undefined,
      nonce,
      plainBytes: 0,
    };
  }

  /** Hands what has gathered to a lane. Resolves when a lane was free, not when the piece is stored. */
  async #cut(gathering: Gathering): Promise<void> {
    const { lanes, buffers, progress } = this.#writing;
    const position = this.#position;
    this.#position += 1;
    this.#gathering = undefined;
    await lanes.enter();
    progress.plainBytes += gathering.plainBytes;
    const stored = this.#store(gathering, position).finally(() => {
      buffers.giveBack(gathering.buffer);
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

  async #store(gathering: Gathering, position: number): Promise<PieceLine> {
    this.#writing.throwIfOver();
    const plain = gathering.digest.finish();
    const { content, codec, digest } = await this.#finish(gathering, position);
    // Bytes that are stored as they came were digested already.
    const isPlain = codec === 'none' && gathering.nonce === undefined;
    const stored = digest ?? (isPlain ? plain : await digestStored(content));
    await this.#writing.putPiece(stored, content);
    this.#writing.progress.storedBytes += content.length;
    return {
      part: this.name,
      position,
      stored,
      storedBytes: content.length,
      plain,
      plainBytes: gathering.plainBytes,
      codec,
      ...(gathering.nonce === undefined ? {} : { nonce: Buffer.from(gathering.nonce).toString('base64') }),
    };
  }

  /** What is to be stored. It lies in the gathering's own buffer, or is what zstd has made. */
  async #finish(gathering: Gathering, position: number): Promise<Finished> {
    const { buffer, plainBytes, nonce } = gathering;
    const withTag = (length: number, running: RunningSeal) => {
      buffer.set(running.tag(), length);
      return buffer.subarray(0, length + tagBytes);
    };
    if (gathering.seal !== undefined) {
      const content = withTag(plainBytes, gathering.seal);
      gathering.stored?.update(content.subarray(plainBytes));
      return { content, codec: 'none', digest: gathering.stored?.finish() };
    }
    const plain = buffer.subarray(0, plainBytes);
    const { codec, bytes } = this.#compressed ? ({ codec: 'none', bytes: plain } as const) : await deflate(plain, compressionLevel);
    const { seal } = this.#writing.seal;
    if (seal === undefined || nonce === undefined) return { content: bytes, codec, digest: undefined };
    const running = seal.begin(nonce, this.#writing.seal.words(this.name, position));
    // Over the plain bytes, which nobody needs any more.
    running.into(buffer, bytes);
    return { content: withTag(bytes.length, running), codec, digest: undefined };
  }

  #list(line: PieceLine): void {
    const chapter = this.#writing.list(line);
    if (line.position === 0) this.#firstChapter = chapter;
    this.#digest.update(line.plain);
    this.#plainBytes += line.plainBytes;
    this.#storedBytes += line.storedBytes;
  }
}
