/**
 * A key of 32 bytes as people write it down: `hfk1-` and eight groups of seven characters. Crockford's base 32 (no I, L, O, U; upper and lower case are the same), and three bytes
 * of checksum, so that a slip of the pen is told apart from a wrong key.
 */
import { createHash } from 'node:crypto';
import { fail } from '../base/errors.ts';
import { keyBytes } from './sealing.ts';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const prefix = 'hfk1-';
const groupLength = 7;

function checksum(key: Uint8Array): Uint8Array {
  return createHash('sha256').update('holdfast/1/recovery-key').update(key).digest().subarray(0, 3);
}

export function formatRecoveryKey(key: Uint8Array): string {
  let text = '';
  let rest = 0;
  let restBits = 0;
  for (const byte of [...key, ...checksum(key)]) {
    rest = (rest << 8) | byte;
    restBits += 8;
    while (restBits >= 5) {
      restBits -= 5;
      text += alphabet[(rest >> restBits) & 31];
    }
    rest &= (1 << restBits) - 1;
  }
  return prefix + (text.match(new RegExp(`.{${groupLength}}`, 'g')) as string[]).join('-');
}

export const looksLikeRecoveryKey = (text: string) => text.trim().toLowerCase().startsWith(prefix);

/** The key's bytes. A text that can't be one, for its length, characters or checksum: KEY_WRONG. The text itself is never in the error. */
export function parseRecoveryKey(text: string): Uint8Array {
  const characters = text.trim().toLowerCase().slice(prefix.length).replaceAll(/[\s-]/g, '').replaceAll('o', '0').replaceAll(/[il]/g, '1');
  const bytes: number[] = [];
  let rest = 0;
  let restBits = 0;
  for (const character of characters) {
    const value = alphabet.indexOf(character);
    if (value < 0) throw mistyped('it has a character that no recovery key has');
    rest = (rest << 5) | value;
    restBits += 5;
    if (restBits >= 8) {
      restBits -= 8;
      bytes.push((rest >> restBits) & 255);
      rest &= (1 << restBits) - 1;
    }
  }
  if (!looksLikeRecoveryKey(text) || bytes.length !== keyBytes + 3 || restBits !== 0)
    throw mistyped('it has not the length of a recovery key');
  const key = Uint8Array.from(bytes.slice(0, keyBytes));
  if (!checksum(key).every((byte, index) => byte === bytes[keyBytes + index])) throw mistyped('its checksum does not fit');
  return key;
}

const mistyped = (why: string) =>
  fail('KEY_WRONG', {
    message: `this is not a recovery key as it was shown: ${why}`,
    hint: 'Compare it with what was written down, character by character: it is mistyped.',
  });
