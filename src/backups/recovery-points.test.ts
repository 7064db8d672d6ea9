import { describe, expect, it } from 'vitest';
import { dayMs, entryOf, hourMs, proofOf, segmentName } from '../../test/fakes/catalogue.ts';
import type { GapRecord } from './records.ts';
import { computeRecoveryWindows, findNewestRecoverableMs } from './recovery-points.ts';

const startMs = Date.UTC(2026, 5, 1);
const archive = {
  component: 'orders-db',
  identity: 'history-1',
  oldest: segmentName(1),
  newest: segmentName(999),
  newestAtMs: startMs + 3 * dayMs,
};
const base = (number: number, atMs: number, more = {}) =>
  entryOf({ backupId: `b${number}`, atMs, segments: { first: segmentName(number), last: segmentName(number + 1) }, ...more });
const gap = (from: number, to: number, more: Partial<GapRecord> = {}): GapRecord => ({
  component: 'orders-db',
  identity: 'history-1',
  from: segmentName(from),
  to: segmentName(to),
  why: 'the slot was lost',
  atMs: startMs,
  ...more,
});

describe('from when to when', () => {
  it('[S5-25] one window from the oldest backup to the newest of the log, and from when on it is proven', () => {
    const entries = [base(10, startMs), base(20, startMs + dayMs, { proofs: [proofOf('b20', startMs + dayMs)] })];
    const { windows } = computeRecoveryWindows({ entries, gaps: [] }, [archive]);
    expect(windows).toEqual([
      expect.objectContaining({ fromMs: startMs, toMs: startMs + 3 * dayMs, provenFromMs: startMs + dayMs, endsAt: 'newest of the log' }),
    ]);
    expect(windows[0]?.backups.map(({ backupId, level }) => [backupId, level])).toEqual([
      ['b10', 'none'],
      ['b20', 'P4'],
    ]);
    expect(findNewestRecoverableMs(windows, 'orders-db')).toBe(startMs + 3 * dayMs);
    expect(findNewestRecoverableMs(windows, 'cache')).toBeUndefined();
  });

  it('[S5-07] a hole ends a window at the last instant that is certain, and the next backup opens another', () => {
    const entries = [base(10, startMs), base(20, startMs + hourMs), base(40, startMs + dayMs)];
    const { windows } = computeRecoveryWindows({ entries, gaps: [gap(30, 31)] }, [archive]);
    expect(windows.map(({ fromMs, toMs, endsAt }) => [fromMs, toMs, endsAt])).toEqual([
      [startMs, startMs + hourMs, 'gap'],
      [startMs + dayMs, startMs + 3 * dayMs, 'newest of the log'],
    ]);
  });

  it('an acknowledged hole is a hole', () => {
    const acknowledged = gap(30, 31, { acknowledged: { by: 'ann', atMs: startMs } });
    const { windows } = computeRecoveryWindows({ entries: [base(10, startMs)], gaps: [acknowledged] }, [archive]);
    expect(windows[0]).toMatchObject({ toMs: startMs, endsAt: 'gap', gap: acknowledged });
  });

  it('a hole in what a backup itself needs leaves no point at all', () => {
    const { windows, broken } = computeRecoveryWindows({ entries: [base(10, startMs)], gaps: [gap(11, 11)] }, [archive]);
    expect([windows, broken.map(({ backupId }) => backupId)]).toEqual([[], ['b10']]);
  });

  it('holes before a backup, of another history or of another component do not concern it', () => {
    const gaps = [gap(5, 9), gap(30, 31, { identity: 'history-0' }), gap(30, 31, { component: 'other' })];
    const { windows } = computeRecoveryWindows({ entries: [base(10, startMs)], gaps }, [archive]);
    expect(windows[0]?.endsAt).toBe('newest of the log');
  });

  it('without a log each backup is a point of its own; one under a tombstone is none', () => {
    const entries = [1, 2, 3].map((day) =>
      entryOf({ backupId: `d${day}`, atMs: startMs + day * dayMs, ...(day === 2 ? { tombstoneMs: startMs } : {}) }),
    );
    const { windows } = computeRecoveryWindows({ entries, gaps: [] }, []);
    expect(windows.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([1, 3].map((day) => [startMs + day * dayMs, startMs + day * dayMs]));
  });
});
