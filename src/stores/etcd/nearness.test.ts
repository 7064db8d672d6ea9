import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderByNearness } from './nearness.ts';

const listed = ['east', 'west', 'middle'];

describe('members by nearness', () => {
  it('the one that connects soonest is first, whatever place it has in the list', () => {
    const times = new Map([
      ['east', 170],
      ['west', 2],
      ['middle', 95],
    ]);
    expect(orderByNearness(listed, times)).toEqual(['west', 'middle', 'east']);
  });

  it('those that are about as near keep the order of the list', () => {
    const times = new Map([
      ['middle', 1],
      ['west', 9],
      ['east', 14],
    ]);
    expect(orderByNearness(listed, times)).toEqual(listed);
  });

  it('one that has not connected comes last', () => {
    expect(orderByNearness(listed, new Map([['middle', 900]]))).toEqual(['middle', 'east', 'west']);
    expect(orderByNearness(listed, new Map())).toEqual(listed);
  });

  it('is an order of the same members, by any times', () => {
    const times = fc.array(fc.option(fc.double({ min: 0, max: 500, noNaN: true }), { nil: undefined }), { minLength: 5, maxLength: 5 });
    fc.assert(
      fc.property(times, (each) => {
        const endpoints = each.map((_, index) => `member-${index}`);
        const known = new Map(endpoints.flatMap((name, index) => (each[index] === undefined ? [] : [[name, each[index]] as const])));
        const ordered = orderByNearness(endpoints, known);
        expect([...ordered].sort()).toEqual(endpoints);
        expect(orderByNearness(ordered, known)).toEqual(ordered);
        const first = known.get(ordered[0] as string);
        if (known.size > 0) expect(first).toBeLessThan(Math.min(...known.values()) + 20);
      }),
    );
  });
});
