/**
 * The numbers behind the alarms, for Prometheus. Pure. deploy/prometheus/backups.rules.yml asks for these names and for no others.
 *
 * Invariant: what is expected is exported also where nothing of it is there yet, so that a rule can tell absence from silence.
 */
import { type AlarmInput, type BackupExpectation, entriesOf, findLastPointMs } from './alarms-input.ts';

export interface BackupMetric {
  readonly name: keyof typeof backupMetricNames;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Name -> what it tells. */
export const backupMetricNames = {
  holdfast_recovery_point_timestamp_seconds: 'The newest instant that the component can be brought back to',
  holdfast_recovery_point_objective_seconds: 'How much of the newest data may be lost',
  holdfast_backup_interval_seconds: 'How often a backup is due',
  holdfast_backup_last_success_timestamp_seconds: 'When the newest committed backup was complete',
  holdfast_backup_failing: '1 where the newest attempt failed',
  holdfast_backup_size_bytes: 'Stored size of the newest backup',
  holdfast_backup_proof_interval_seconds: 'How often a proof is due',
  holdfast_backup_proof_last_success_timestamp_seconds: 'When a proof last passed',
  holdfast_backup_proof_failing: '1 where the newest proof failed',
  holdfast_backup_log_gaps: 'Holes in archived logs that nobody has acknowledged',
  holdfast_backup_archive_running: '1 while the log is being archived',
  holdfast_backup_archive_lag_seconds: 'How far the archive is behind',
  holdfast_backup_archive_lag_limit_seconds: 'How far it may be behind',
  holdfast_backup_key_reachable: '1 where the key of a repository can be reached',
} as const;

const seconds = (milliseconds: number): number => milliseconds / 1_000;

function expectationMetrics({ catalogue }: AlarmInput, expectation: BackupExpectation): BackupMetric[] {
  const { component, what, everyMs, prove, failure } = expectation;
  const labels = { component, what };
  const metrics: BackupMetric[] = [];
  const add = (name: BackupMetric['name'], value: number) => void metrics.push({ name, labels, value });
  const entries = entriesOf(catalogue, component, what).toSorted((left, right) => left.backup.endedAtMs - right.backup.endedAtMs);
  const newest = entries.at(-1)?.backup;
  if (everyMs !== undefined) {
    add('holdfast_backup_interval_seconds', seconds(everyMs));
    add('holdfast_backup_failing', failure && failure.atMs > (newest?.endedAtMs ?? 0) ? 1 : 0);
    if (newest) {
      add('holdfast_backup_last_success_timestamp_seconds', seconds(newest.endedAtMs));
      add('holdfast_backup_size_bytes', newest.storedBytes);
    }
  }
  if (prove) {
    const proofs = entries
      .flatMap((entry) => entry.proofs.filter(({ inconclusive }) => inconclusive === undefined))
      .toSorted((left, right) => left.atMs - right.atMs);
    add('holdfast_backup_proof_interval_seconds', seconds(prove.everyMs));
    add('holdfast_backup_proof_failing', proofs.at(-1)?.ok === false ? 1 : 0);
    const good = proofs.findLast(({ ok }) => ok);
    if (good) add('holdfast_backup_proof_last_success_timestamp_seconds', seconds(good.atMs));
  }
  return metrics;
}

export function computeBackupMetrics(input: AlarmInput): readonly BackupMetric[] {
  const { archivers, keys, catalogue, nowMs, expectations } = input;
  const metrics: BackupMetric[] = expectations.flatMap((expectation) => expectationMetrics(input, expectation));
  const components = [...new Set(expectations.map(({ component }) => component))];
  for (const component of components) {
    const labels = { component };
    const rpoMs = input.rpoMs.get(component);
    if (rpoMs !== undefined) metrics.push({ name: 'holdfast_recovery_point_objective_seconds', labels, value: seconds(rpoMs) });
    const newestMs = findLastPointMs(input, component);
    if (newestMs !== undefined) metrics.push({ name: 'holdfast_recovery_point_timestamp_seconds', labels, value: seconds(newestMs) });
    const gaps = catalogue.gaps.filter((gap) => gap.component === component && gap.acknowledged === undefined).length;
    metrics.push({ name: 'holdfast_backup_log_gaps', labels, value: gaps });
  }
  for (const { component, running, safeMs, sinceMs, lagMaxMs } of archivers) {
    const labels = { component };
    metrics.push({ name: 'holdfast_backup_archive_running', labels, value: running ? 1 : 0 });
    metrics.push({ name: 'holdfast_backup_archive_lag_seconds', labels, value: seconds(nowMs - (safeMs ?? sinceMs)) });
    metrics.push({ name: 'holdfast_backup_archive_lag_limit_seconds', labels, value: seconds(lagMaxMs) });
  }
  for (const { repository, reachable } of keys)
    metrics.push({ name: 'holdfast_backup_key_reachable', labels: { repository }, value: reachable ? 1 : 0 });
  return metrics;
}
