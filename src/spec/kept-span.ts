/** How far back the rules of `keep` reach, where each run gives one backup. Pure. */
import type { KeepSpec } from './backup-section.ts';
import { dayMs, hourMs } from './bounded-duration.ts';

/** @param pauseMs the longest time between two runs */
export function keptSpanMs(keep: KeepSpec, pauseMs: number): number {
  return Math.max(
    keep.forMs ?? 0,
    (keep.proven ?? 0) * pauseMs,
    (keep.hourly ?? 0) * Math.max(hourMs, pauseMs),
    (keep.daily ?? 0) * Math.max(dayMs, pauseMs),
    (keep.weekly ?? 0) * Math.max(7 * dayMs, pauseMs),
    (keep.monthly ?? 0) * Math.max(30 * dayMs, pauseMs),
    (keep.yearly ?? 0) * Math.max(365 * dayMs, pauseMs),
  );
}
