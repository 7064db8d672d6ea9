/** What is to be said of the TTL of a name that leads clients: for as long as it lasts, they go on to where it led before. Pure. */
import { formatDuration } from '../base/durations.ts';
import type { Reading } from './observation.ts';

const advisedTtlSeconds = 60;

/** @param servedSeconds of each record that is served now */
export function ttlFaults(record: string, wantedMs: number, servedSeconds: readonly number[]): NonNullable<Reading['faults']> {
  const wantedSeconds = wantedMs / 1_000;
  const longestSeconds = Math.max(0, ...servedSeconds);
  const tooLong =
    longestSeconds > wantedSeconds
      ? [
          {
            severity: 'problem' as const,
            message: `the TTL of ${record} is ${longestSeconds} s instead of ${wantedSeconds} s: for so long after a failover clients keep the old address`,
            hint: 'Lower it now; lowering it during the failover is too late for caches that hold it. Routing to the same region again sets it.',
          },
        ]
      : [];
  if (wantedSeconds <= advisedTtlSeconds) return tooLong;
  return [
    ...tooLong,
    {
      severity: 'problem',
      message: `the TTL wanted is ${formatDuration(wantedMs)}: for so long after a failover clients keep the old address`,
      hint: `Set ttl to ${advisedTtlSeconds}s or less.`,
    },
  ];
}
