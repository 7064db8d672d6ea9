/** The instants of a schedule. Pure: the same pattern, time zone and instant always give the same answer. */
import { Cron } from 'croner';
import { assert } from '../base/assert.ts';
import { formatInstant } from '../base/instants.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

type Pattern = Pick<ScheduleSpec, 'pattern' | 'timezone'>;

/** The first instant of the schedule after the given one. Every schedule of a spec comes again: that is checked when it is read. */
export function nextTimeMs(schedule: Pattern, afterMs: number): number {
  const next = new Cron(schedule.pattern, { timezone: schedule.timezone }).nextRun(formatInstant(afterMs));
  assert(next !== null, `the schedule ${schedule.pattern} comes again`);
  return next.getTime();
}

const dayMs = 86_400_000;

/** The longest time between two runs in the year that follows; seen from the given instant. */
export function longestPauseMs(schedule: Pattern, fromMs: number): number {
  let longest = 0;
  let before = nextTimeMs(schedule, fromMs);
  const firstMs = before;
  for (let count = 0; count < 400 && (count < 2 || before - firstMs < 366 * dayMs); count += 1) {
    const next = nextTimeMs(schedule, before);
    longest = Math.max(longest, next - before);
    before = next;
  }
  return longest;
}
