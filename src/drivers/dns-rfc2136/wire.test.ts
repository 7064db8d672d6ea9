import { decode } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { canonicalValue, decodeValue, encodeValue } from './record-set.ts';
import { signMessage, verifySignature } from './tsig.ts';
import { decodeMessage, decodeName, encodeMessage, encodeName, opcodes, recordClasses, recordTypes, type WireMessage } from './wire.ts';

const update: WireMessage = {
  id: 4711,
  flags: opcodes.update << 11,
  questions: [{ name: 'example.test', type: recordTypes.SOA, class: recordClasses.IN }],
  answers: [{ name: 'api.example.test', type: recordTypes.A, class: recordClasses.IN, ttl: 0, data: encodeValue('A', '192.0.2.1') }],
  authorities: [
    {
      name: 'api.example.test',
      type: recordTypes.CNAME,
      class: recordClasses.IN,
      ttl: 60,
      data: encodeValue('CNAME', 'west.example.test'),
    },
    { name: 'api.example.test', type: recordTypes.AAAA, class: recordClasses.IN, ttl: 60, data: encodeValue('AAAA', '2001:db8::2') },
  ],
  additionals: [],
};
const key = { name: 'holdfast', algorithm: 'hmac-sha256', secret: new Secret('c2VjcmV0', 'env:KEY') } as const;

describe('DNS messages', () => {
  it('are read by another implementation as they were meant', () => {
    expect(decode(encodeMessage(update))).toMatchObject({
      id: 4711,
      opcode: 'UPDATE',
      questions: [{ name: 'example.test', type: 'SOA', class: 'IN' }],
      answers: [{ name: 'api.example.test', type: 'A', ttl: 0, data: '192.0.2.1' }],
      authorities: [
        { type: 'CNAME', ttl: 60, data: 'west.example.test' },
        { type: 'AAAA', data: '2001:db8::2' },
      ],
    });
  });

  it('are the same after being written and read', () => {
    expect(decodeMessage(encodeMessage(update))).toMatchObject(update);
  });

  it('never make the reader loop or throw anything but a wrong answer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }), (bytes, counts) => {
        const message = Buffer.concat([Buffer.alloc(12), bytes]);
        for (const [index, count] of counts.entries()) message.writeUInt16BE(count, 4 + 2 * index);
        try {
          decodeMessage(message);
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('keep names through compression, case and dots within labels', () => {
    const bytes = Buffer.concat([encodeName('Example.TEST.'), Buffer.from([3]), Buffer.from('a.b'), Buffer.from([0xc0, 0])]);
    expect(decodeName(bytes, 14)).toEqual({ name: 'a\\.b.example.test', end: 20 });
    expect(decodeName(encodeName('a\\.b.example.test')).name).toBe('a\\.b.example.test');
  });

  it('refuse a name that points forward', () => {
    expect(() => decodeName(Uint8Array.from([0xc0, 2, 0]))).toThrow('points forward');
  });
});

describe('addresses', () => {
  it.each([
    ['A', '192.0.2.1', '192.0.2.1'],
    ['AAAA', '2001:DB8:0:0::1', '2001:db8::1'],
    ['AAAA', '::ffff:192.0.2.1', '::ffff:c000:201'],
    ['AAAA', '::', '::'],
    ['CNAME', 'WWW.Example.com.', 'www.example.com'],
  ] as const)('%s %s has the canonical form %s', (type, text, canonical) => {
    expect(canonicalValue(type, text)).toBe(canonical);
  });

  it.each([
    ['A', '192.0.2.256'],
    ['A', '010.0.0.1'],
    ['A', '::1'],
    ['AAAA', '1.2.3.4'],
    ['AAAA', '2001:db8'],
    ['CNAME', '192.0.2.1'],
    ['CNAME', 'two words'],
  ] as const)('%s can not be %s', (type, text) => {
    expect(() => canonicalValue(type, text)).toThrow(HoldfastError);
  });

  it('any IPv6 address survives being written and read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(encodeValue('AAAA', decodeValue('AAAA', bytes))).toEqual(Uint8Array.from(bytes));
      }),
    );
  });
});

describe('signatures', () => {
  const signed = signMessage(encodeMessage(update), key, { timeSeconds: 1_800_000_000 });

  it('hold for the message and its key', () => {
    expect(verifySignature(signed.bytes, decodeMessage(signed.bytes), key)).toBe(true);
  });

  it('do not hold once any byte of the message was changed', () => {
    const unsignedLength = encodeMessage(update).length;
    for (let index = 0; index < unsignedLength; index += 1) {
      // The number of additional records must stay readable, and the id travels in the signature itself.
      if (index < 2 || (index >= 4 && index < 12)) continue;
      const forged = Buffer.from(signed.bytes);
      forged[index] = (forged[index] ?? 0) ^ 1;
      let holds = false;
      try {
        holds = verifySignature(forged, decodeMessage(forged), key);
      } catch (error) {
        expect(error).toBeInstanceOf(HoldfastError);
      }
      expect(holds, `byte ${index}`).toBe(false);
    }
  });

  it('hold for an answer only with the request that it answers', () => {
    const answer = signMessage(encodeMessage(update), key, { timeSeconds: 1_800_000_000, requestMac: signed.mac });
    const message = decodeMessage(answer.bytes);
    expect(verifySignature(answer.bytes, message, key, signed.mac)).toBe(true);
    expect(verifySignature(answer.bytes, message, key, new Uint8Array(32))).toBe(false);
  });
});
