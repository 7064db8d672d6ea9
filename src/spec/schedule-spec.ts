/** A schedule of the spec after validation. */
import { minuteMs } from './bounded-duration.ts';
import { patternOf } from './schedules.ts';

/** When something happens by itself. */
export interface ScheduleSpec {
  /** As people wrote it: `daily`, `0 4 * * 0`. */
  readonly written: string;
  /** Five cron fields. */
  readonly pattern: string;
  readonly timezone: string;
  /** Each run is put off by up to this share of the time between two runs, so that many platforms do not all begin at once. */
  readonly jitterShare: number;
}

/** A few percent are enough to spread the load, and too little to be noticed. */
const jitterShareDefault = 0.03;

export const scheduleOf = (written: string, zone: string, jitterShare?: number): ScheduleSpec => ({
  written,
  pattern: patternOf(written),
  timezone: zone,
  jitterShare: jitterShare ?? jitterShareDefault,
});

/** At most so much jitter where the spec names none: a monthly backup is not put off by a day. */
export const jitterMsMost = 10 * minuteMs;
