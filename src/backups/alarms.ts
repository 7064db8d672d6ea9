/**
 * What is wrong with the backups of a platform, now. Pure; the same questions that deploy/prometheus/backups.rules.yml asks of the metrics.
 *
 * Invariant: silence is an alarm. What should be there and is not (a first backup, a proof, an archiver's word) is a fault, not an absence of one.
 */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import { archiveFaults, keyFaults } from './alarms-archive.ts';
import { type AlarmInput, type BackupExpectation, type BackupFault, entriesOf, findLastPointMs } from './alarms-input.ts';
import { runFaults, slowProofFault } from './alarms-runs.ts';
import { computeSizeAnomaly } from './alarms-size.ts';
import { firstFailure } from './proof-ladder.ts';
import { provenLevel } from './records.ts';

const hourMs = 3_600_000;

/** One may be late by an hour, or by as long as the time between two where that is shorter. */
export function lateAfterMs(everyMs: number): number {
  return everyMs + Math.min(hourMs, everyMs);
}

function pointFaults(input: AlarmInput): BackupFault[] {
  const { nowMs } = input;
  const found: BackupFault[] = [];
  for (const [component, rpoMs] of input.rpoMs) {
    if (!input.expectations.some((expectation) => expectation.component === component)) continue;
    const lastMs = findLastPointMs(input, component);
    if (lastMs !== undefined && nowMs - lastMs <= rpoMs) continue;
    found.push({
      alarm: 'recovery-point-old',
      severity: 'problem',
      component,
      message:
        lastMs === undefined
          ? `${component} can't be brought back at all: there is no backup that leads anywhere`
          : `the last moment that ${component} can be brought back to is ${formatDuration(nowMs - lastMs)} ago (${formatInstant(lastMs)}); the objective is ${formatDuration(rpoMs)}`,
      hint:
        lastMs === undefined
          ? `Take one: holdfast backup ${component}.`
          : 'Look at why nothing newer is archived: holdfast backups, holdfast executions.',
    });
  }
  return found;
}

function scheduleFaults({ catalogue, nowMs }: AlarmInput, expectation: BackupExpectation): BackupFault[] {
  const { component, what, everyMs, sinceMs, failure } = expectation;
  if (everyMs === undefined) return [];
  const where = { component, subject: what, severity: 'problem' as const };
  const newest = entriesOf(catalogue, component, what).reduce((last, { backup }) => Math.max(last, backup.endedAtMs), 0);
  const found: BackupFault[] = [];
  if (nowMs - Math.max(newest, sinceMs) > lateAfterMs(everyMs))
    found.push({
      ...where,
      alarm: 'backup-missing',
      message:
        newest === 0
          ? `there is no ${what} backup of ${component}, and one was due ${formatInstant(sinceMs + everyMs)}`
          : `the newest ${what} backup of ${component} is ${formatDuration(nowMs - newest)} old, and one is due every ${formatDuration(everyMs)}`,
      hint: 'See holdfast executions for the last attempts; holdfast serve has to run for schedules to be kept.',
    });
  if (failure && failure.atMs > newest)
    found.push({
      ...where,
      alarm: 'backup-failed',
      message: `the last ${what} backup of ${component} failed (${formatInstant(failure.atMs)}): ${failure.message}`,
      hint: 'Mend the cause; the next one is taken by schedule, or now by holdfast backup.',
    });
  return found;
}

function sizeFaults({ catalogue, nowMs }: AlarmInput, { component, what }: BackupExpectation): BackupFault[] {
  const anomaly = computeSizeAnomaly(entriesOf(catalogue, component, what), nowMs);
  if (!anomaly) return [];
  const share = Math.round(Math.abs(anomaly.ratio - 1) * 100);
  return [
    {
      alarm: 'backup-size',
      severity: 'warning',
      component,
      subject: what,
      message: `the newest ${what} backup of ${component} is ${share} % ${anomaly.ratio > 1 ? 'larger' : 'smaller'} than the mean of the seven days before it`,
      hint:
        anomaly.ratio > 1
          ? 'Look at what has grown; the next restore takes longer by as much.'
          : 'Look at whether data is missing at the source; prove the newest backup now: holdfast verify.',
    },
  ];
}

