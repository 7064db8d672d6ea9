/** Every metric that a controller can tell, each with its type, its meaning and its labels. The reference for people is written from this. */
import { backupMetricDefinitions } from '../../backups/alarms-metrics.ts';
import type { MetricDefinition } from '../../base/metric.ts';
import type { AnyDriver } from '../../contracts/driver.ts';

const gauge = (help: string, ...labels: string[]): MetricDefinition => ({ type: 'gauge', help, labels });
const counter = (help: string, ...labels: string[]): MetricDefinition => ({ type: 'counter', help, labels });

const programMetrics = {
  holdfast_build_info: gauge('Always 1; the version of the program', 'version'),
  holdfast_start_timestamp_seconds: gauge('When this process began to serve', 'platform'),
  holdfast_state_readable: gauge(
    '1 where the state could be read for this answer; what comes from the state is left out where it could not',
  ),
};

const siteMetrics = {
  holdfast_site_up: gauge('1 where the newest look found the site up', 'component', 'region'),
  holdfast_site_state: gauge(
    '1 for the state that the newest looks at the site amount to, 0 for the others',
    'component',
    'region',
    'state',
  ),
  holdfast_site_role: gauge('1 for the role that the site was last seen in, 0 for the others', 'component', 'region', 'role'),
  holdfast_site_failures: gauge('Looks in a row that did not find the site up', 'component', 'region'),
  holdfast_site_observed_timestamp_seconds: gauge('When the site was last looked at', 'component', 'region'),
  holdfast_site_probe_duration_seconds: gauge('How long the newest look took', 'component', 'region'),
  holdfast_replication_in_sync: gauge('1 where the primary waits for this standby before it acknowledges', 'component', 'region', 'member'),
  holdfast_replication_link_up: gauge('1 where the primary sends to this standby', 'component', 'region', 'member'),
  holdfast_replication_lag_seconds: gauge('How far the standby is behind, as the primary sees it', 'component', 'region', 'member'),
  holdfast_replication_lag_bytes: gauge('How far the standby is behind, as the primary sees it', 'component', 'region', 'member'),
  holdfast_canary_acknowledged_timestamp_seconds: gauge('When the newest canary row was acknowledged', 'component', 'region'),
  holdfast_canary_seen_timestamp_seconds: gauge('When the newest canary row seen at the standby site was written', 'component', 'region'),
};

const platformMetrics = {
  holdfast_active_region: gauge('1 for the region that is active, 0 for the others', 'region'),
  holdfast_epoch: gauge('The number that grows with each change of the active region'),
  holdfast_region_verdict: gauge('1 for what the opinions on the active region amount to, 0 for the other states', 'region', 'state'),
  holdfast_region_votes: gauge('How many controllers say so of the active region', 'region', 'says'),
  holdfast_ready: gauge('1 where the platform would survive the loss of the region now', 'losing'),
  holdfast_readiness_faults: gauge('What stands in the way of surviving the loss of the region', 'losing', 'severity'),
  holdfast_rpo_now_seconds: gauge(
    'What would be lost of the component if the active region vanished now; absent where unproven',
    'component',
    'target',
  ),
  holdfast_rpo_objective_seconds: gauge('How much of the newest data may be lost in a failover', 'component'),
  holdfast_rto_measured_seconds: gauge('How long the newest recovery to the region took; absent where none was measured', 'region'),
  holdfast_rto_objective_seconds: gauge('For how long the platform may be gone'),
  holdfast_controller_up: gauge('1 where the controller has said within the last seconds that it watches', 'controller'),
  holdfast_controller_leads: gauge('1 for the controller that decides and acts', 'controller'),
};

const executionMetrics = {
  holdfast_executions_open: gauge('Executions that have not ended', 'kind', 'status'),
  holdfast_executions_ended_total: counter('Executions that this process brought to their end', 'kind', 'outcome'),
  holdfast_step_duration_seconds: {
    type: 'histogram',
    help: 'How long steps took that this process ran',
    labels: ['verb', 'result'],
  } satisfies MetricDefinition,
};

export const metricDefinitions: Readonly<Record<string, MetricDefinition>> = {
  ...programMetrics,
  ...siteMetrics,
  ...platformMetrics,
  ...executionMetrics,
  ...backupMetricDefinitions,
};

/** What one driver tells beside that of its sites, in the names of its own system. */
export function metricsOfDriver({ metrics }: Pick<AnyDriver, 'metrics'>): Readonly<Record<string, MetricDefinition>> {
  return Object.fromEntries(Object.entries(metrics ?? {}).map(([name, help]) => [name, gauge(help, 'component', 'region')]));
}

/** All that a program with these drivers can tell. */
export function definitionsWith(drivers: Iterable<Pick<AnyDriver, 'metrics'>>): Readonly<Record<string, MetricDefinition>> {
  return Object.assign({}, metricDefinitions, ...[...drivers].map(metricsOfDriver));
}

/** In the order in which people read of them. */
export const metricChapters: readonly { readonly title: string; readonly metrics: Readonly<Record<string, MetricDefinition>> }[] = [
  { title: 'The program', metrics: programMetrics },
  { title: 'Sites', metrics: siteMetrics },
  { title: 'The platform', metrics: platformMetrics },
  { title: 'Executions', metrics: executionMetrics },
  { title: 'Backups', metrics: backupMetricDefinitions },
];
