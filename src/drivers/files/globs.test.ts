import { expect, test } from 'vitest';
import { parseFaissHeader } from './faiss-header.ts';
import { pathFilter, patternOf } from './globs.ts';

test.each([
  ['*.faiss', 'a.faiss', true],
  ['*.faiss', 't/a.faiss', false],
  ['**/*.faiss', 'a.faiss', true],
  ['**/*.faiss', 't/u/a.faiss', true],
  ['**/*.faiss', 't/a.faiss.tmp', false],
  ['tenant-?/main.{faiss,index}', 'tenant-7/main.index', true],
  ['tenant-?/main.{faiss,index}', 'tenant-77/main.index', false],
  ['a.b+c[1](x)', 'a.b+c[1](x)', true],
  ['a.b', 'axb', false],
  ['a/**', 'a/b/c', true],
  ['a/**/c', 'a/c', true],
  ['line*', 'line\nbreak', true],
])('%s and %s: %s', (glob, path, expected) => {
  expect(patternOf(glob).test(path)).toBe(expected);
});

test('what a directory meets, everything below it meets; leaving out wins', () => {
  const wants = pathFilter(['tenants'], ['**/*.tmp', '**/cache']);
  expect(['tenants/7/a.faiss', 'tenants/7/a.tmp', 'tenants/cache/x/y', 'other/a.faiss'].map(wants)).toEqual([true, false, false, false]);
  expect(pathFilter(undefined, undefined)('anything/at/all')).toBe(true);
});

function header(letters: string, dimension: number, ntotal: bigint, marks = 1n << 20n): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write(letters, 0, 'latin1');
  bytes.writeInt32LE(dimension, 4);
  bytes.writeBigInt64LE(ntotal, 8);
  bytes.writeBigInt64LE(marks, 16);
  bytes.writeBigInt64LE(marks, 24);
  return bytes;
}

test('[S3-42] the head of a FAISS index gives its dimension and number of vectors; what is not understood is said, not guessed', () => {
  expect(parseFaissHeader(header('IwFl', 768, 12_345n))).toEqual({ kind: 'IwFl (IVF flat)', dimension: 768, ntotal: 12_345 });
  expect(parseFaissHeader(header('IxF2', 8, 0n))).toMatchObject({ ntotal: 0 });
  for (const wrong of [
    header('XXXX', 8, 1n),
    header('IxF2', 0, 1n),
    header('IxF2', 8, -1n),
    header('IxF2', 8, 1n, 7n),
    Buffer.from('IxF2'),
  ])
    expect(parseFaissHeader(wrong)).toHaveProperty('unknown');
});
