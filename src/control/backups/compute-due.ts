/**
 * What is due now, of everything that has a schedule. Pure: schedules, what was last begun of each, and an instant in; what to begin out.
 *
 * A run is due at the first instant of its schedule after the last one was begun, put off by its jitter. So runs that were missed while nobody served are made up for by one, not by all
 * of them; and an hour that a change of the clocks skips or repeats gives one run, for the time zone's own calendar is asked. What never ran is due at once, or after its first instant,
 * as the schedule says. A failed run is tried again before the next instant, after a pause.
 */
import { createHash } from 'node:crypto';
import { jitterMsMost, type ScheduleSpec } from '../../spec/schedule-spec.ts';
import { nextTimeMs } from '../../spec/schedule-times.ts';

export interface Scheduled {
  /** `orders-db/base@main`, `orders-db/base@main#proof`. */
  readonly id: string;
  readonly schedule: ScheduleSpec;
  /** What never ran: at once (a backup: there is none yet), or after the first instant from here on. */
  readonly first: 'at-once' | { readonly afterMs: number };
  /** Whether a run that failed is made up for before the next instant. */
  readonly retries: boolean;
}

export interface LastRun {
  readonly beganMs: number;
  readonly state: 'running' | 'done' | 'failed';
  readonly endedMs?: number;
}

export interface Due {
  readonly id: string;
  /** When it should have begun. */
  readonly dueMs: number;
  readonly because: 'schedule' | 'first' | 'retry';
}

const retryAfterMs = 10 * 60_000;
const retryShare = 0.25;

/** The same instant is put off by the same time, whoever computes it: a restart moves nothing. */
export function jitterMs(id: string, schedule: ScheduleSpec, instantMs: number): number {
  const spanMs = Math.min(jitterMsMost, schedule.jitterShare * (nextTimeMs(schedule, instantMs) - instantMs));
  const digest = createHash('sha256').update(`${id} ${instantMs}`).digest();
  return Math.floor((digest.readUInt32BE(0) / 2 ** 32) * spanMs);
}

/** When the next run is to begin, and why then. */
export function computeNext(scheduled: Scheduled, last: LastRun | undefined, nowMs: number): Due {
  const { id, schedule, first } = scheduled;
  if (last === undefined && first === 'at-once') return { id, dueMs: nowMs, because: 'first' };
  const sinceMs = last?.beganMs ?? (first as { readonly afterMs: number }).afterMs;
  const instantMs = nextTimeMs(schedule, sinceMs);
  const dueMs = instantMs + jitterMs(id, schedule, instantMs);
  if (last?.state !== 'failed' || !scheduled.retries) return { id, dueMs, because: 'schedule' };
  const retryMs = (last.endedMs ?? last.beganMs) + Math.min(retryAfterMs, retryShare * (nextTimeMs(schedule, instantMs) - instantMs));
  return retryMs < dueMs ? { id, dueMs: retryMs, because: 'retry' } : { id, dueMs, because: 'schedule' };
}

export function computeDue(schedules: readonly Scheduled[], lastRuns: ReadonlyMap<string, LastRun>, nowMs: number): readonly Due[] {
  return schedules
    .filter(({ id }) => lastRuns.get(id)?.state !== 'running')
    .map((scheduled) => computeNext(scheduled, lastRuns.get(scheduled.id), nowMs))
    .filter((due) => due.dueMs <= nowMs)
    .sort((left, right) => left.dueMs - right.dueMs);
}
