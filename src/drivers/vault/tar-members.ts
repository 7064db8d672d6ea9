/**
 * The members of a tar archive, told as the bytes are pushed in. Only what a program writes that packs a few plain files: no links, no directories.
 *
 * Invariant: an archive that ends in the middle is an error, never a shorter one.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';

export interface Member {
  readonly name: string;
  readonly sizeBytes: number;
}

type Take = (piece: Uint8Array) => void;

const blockBytes = 512;
const recordsMaxBytes = 65_536;

export class TarMembers {
  readonly #begin: (member: Member) => Take;
  #header = Buffer.alloc(0);
  #leftBytes = 0;
  #paddingBytes = 0;
  #take: Take = () => {};
  /** The size that an extended header gives to the member after it: one too large for eleven octal digits. */
  #nextSizeBytes: number | undefined;
  #isOver = false;

  /** @param begin is told of each member and says what takes its content */
  constructor(begin: (member: Member) => Take) {
    this.#begin = begin;
  }

  add(piece: Uint8Array): void {
    let rest = piece;
    while (rest.length > 0) {
      if (this.#leftBytes > 0) {
        const content = rest.subarray(0, this.#leftBytes);
        this.#leftBytes -= content.length;
        this.#take(content);
        rest = rest.subarray(content.length);
      } else if (this.#paddingBytes > 0) {
        const skipped = Math.min(rest.length, this.#paddingBytes);
        this.#paddingBytes -= skipped;
        rest = rest.subarray(skipped);
      } else {
        const wanted = blockBytes - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (this.#header.length < blockBytes) return;
        const header = this.#header;
        this.#header = Buffer.alloc(0);
        this.#readHeader(header);
      }
    }
  }

  finish(): void {
    if (!this.#isOver || this.#leftBytes > 0 || this.#header.length > 0) throw damaged('it ends in the middle');
  }

  #readHeader(header: Buffer): void {
    if (header.every((byte) => byte === 0)) {
      this.#isOver = true;
      return;
    }
    if (this.#isOver) throw damaged('something stands behind its end');
    const told = Number.parseInt(textOf(header, 148, 8), 8);
    const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
    if (told !== sum) throw damaged('a header has another checksum than it says');
    const sizeBytes = this.#nextSizeBytes ?? Number.parseInt(textOf(header, 124, 12), 8);
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw damaged('a header has no size');
    this.#nextSizeBytes = undefined;
    this.#leftBytes = sizeBytes;
    this.#paddingBytes = (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
    const flag = String.fromCharCode(header[156] ?? 0);
    if (flag === 'x') this.#take = this.#recordsTaker(sizeBytes);
    else if (flag === '0' || flag === '\0') this.#take = this.#begin({ name: textOf(header, 0, 100), sizeBytes });
    else throw damaged(`it has a member of the kind "${flag}"`);
  }

  #recordsTaker(sizeBytes: number): Take {
    if (sizeBytes > recordsMaxBytes) throw damaged('an extended header is too long');
    let text = '';
    return (piece) => {
      text += Buffer.from(piece).toString('latin1');
      if (text.length < sizeBytes) return;
      const size = /(?:^|\n)\d+ size=(\d+)\n/.exec(text)?.[1];
      if (size !== undefined) this.#nextSizeBytes = Number(size);
    };
  }
}

function textOf(header: Buffer, from: number, bytes: number): string {
  const field = header.subarray(from, from + bytes);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? bytes : end).trim();
}

const damaged = (why: string): HoldfastError => fail('BACKUP_INCOMPLETE', { message: `the archive is not whole: ${why}` });
