/**
 * What runs for longer than it should: a backup that waits for a store which does not answer, a proof that its schedule has caught up with. Pure.
 *
 * As long as something runs it has not failed, and nothing later of its kind is begun: without this, what hangs is silent for as long as a step may take.
 */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import type { AlarmInput, BackupFault } from './alarms-input.ts';
import type { CatalogueEntry } from './records.ts';

const hourMs = 3_600_000;

/** A backup may take half of the time between two, and a day at the most; what is taken each hour has that hour. */
export const backupLimitMs = (everyMs: number): number => Math.min(24 * hourMs, Math.max(everyMs / 2, Math.min(everyMs, hourMs)));

/** A proof has the time that the spec gives it, and never longer than until the next one. */
export const proofLimitMs = (everyMs: number, withinMs: number | undefined): number => Math.min(everyMs, withinMs ?? everyMs);

export function runFaults({ runs = [], keys, nowMs }: AlarmInput): BackupFault[] {
  return runs
    .filter(({ beganMs, limitMs }) => nowMs - beganMs > limitMs)
    .map(({ kind, component, what, repository, execution, beganMs, limitMs }): BackupFault => {
      const away = keys.find((key) => key.repository === repository && !key.reachable);
      const because = away === undefined ? '' : `; ${repository} can't be read${away.why === undefined ? '' : `: ${away.why}`}`;
      const noun = kind === 'backup' ? `the ${what} backup of ${component}` : `the proof of ${what} of ${component}`;
      return {
        alarm: kind === 'backup' ? 'backup-overrun' : 'proof-overrun',
        severity: 'problem',
        component,
        subject: what,
        message: `${noun} has been running for ${formatDuration(nowMs - beganMs)} (since ${formatInstant(beganMs)}), and ${formatDuration(limitMs)} is the most${because}`,
        hint: `See holdfast executions ${execution}. Nothing later of it begins before it has ended; holdfast abort ${execution} ends it.`,
      };
    });
}

/** The newest proof that ended took longer than it may. */
export function slowProofFault(entries: readonly CatalogueEntry[], component: string, what: string): BackupFault | undefined {
  const last = entries
    .flatMap(({ proofs }) => proofs)
    .filter(({ inconclusive }) => inconclusive === undefined)
    .toSorted((left, right) => left.atMs - right.atMs)
    .at(-1);
  if (last?.tookMs === undefined || last.budgetMs === undefined || last.tookMs <= last.budgetMs) return undefined;
  return {
    alarm: 'proof-overrun',
    severity: 'warning',
    component,
    subject: what,
    message: `the last proof of ${what} of ${component} took ${formatDuration(last.tookMs)}, and ${formatDuration(last.budgetMs)} is what the spec gives it`,
    hint: 'A restore takes about as long. Make the data smaller, the machine faster, or "within" longer.',
  };
}
