import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyedSum } from './keyed-sum.ts';

const key = Buffer.alloc(32, 7);

function sumOf(things: readonly string[], by: Uint8Array = key): string {
  const sum = new KeyedSum(by);
  for (const thing of things) sum.add(thing);
  expect(sum.count).toBe(things.length);
  return sum.hex();
}

test('is the sum of the HMACs modulo 2^256, whatever the order', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 20 }), (things) => {
      let expected = 0n;
      for (const thing of things) {
        const length = Buffer.alloc(8);
        length.writeBigUInt64BE(BigInt(Buffer.byteLength(thing)));
        expected += BigInt(`0x${createHmac('sha256', key).update(length).update(thing).digest('hex')}`);
      }
      expect(sumOf(things)).toBe((expected % 2n ** 256n).toString(16).padStart(64, '0'));
      expect(sumOf([...things].reverse())).toBe(sumOf(things));
    }),
  );
});

test('a thing that is missing, changed or there twice shows, and so do another key and other boundaries', () => {
  const whole = sumOf(['a', 'b', 'c']);
  for (const other of [['a', 'b'], ['a', 'b', 'd'], ['a', 'b', 'c', 'c'], []]) expect(sumOf(other)).not.toBe(whole);
  expect(sumOf(['a', 'a'])).not.toBe(sumOf([]));
  expect(sumOf(['a', 'b', 'c'], Buffer.alloc(32, 8))).not.toBe(whole);
  const [left, right] = [new KeyedSum(key), new KeyedSum(key)];
  left.add('ab', 'c');
  right.add('a', 'bc');
  expect(left.hex()).not.toBe(right.hex());
});
