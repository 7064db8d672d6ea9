import { describe, expect, it } from 'vitest';
import type { ScheduleSpec } from '../../spec/schedule-spec.ts';
import { computeDue, computeNext, jitterMs, type LastRun, type Scheduled } from './compute-due.ts';

const at = (text: string) => Date.parse(text);
const schedule = (pattern: string, parts: Partial<ScheduleSpec> = {}): ScheduleSpec => ({
  written: pattern,
  pattern,
  timezone: 'UTC',
  jitterShare: 0,
  ...parts,
});
const scheduled = (pattern: string, parts: Partial<Scheduled> & { zone?: string; jitterShare?: number } = {}): Scheduled => ({
  id: 'db/base@main',
  schedule: schedule(pattern, { timezone: parts.zone ?? 'UTC', jitterShare: parts.jitterShare ?? 0 }),
  first: parts.first ?? 'at-once',
  retries: parts.retries ?? true,
});
const ran = (began: string, state: LastRun['state'] = 'done', ended?: string): ReadonlyMap<string, LastRun> =>
  new Map([['db/base@main', { beganMs: at(began), state, ...(ended ? { endedMs: at(ended) } : {}) }]]);

/** All beginnings of a stretch of time, each run taking no time, looked at every minute. */
function beginnings(one: Scheduled, from: string, to: string, last?: LastRun, stepMs = 60_000): string[] {
  let runs = new Map<string, LastRun>(last ? [[one.id, last]] : []);
  const found: string[] = [];
  for (let nowMs = at(from); nowMs < at(to); nowMs += stepMs) {
    if (computeDue([one], runs, nowMs).length === 0) continue;
    found.push(new Date(nowMs).toISOString());
    runs = new Map([[one.id, { beganMs: nowMs, state: 'done' }]]);
  }
  return found;
}

