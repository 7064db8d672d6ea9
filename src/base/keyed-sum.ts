/**
 * A keyed digest over a set of things, whatever the order they come in: each one's HMAC-SHA256, added up modulo 2^256. Adding, not XOR: a thing that comes twice shows.
 *
 * Whoever has only the sum learns nothing of the things, and can't make another set with the same sum without the key.
 */
import { createHmac } from 'node:crypto';

export class KeyedSum {
  readonly #key: Uint8Array;
  readonly #lanes = new Uint32Array(8);
  #count = 0;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  get count(): number {
    return this.#count;
  }

  /** The parts of one thing: their boundaries count, `ab` and `c` is another thing than `a` and `bc`. */
  add(...parts: readonly (string | Uint8Array)[]): void {
    const hmac = createHmac('sha256', this.#key);
    const length = Buffer.allocUnsafe(8);
    for (const part of parts) {
      length.writeBigUInt64BE(BigInt(Buffer.byteLength(part)));
      hmac.update(length).update(part);
    }
    const digest = hmac.digest();
    let carry = 0;
    for (let lane = 7; lane >= 0; lane -= 1) {
      const sum = (this.#lanes[lane] as number) + digest.readUInt32BE(lane * 4) + carry;
      this.#lanes[lane] = sum >>> 0;
      carry = sum > 0xffff_ffff ? 1 : 0;
    }
    this.#count += 1;
  }

  hex(): string {
    return [...this.#lanes].map((lane) => lane.toString(16).padStart(8, '0')).join('');
  }
}