function proofFaults({ catalogue, nowMs }: AlarmInput, { component, what, prove, sinceMs }: BackupExpectation): BackupFault[] {
  if (!prove) return [];
  const entries = entriesOf(catalogue, component, what);
  const conclusive = entries
    .flatMap((entry) => entry.proofs.filter(({ inconclusive }) => inconclusive === undefined))
    .toSorted((left, right) => left.atMs - right.atMs);
  const last = conclusive.at(-1);
  const lastGoodMs = conclusive.findLast(({ ok }) => ok)?.atMs ?? 0;
  const where = { component, subject: what };
  const found: BackupFault[] = [];
  if (last && !last.ok) {
    const failure = firstFailure(last.checks);
    found.push({
      ...where,
      alarm: 'proof-failed',
      severity: 'problem',
      message: `${last.backupId} of ${component} did not pass its proof (${formatInstant(last.atMs)}): it reached ${last.reached}, and ${last.wanted} was wanted${failure ? `; ${failure.name}: ${failure.detail}` : ''}`,
      hint: 'Take a new backup and prove it; until one passes, nothing of it is pruned.',
    });
  }
  if (nowMs - Math.max(lastGoodMs, sinceMs) > lateAfterMs(prove.everyMs)) {
    const proven = entries.some((entry) => provenLevel(entry) !== 'none');
    found.push({
      ...where,
      alarm: 'proof-old',
      severity: proven ? 'warning' : 'problem',
      message:
        lastGoodMs === 0
          ? `no ${what} backup of ${component} was ever proven`
          : `the last proof of ${what} of ${component} is ${formatDuration(nowMs - lastGoodMs)} old, and one is due every ${formatDuration(prove.everyMs)}`,
      hint: `Prove one: holdfast verify ${component}.`,
    });
  }
  const slow = slowProofFault(entries, component, what);
  return slow ? [...found, slow] : found;
}

/** A proof that passes over a damaged copy says nothing when it passes over a sound one. */
function soundnessFaults({ catalogue }: AlarmInput): BackupFault[] {
  const newestByControl = new Map<string, (typeof catalogue.sabotaged)[number]>();
  for (const record of catalogue.sabotaged.toSorted((left, right) => left.atMs - right.atMs))
    if (record.inconclusive === undefined) newestByControl.set(`${record.component}\n${record.sabotage}`, record);
  return [...newestByControl.values()]
    .filter(({ ok }) => ok)
    .map((record) => ({
      alarm: 'proof-unsound',
      severity: 'problem',
      component: record.component,
      subject: record.sabotage ?? '',
      message: `a copy of ${record.component} was damaged on purpose (${record.sabotage}), and its proof passed at ${record.reached}`,
      hint: 'Prove at a higher level, or add questions of your own that would notice.',
    }));
}

function recordFaults({ catalogue }: AlarmInput): BackupFault[] {
  return catalogue.unreadable.map(({ object, why }) => ({
    alarm: 'record-unreadable',
    severity: 'problem',
    subject: object,
    message: `${object} of the repository can't be read: ${why}`,
    hint: 'Nothing is pruned while that is so. Restore the object from a copy of the repository, or remove what it belongs to by hand.',
  }));
}

/** Problems first; then in the order of the spec. */
export function computeBackupFaults(input: AlarmInput): readonly BackupFault[] {
  const found = [
    ...pointFaults(input),
    ...input.expectations.flatMap((expectation) => [
      ...scheduleFaults(input, expectation),
      ...proofFaults(input, expectation),
      ...sizeFaults(input, expectation),
    ]),
    ...archiveFaults(input),
    ...soundnessFaults(input),
    ...keyFaults(input),
    ...runFaults(input),
    ...recordFaults(input),
  ];
  return found.toSorted((left, right) => (left.severity === right.severity ? 0 : left.severity === 'problem' ? -1 : 1));
}
