/**
 * When things happen by themselves, and inside of which hours: `every: daily`, `every: "0 4 * * 0"`, `window: "Sat 02:00-06:00 UTC"`.
 *
 * Only the shape is checked and kept here. A schedule that never comes is refused, for nobody would notice what does not happen.
 */
import { Cron } from 'croner';
import { z } from 'zod';

/** Names for the usual schedules, as five-field cron patterns. */
export const namedSchedules: Readonly<Record<string, string>> = {
  hourly: '0 * * * *',
  daily: '0 3 * * *',
  weekly: '0 3 * * 0',
  monthly: '0 3 1 * *',
  quarterly: '0 3 1 1,4,7,10 *',
  yearly: '0 3 1 1 *',
};

/** The five cron fields of a schedule as it is written. */
export function patternOf(written: string): string {
  return Object.hasOwn(namedSchedules, written) ? (namedSchedules[written] as string) : written;
}

/** Any instant will do: whether a pattern ever comes does not depend on it. */
const someInstant = '2024-01-01T00:00:00';

/** What is wrong with a schedule, in words; undefined when nothing is. */
export function scheduleFault(text: string): string | undefined {
  const pattern = patternOf(text);
  if (pattern.trim().split(/\s+/).length !== 5) return `"${text}" is not a schedule`;
  try {
    return new Cron(pattern, { timezone: 'UTC' }).nextRun(someInstant) === null ? `"${text}" never comes` : undefined;
  } catch {
    // croner says what it stumbled over in terms of its own parser; the hint below serves people better.
    return `"${text}" is not a schedule`;
  }
}

export const schedule = (description: string) =>
  z
    .string()
    .superRefine((text, context) => {
      const message = scheduleFault(text);
      if (message !== undefined)
        context.addIssue({
          code: 'custom',
          message,
          params: {
            hint: `Write one of ${Object.keys(namedSchedules).join(', ')}, or a cron pattern of five fields (minute hour day month weekday): "30 4 * * 0".`,
          },
        });
    })
    .meta({ description, examples: ['daily', '0 4 * * 0'] });

export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    // The constructor throws a RangeError for a zone it does not know: that is the answer.
    return false;
  }
}

export const timezone = (description: string) =>
  z
    .string()
    .superRefine((name, context) => {
      if (!isTimezone(name))
        context.addIssue({
          code: 'custom',
          message: `"${name}" is not a time zone`,
          params: { hint: 'Write its name in the time zone database: UTC, Europe/Zurich, America/New_York.' },
        });
    })
    .meta({ description, examples: ['UTC', 'Europe/Zurich'] });

const weekdays = 'Mon|Tue|Wed|Thu|Fri|Sat|Sun';
const windowShape = new RegExp(
  `^(?:(?:${weekdays})(?:-(?:${weekdays}))?(?:,(?:${weekdays})(?:-(?:${weekdays}))?)* )?([01]\\d|2[0-3]):[0-5]\\d-(?:([01]\\d|2[0-3]):[0-5]\\d|24:00)(?: (\\S+))?$`,
);

export const timeWindow = (description: string) =>
  z
    .string()
    .superRefine((text, context) => {
      const match = windowShape.exec(text);
      const zone = match?.[3];
      if (!match || (zone !== undefined && !isTimezone(zone)))
        context.addIssue({
          code: 'custom',
          message: match ? `"${zone}" is not a time zone` : `"${text}" is not a window of time`,
          params: { hint: 'Write days, hours and a time zone: "Sat 02:00-06:00 UTC", "Mon-Fri 22:00-23:30 Europe/Zurich".' },
        });
    })
    .meta({ description, examples: ['Sat 02:00-06:00 UTC'] });
