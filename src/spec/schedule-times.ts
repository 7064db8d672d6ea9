/** The instants of a schedule. Pure: the same pattern, time zone and instant always give the same answer. */
import { Cron } from 'croner';
import { assert } from '../base/assert.ts';
import { formatInstant } from '../base/instants.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

type Pattern = Pick<ScheduleSpec, 'pattern' | 'timezone'>;

interface Known {
  readonly cron: Cron;
  readonly nextMs: Map<number, number>;
}

/** A schedule is asked once a second for the same next instant: reading a pattern and going through a calendar costs a hundred times what looking it up does. */
const known = new Map<string, Known>();
const schedulesMost = 500;
const instantsMost = 500;

/** The first instant of the schedule after the given one. Every schedule of a spec comes again: that is checked when it is read. */
export function nextTimeMs({ pattern, timezone }: Pattern, afterMs: number): number {
  const { cron, nextMs } = recall(`${timezone} ${pattern}`, () => new Cron(pattern, { timezone }));
  const remembered = nextMs.get(afterMs);
  if (remembered !== undefined) return remembered;
  const next = cron.nextRun(formatInstant(afterMs));
  assert(next !== null, `the schedule ${pattern} comes again`);
  if (nextMs.size >= instantsMost) nextMs.clear();
  nextMs.set(afterMs, next.getTime());
  return next.getTime();
}

function recall(key: string, make: () => Cron): Known {
  const found = known.get(key);
  if (found) return found;
  if (known.size >= schedulesMost) known.clear();
  const made = { cron: make(), nextMs: new Map<number, number>() };
  known.set(key, made);
  return made;
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
