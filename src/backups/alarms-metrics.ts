/**
 * The numbers behind the alarms, for Prometheus. Pure. deploy/prometheus/backups.rules.yml asks for them.
 *
 * Invariant: what is expected is exported also where nothing of it is there yet, so that a rule can tell absence from silence.
 */
import type { MetricDefinition, MetricSample } from '../base/metric.ts';
import { type ProofLevel, proofLevels } from '../contracts/backup.ts';
import { type AlarmInput, type BackupExpectation, entriesOf, findLastPointMs } from './alarms-input.ts';
import { type CatalogueEntry, provenLevel } from './records.ts';

export type BackupMetricName = keyof typeof definitions;

export interface BackupMetric extends MetricSample {
  readonly name: BackupMetricName;
}

const gauge = (help: string, ...labels: string[]): MetricDefinition => ({ type: 'gauge', help, labels });

const definitions = {
  holdfast_recovery_point_timestamp_seconds: gauge('The newest instant that the component can be brought back to', 'component'),
  holdfast_recovery_point_objective_seconds: gauge('How much of the newest data may be lost', 'component'),
  holdfast_backup_interval_seconds: gauge('How often a backup is due', 'component', 'what'),
  holdfast_backup_last_success_timestamp_seconds: gauge('When the newest committed backup was complete', 'component', 'what'),
  holdfast_backup_failing: gauge('1 where the newest attempt failed', 'component', 'what'),
  holdfast_backup_size_bytes: gauge('Stored size of the newest backup', 'component', 'what'),
  holdfast_backup_proof_interval_seconds: gauge('How often a proof is due', 'component', 'what'),
  holdfast_backup_proof_last_success_timestamp_seconds: gauge('When a proof last passed', 'component', 'what'),
  holdfast_backup_proof_failing: gauge('1 where the newest proof failed', 'component', 'what'),
  holdfast_backup_proven_timestamp_seconds: gauge(
    'The newest instant that a kept backup comes back to which was proven to at least the level',
    'component',
    'what',
    'level',
  ),
  holdfast_backup_run_started_timestamp_seconds: gauge(
    'Since when a backup or a proof runs; not there while none does',
    'component',
    'what',
    'kind',
    'repository',
  ),
  holdfast_backup_run_limit_seconds: gauge('How long it may run', 'component', 'what', 'kind', 'repository'),
  holdfast_backup_log_gaps: gauge('Holes in archived logs that nobody has acknowledged', 'component'),
  holdfast_backup_archive_running: gauge('1 while the log is being archived', 'component'),
  holdfast_backup_archive_lag_seconds: gauge('How far the archive is behind', 'component'),
  holdfast_backup_archive_lag_limit_seconds: gauge('How far it may be behind', 'component'),
  holdfast_backup_key_reachable: gauge('1 where the key of a repository can be reached', 'repository'),
  holdfast_backup_metrics_timestamp_seconds: gauge('When the repositories were last read for the metrics of backups'),
};

export const backupMetricDefinitions: Readonly<Record<BackupMetricName, MetricDefinition>> = definitions;

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
  for (const [level, atMs] of newestProven(entries))
    metrics.push({ name: 'holdfast_backup_proven_timestamp_seconds', labels: { ...labels, level }, value: seconds(atMs) });
  return metrics;
}

/** Level -> the newest instant that a backup proven to it, or further, comes back to. */
function newestProven(entries: readonly CatalogueEntry[]): ReadonlyMap<string, number> {
  const newest = new Map<string, number>();
  for (const entry of entries) {
    const reached = provenLevel(entry);
    for (const level of proofLevels.slice(0, proofLevels.indexOf(reached as ProofLevel) + 1))
      newest.set(level, Math.max(newest.get(level) ?? 0, entry.backup.facts.consistentAtMs));
  }
  return newest;
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
  for (const { component, what, kind, repository, beganMs, limitMs } of input.runs ?? []) {
    const labels = { component, what, kind, repository };
    metrics.push({ name: 'holdfast_backup_run_started_timestamp_seconds', labels, value: seconds(beganMs) });
    metrics.push({ name: 'holdfast_backup_run_limit_seconds', labels, value: seconds(limitMs) });
  }
  for (const { repository, reachable } of keys)
    metrics.push({ name: 'holdfast_backup_key_reachable', labels: { repository }, value: reachable ? 1 : 0 });
  metrics.push({ name: 'holdfast_backup_metrics_timestamp_seconds', labels: {}, value: seconds(nowMs) });
  return metrics;
}
