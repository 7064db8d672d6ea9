import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatRecoveryKey, parseRecoveryKey } from './recovery-key.ts';

const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('recovery key', () => {
  it('[S5-09] is read back as it was written down, in either case, with o for 0 and l for 1', () => {
    fc.assert(
      fc.property(keys, (key) => {
        const text = formatRecoveryKey(key);
        expect(text).toMatch(/^hfk1(-[0-9a-z]{7}){8}$/);
        expect(parseRecoveryKey(text)).toEqual(key);
        expect(
          parseRecoveryKey(` ${text.toUpperCase().slice(0, 5)}${text.slice(5).toUpperCase().replaceAll('0', 'O').replaceAll('1', 'l')}\n`),
        ).toEqual(key);
      }),
    );
  });

  it('[S5-09] one wrong or missing character is found', () => {
    fc.assert(
      fc.property(keys, fc.nat(), fc.constantFrom(...'0123456789abcdefghjkmnpqrstvwxyz'), (key, at, character) => {
        const text = formatRecoveryKey(key);
        const place = 5 + (at % (text.length - 5));
        fc.pre(text[place] !== '-' && text[place] !== character);
        expect(() => parseRecoveryKey(text.slice(0, place) + character + text.slice(place + 1))).toThrow(/recovery key/);
        expect(() => parseRecoveryKey(text.slice(0, place) + text.slice(place + 1))).toThrow(/recovery key/);
      }),
    );
  });
});
