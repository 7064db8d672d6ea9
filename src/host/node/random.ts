/** Chance: `next` for spreading things in time, `bytes` for keys and names that nobody may guess. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../host.ts';

export function nodeRandom(): Random {
  return {
    next: () => Math.random(),
    bytes: (count) => new Uint8Array(randomBytes(count)),
  };
}
