import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeServerWeights } from './server-weights.ts';

const weightsOf = (weights: Record<string, number>, counts: Record<string, number>) =>
  Object.fromEntries(computeServerWeights(new Map(Object.entries(weights)), new Map(Object.entries(counts))));

describe('weights of servers', () => {
  it.each([
    [
      { east: 100, west: 0 },
      { east: 1, west: 1 },
      { east: 100, west: 0 },
    ],
    [
      { east: 10, west: 90 },
      { east: 1, west: 1 },
      { east: 10, west: 90 },
    ],
    [
      { east: 50, west: 50 },
      { east: 2, west: 1 },
      { east: 25, west: 50 },
    ],
    [
      { east: 50, west: 50 },
      { east: 3, west: 1 },
      { east: 50, west: 150 },
    ],
    [
      { east: 1, west: 100 },
      { east: 8, west: 1 },
      { east: 1, west: 256 },
    ],
  ])('%j over %j servers are %j', (weights, counts, expected) => {
    expect(weightsOf(weights, counts)).toEqual(expected);
  });

  it('are whole, never beyond what HAProxy takes, and above 0 exactly where the region gets traffic', () => {
    const region = fc.tuple(fc.double({ min: 0, max: 100, noNaN: true }), fc.integer({ min: 1, max: 20 }));
    fc.assert(
      fc.property(
        fc.array(region, { minLength: 1, maxLength: 5 }).filter((all) => all.some(([weight]) => weight > 0)),
        (all) => {
          const weights = computeServerWeights(
            new Map(all.map(([weight], index) => [`r${index}`, weight])),
            new Map(all.map(([, count], index) => [`r${index}`, count])),
          );
          for (const [index, [weight]] of all.entries()) {
            const found = weights.get(`r${index}`) ?? -1;
            expect(Number.isInteger(found) && found <= 256 && found > 0 === weight > 0 && found >= 0).toBe(true);
          }
        },
      ),
    );
  });
});
