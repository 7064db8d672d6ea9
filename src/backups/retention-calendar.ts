/**
 * Which hour, day, week, month and year an instant falls into, in a time zone. Pure.
 *
 * A name of a bucket means one bucket only: the hour that the clocks of autumn go through twice is two.
 */
import { assert } from '../base/assert.ts';
import type { RetentionTier } from './retention-policy.ts';

export type CalendarBuckets = Readonly<Record<RetentionTier, string>>;

/** Days since 1970-01-01 of a date of the Gregorian calendar. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  // Years begin in March here, so that the leap day is the last one of its year.
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** Reads the calendar of one time zone; the returned function remembers nothing but the zone. */
export function openCalendar(timezone: string): (atMs: number) => CalendarBuckets {
  const format = new Intl.DateTimeFormat('en-u-ca-gregory-nu-latn', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  return (atMs) => {
    const parts = new Map(format.formatToParts(atMs).map((part) => [part.type, Number(part.value)]));
    const read = (type: Intl.DateTimeFormatPartTypes): number => {
      const value = parts.get(type);
      assert(value !== undefined && Number.isInteger(value), `a calendar tells the ${type}`);
      return value;
    };
    const [year, month, day, hour] = [read('year'), read('month'), read('day'), read('hour')];
    const days = daysSinceEpoch(year, month, day);
    const minutesLocal = days * 1_440 + hour * 60 + read('minute');
    const offsetMinutes = minutesLocal - Math.floor(atMs / 60_000);
    return {
      hourly: `${days}.${hour}${offsetMinutes < 0 ? '' : '+'}${offsetMinutes}`,
      daily: `${days}`,
      // 1970-01-01 was a Thursday; weeks begin on Monday.
      weekly: `${Math.floor((days + 3) / 7)}`,
      monthly: `${year}-${month}`,
      yearly: `${year}`,
    };
  };
}
