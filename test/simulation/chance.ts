/** Draws from a seed. Each purpose has a stream of its own, so that one draw more here does not change what is drawn there. */
import type { Random } from '../../src/host/host.ts';
import { seededRandom } from '../fakes/host.ts';

export class Chance {
  readonly random: Random;

  constructor(seed: number, purpose: string) {
    let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
    for (const letter of purpose) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x01000193) >>> 0;
    this.random = seededRandom(mixed);
  }

  happens(probability: number): boolean {
    return this.random.next() < probability;
  }

  between(least: number, most: number): number {
    return least + (most - least) * this.random.next();
  }

  whole(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.whole(0, list.length - 1)] as T;
  }
}
