/** Durations of the spec that make sense only between two bounds. */
import { formatDuration } from '../base/durations.ts';
import { duration } from '../contracts/options.ts';

/** A duration between two bounds. The upper one keeps a slip of the unit (`1000h` for `1000ms`) from silently switching something off. */
export function boundedDuration(description: string, leastMs: number, mostMs: number, examples: string[]) {
  return duration(description)
    .refine((valueMs) => valueMs >= leastMs && valueMs <= mostMs, {
      error: (issue) => `${formatDuration(issue.input as number)} is too ${(issue.input as number) < leastMs ? 'short' : 'long'}`,
      params: { hint: `Write a duration from ${formatDuration(leastMs)} to ${formatDuration(mostMs)}.` },
    })
    .meta({ description, examples });
}

export const minuteMs = 60_000;
export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;
