import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isObjectName } from '../contracts/repository-backend.ts';
import {
  archivePrefix,
  backupPrefix,
  decodeName,
  encodeLogName,
  encodeName,
  logPartName,
  logSliceName,
  nameCharactersMax,
  parseLogObject,
} from './object-names.ts';

/** Anything that a system may call something, as far as it fits. */
const names = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 10 }).filter((text) => 3 * Buffer.byteLength(text) <= nameCharactersMax),
  fc.constantFrom('.', '..', '.part-', 'a.part-000000000000-000000000001', 'b.slice-0001', '=41', 'a/b', ' ', '00000002.history'),
);

describe('names of objects', () => {
  it('any name of a system fits into what a store takes, comes back, and is no other one', () => {
    fc.assert(
      fc.property(names, names, (name, other) => {
        expect(isObjectName(`${backupPrefix(name, other)}manifest`)).toBe(true);
        expect(isObjectName(archivePrefix(name, other) + encodeLogName(name))).toBe(true);
        expect(decodeName(encodeName(name))).toBe(new TextDecoder().decode(new TextEncoder().encode(name)));
        if (name !== other) expect(encodeName(name)).not.toBe(encodeName(other));
      }),
    );
  });

  it('logs, their parts and their slices are told apart, whatever the log is called', () => {
    fc.assert(
      fc.property(names, fc.nat(), fc.nat(), fc.integer({ min: 0, max: 9_999 }), (name, from, length, slice) => {
        expect(parseLogObject(encodeLogName(name))).toEqual({ kind: 'whole', name });
        expect(parseLogObject(logPartName(name, from, from + length))).toEqual({ kind: 'part', name, from, to: from + length });
        expect(parseLogObject(logSliceName(name, slice))).toEqual({ kind: 'slice', name });
      }),
    );
  });

  it('parts of a log are in the order of where they begin', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (one, two) => {
        fc.pre(one !== two);
        expect(logPartName('x', one, one + 1) < logPartName('x', two, two + 1)).toBe(one < two);
      }),
    );
  });
});
