import { describe, expect, it } from 'vitest';
import type { Acknowledgement } from './checker.ts';
import { computeMedian, computeOutageMs, findMissing, findSplitBrain } from './judge.ts';

const told = (site: string, timeline: number, sentAtMs: number, atMs = sentAtMs + 1): Acknowledgement => ({
  number: sentAtMs,
  from: 'middle',
  site,
  timeline,
  sentAtMs,
  atMs,
});

describe('the judge of a run', () => {
  it('finds nothing in an orderly change of sides', () => {
    expect(findSplitBrain([told('east', 1, 10), told('east', 1, 20), told('west', 2, 100), told('west', 2, 120)])).toEqual([]);
  });

  it('finds two sites under one timeline', () => {
    expect(findSplitBrain([told('east', 1, 10), told('west', 1, 20)])).toHaveLength(1);
  });

  it('finds an old primary that acknowledges what was sent after the new one had begun', () => {
    expect(findSplitBrain([told('east', 1, 10), told('west', 2, 100), told('east', 1, 102)])).toHaveLength(1);
  });

  it('finds an old primary that answers at last what it was asked before, and excuses a client that notes it a little late', () => {
    expect(findSplitBrain([told('west', 2, 100), told('east', 1, 50, 900)])).toHaveLength(1);
    expect(findSplitBrain([told('west', 2, 100), told('east', 1, 50, 150)])).toEqual([]);
  });

  it('takes the longest silence that reaches into the span', () => {
    const record = [told('east', 1, 0, 0), told('east', 1, 100, 100), told('west', 2, 900, 900), told('west', 2, 1_000, 1_000)];
    expect(computeOutageMs(record, 110, 950)).toBe(800);
    expect(computeOutageMs(record, 910, 1_200)).toBe(200);
  });

  it('misses what was acknowledged and is not there, and nothing else', () => {
    expect(findMissing([told('east', 1, 1), told('east', 1, 2)], new Set([2, 3]))).toEqual([1]);
  });

  it('knows the middle of a list', () => {
    expect([computeMedian([]), computeMedian([3, 1, 2]), computeMedian([4, 1, 2, 3])]).toEqual([0, 2, 2.5]);
  });
});
