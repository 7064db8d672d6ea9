/** Which runs a spec has, and what has to have been done before each. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { scheduleOf } from '../../spec/schedule-spec.ts';
import type { Spec } from '../../spec/spec.ts';
import { computeDue, type LastRun } from './compute-due.ts';
import { hasGround, plannedRuns } from './schedules-of.ts';

it('an increment waits for a base in its own repository; a base waits for nothing', () => {
  const schedule = { written: 'daily', pattern: '0 3 * * *', timezone: 'UTC', jitterShare: 0 };
  const buildsOn = ['base', 'increment'];
  const backup = [
    { what: 'base', to: 'near', schedule },
    { what: 'base', to: 'far', schedule },
    { what: 'increment', to: 'near', schedule, buildsOn },
  ];
  const runs = plannedRuns({ components: new Map([['orders-db', { name: 'orders-db', backup }]]) } as unknown as Spec);
  const startable = (...done: string[]) => runs.filter((run) => hasGround(run, (id) => done.includes(id))).map(({ id }) => id);
  expect(startable()).toEqual(['orders-db/base@near', 'orders-db/base@far']);
  expect(startable('orders-db/base@far', 'orders-db/increment@near')).toHaveLength(2);
  expect(startable('orders-db/base@near')).toContain('orders-db/increment@near');
});

it('[S3-37] the indices of the example are backed up at 0, 6, 12 and 18 o’clock, as Debian’s cron takes the same line, also when nobody served for a while', () => {
  const file = join(import.meta.dirname, '../../../examples/backups/holdfast.yaml');
  const written =
    (parse(readFileSync(file, 'utf8')) as { components: { vectors: { backup: { every: string }[] } } }).components.vectors.backup[0]
      ?.every ?? '';
  // crontab(5): minute hour day-of-month month day-of-week; a step stands for every sixth value of the range, beginning with its first.
  expect(written).toBe('0 */6 * * *');
  const schedule = scheduleOf(written, 'UTC', 0);
  const scheduled = { id: 'vectors/files@vault', schedule, first: 'at-once' as const, retries: true };
  const minuteMs = 60_000;
  let last: LastRun = { beganMs: Date.UTC(2026, 2, 28, 23, 59), state: 'done' };
  const began: string[] = [];
  // A simulated clock that is looked at each minute, through the night in which many clocks are changed; for nine hours nobody looks.
  for (let nowMs = last.beganMs; nowMs < Date.UTC(2026, 2, 31); nowMs += minuteMs) {
    if (nowMs > Date.UTC(2026, 2, 29, 19) && nowMs < Date.UTC(2026, 2, 30, 4)) continue;
    if (computeDue([scheduled], new Map([[scheduled.id, last]]), nowMs).length === 0) continue;
    last = { beganMs: nowMs, state: 'done' };
    began.push(new Date(nowMs).toISOString().slice(8, 16));
  }
  expect(began).toEqual(['29T00:00', '29T06:00', '29T12:00', '29T18:00', '30T04:00', '30T06:00', '30T12:00', '30T18:00']);
});
