/**
 * Lists the pieces of a backup in chapters while it is written: a chapter is put into the store as soon as it is full, so the list is never held whole.
 *
 * Invariant: the lines of one part are in the order of their positions. What dies here leaves objects without a manifest: not a backup.
 */
import { sha256Hex } from '../base/hashing.ts';
import { canonicalJson } from '../base/json.ts';
import type { ChapterLine, PieceLine } from './manifest.ts';

export const chapterLinesMax = 8_192;

export class ChapterWriter {
  readonly #put: (digest: string, content: Uint8Array) => Promise<void>;
  readonly #chapters: ChapterLine[] = [];
  #lines: string[] = [];
  #underWay: Promise<void> = Promise.resolve();

  constructor(put: (digest: string, content: Uint8Array) => Promise<void>) {
    this.#put = put;
  }

  /** Takes a line and says which chapter it is in. */
  add(line: PieceLine): number {
    const number = this.#chapters.length;
    this.#lines.push(canonicalJson(line));
    if (this.#lines.length >= chapterLinesMax) this.#close();
    return number;
  }

  async finish(): Promise<readonly ChapterLine[]> {
    if (this.#lines.length > 0) this.#close();
    await this.#underWay;
    return this.#chapters;
  }

  #close(): void {
    const content = new TextEncoder().encode(`${this.#lines.join('\n')}\n`);
    const digest = sha256Hex(content);
    this.#chapters.push({ chapter: digest, bytes: content.length, pieces: this.#lines.length });
    this.#lines = [];
    const before = this.#underWay;
    this.#underWay = before.then(() => this.#put(digest, content));
    // Told by `finish`.
    this.#underWay.catch(() => undefined);
  }
}