describe('computeDue', () => {
  it('what never ran is due at once, or after its first instant', () => {
    expect(computeDue([scheduled('0 * * * *')], new Map(), at('2026-05-05T10:17:00Z'))).toMatchObject([{ because: 'first' }]);
    const patient = scheduled('0 4 * * *', { first: { afterMs: at('2026-05-05T10:17:00Z') } });
    expect(computeDue([patient], new Map(), at('2026-05-06T03:59:00Z'))).toEqual([]);
    expect(computeDue([patient], new Map(), at('2026-05-06T04:00:00Z'))).toMatchObject([{ because: 'schedule' }]);
  });
  it('[S5-03] hourly means once in each hour', () => {
    const found = beginnings(scheduled('0 * * * *'), '2026-05-05T10:00:00Z', '2026-05-06T10:00:00Z');
    expect(found).toHaveLength(24);
    expect(found.every((instant) => instant.endsWith(':00:00.000Z'))).toBe(true);
  });
  it('[S4-42] a month of a monthly proof', () => {
    const one = scheduled('0 3 1 * *', { first: { afterMs: at('2026-01-15T00:00:00Z') } });
    expect(beginnings(one, '2026-01-15T00:00:00Z', '2026-04-02T00:00:00Z', undefined, 3_600_000)).toEqual([
      '2026-02-01T03:00:00.000Z',
      '2026-03-01T03:00:00.000Z',
      '2026-04-01T03:00:00.000Z',
    ]);
  });
  it('runs that were missed are made up for by one', () => {
    const one = scheduled('0 * * * *');
    const last: LastRun = { beganMs: at('2026-05-05T10:00:00Z'), state: 'done' };
    expect(beginnings(one, '2026-05-05T17:25:00Z', '2026-05-05T19:30:00Z', last)).toEqual([
      '2026-05-05T17:25:00.000Z',
      '2026-05-05T18:00:00.000Z',
      '2026-05-05T19:00:00.000Z',
    ]);
  });
  it('one that has not ended keeps the next from beginning, however late it is', () => {
    expect(computeDue([scheduled('0 * * * *')], ran('2026-05-05T10:00:00Z', 'running'), at('2026-05-06T10:00:00Z'))).toEqual([]);
  });
  it('one that failed is tried again after a pause, once, and not where that makes no sense', () => {
    const failed = ran('2026-05-05T10:00:00Z', 'failed', '2026-05-05T10:03:00Z');
    expect(computeDue([scheduled('0 * * * *')], failed, at('2026-05-05T10:12:59Z'))).toEqual([]);
    expect(computeDue([scheduled('0 * * * *')], failed, at('2026-05-05T10:13:00Z'))).toMatchObject([{ because: 'retry' }]);
    expect(computeDue([scheduled('0 * * * *', { retries: false })], failed, at('2026-05-05T10:59:00Z'))).toEqual([]);
  });
  it('a day that is 23 or 25 hours long has one run, at the wall clock of the time zone', () => {
    const one = scheduled('30 3 * * *', { zone: 'Europe/Zurich', first: { afterMs: at('2026-03-27T12:00:00Z') } });
    expect(beginnings(one, '2026-03-27T12:00:00Z', '2026-03-30T12:00:00Z')).toEqual([
      '2026-03-28T02:30:00.000Z',
      '2026-03-29T01:30:00.000Z',
      '2026-03-30T01:30:00.000Z',
    ]);
  });
  it('an hour that is skipped loses no run, and one that comes twice gives one', () => {
    const inGap = scheduled('30 2 * * *', { zone: 'Europe/Zurich', first: { afterMs: at('2026-03-28T12:00:00Z') } });
    expect(beginnings(inGap, '2026-03-28T12:00:00Z', '2026-03-29T22:00:00Z')).toHaveLength(1);
    const repeated = scheduled('30 2 * * *', { zone: 'Europe/Zurich', first: { afterMs: at('2026-10-24T12:00:00Z') } });
    expect(beginnings(repeated, '2026-10-24T12:00:00Z', '2026-10-25T22:00:00Z')).toHaveLength(1);
  });
  it('several are begun in the order in which they are due', () => {
    const other: Scheduled = { ...scheduled('30 * * * *'), id: 'db/dump@main' };
    const runs = new Map<string, LastRun>([
      ...ran('2026-05-05T10:00:00Z'),
      ['db/dump@main', { beganMs: at('2026-05-05T09:30:00Z'), state: 'done' }],
    ]);
    expect(computeDue([scheduled('0 * * * *'), other], runs, at('2026-05-05T12:00:00Z')).map(({ id }) => id)).toEqual([
      'db/dump@main',
      'db/base@main',
    ]);
  });
});

describe('jitter', () => {
  it('puts a run off by no more than its share, the same whenever it is computed, and differently from run to run', () => {
    const hourly = schedule('0 * * * *', { jitterShare: 0.03 });
    const instants = Array.from({ length: 48 }, (_, hour) => at('2026-05-05T00:00:00Z') + hour * 3_600_000);
    const put = instants.map((instantMs) => jitterMs('db/base@main', hourly, instantMs));
    expect(put).toEqual(instants.map((instantMs) => jitterMs('db/base@main', hourly, instantMs)));
    expect(Math.max(...put)).toBeLessThan(108_000);
    expect(new Set(put).size).toBeGreaterThan(40);
    expect(jitterMs('other/base@main', hourly, instants[0] as number)).not.toBe(put[0]);
  });
  it('is ten minutes at the most', () => {
    expect(jitterMs('x', schedule('0 3 1 * *', { jitterShare: 0.5 }), at('2026-05-01T03:00:00Z'))).toBeLessThan(600_000);
  });
  it('shows in what comes next', () => {
    const one = scheduled('0 * * * *', { jitterShare: 0.03 });
    const next = computeNext(one, ran('2026-05-05T10:00:00Z').get(one.id), at('2026-05-05T10:05:00Z'));
    expect(next.dueMs).toBeGreaterThan(at('2026-05-05T11:00:00Z'));
    expect(next.dueMs).toBeLessThan(at('2026-05-05T11:01:48Z'));
  });
});
