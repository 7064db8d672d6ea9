/** What the watch of this process has seen, as metrics. Pure: from memory alone, so it can be told also while the state is away. */
import type { MetricSample } from '../../base/metric.ts';
import type { Observation, Role } from '../../contracts/observation.ts';
import type { Spec } from '../../spec/spec.ts';
import { siteKey } from '../../watch/site-key.ts';
import { computeSiteState, type SiteState } from '../../watch/verdict.ts';
import type { Watch } from '../../watch/watch.ts';

const siteStates: readonly SiteState[] = ['up', 'failing', 'down', 'unknown'];
const roles: readonly Role[] = ['primary', 'standby', 'none', 'unknown'];

const seconds = (milliseconds: number): number => milliseconds / 1_000;
type Labels = MetricSample['labels'];

/** 1 for what is, 0 for everything else that could be: so that a rule can ask for one of them without losing the series. */
export function oneOf(name: string, labels: Labels, key: string, all: readonly string[], current: string): MetricSample[] {
  return all.map((value) => ({ name, labels: { ...labels, [key]: value }, value: value === current ? 1 : 0 }));
}

export function computeWatchMetrics(
  spec: Spec,
  watch: Pick<Watch, 'observations' | 'acknowledged' | 'standbyCanaries'>,
): readonly MetricSample[] {
  const samples: MetricSample[] = [];
  for (const component of spec.components.values())
    for (const region of component.sites.keys()) {
      const key = siteKey(component.name, region);
      const labels = { component: component.name, region };
      samples.push(...siteMetrics(labels, watch.observations.get(key), spec.watch.failures));
      const seen = watch.standbyCanaries.get(key);
      if (seen) samples.push({ name: 'holdfast_canary_seen_timestamp_seconds', labels, value: seconds(seen.atMs) });
    }
  for (const [component, { region, acknowledgedAtMs }] of watch.acknowledged)
    if (spec.components.has(component))
      samples.push({
        name: 'holdfast_canary_acknowledged_timestamp_seconds',
        labels: { component, region },
        value: seconds(acknowledgedAtMs),
      });
  return samples;
}

function siteMetrics(labels: Labels, observation: Observation | undefined, failuresNeeded: number): MetricSample[] {
  const state = computeSiteState(observation, failuresNeeded);
  const samples: MetricSample[] = [
    { name: 'holdfast_site_up', labels, value: state === 'up' ? 1 : 0 },
    ...oneOf('holdfast_site_state', labels, 'state', siteStates, state),
  ];
  if (!observation) return samples;
  const add = (name: string, value: number) => void samples.push({ name, labels, value });
  // Of the newest look only: what it did not see is not known any more.
  for (const [name, value] of Object.entries(observation.metrics ?? {})) add(name, value);
  if (observation.role !== undefined) samples.push(...oneOf('holdfast_site_role', labels, 'role', roles, observation.role));
  add('holdfast_site_failures', observation.failures);
  add('holdfast_site_observed_timestamp_seconds', seconds(observation.atMs));
  add('holdfast_site_probe_duration_seconds', seconds(observation.tookMs));
  for (const { member, link, inSync, lagMs, lagBytes } of observation.replication?.standbys ?? []) {
    const follower = { ...labels, member };
    const tell = (name: string, value: number) => void samples.push({ name, labels: follower, value });
    tell('holdfast_replication_in_sync', inSync ? 1 : 0);
    tell('holdfast_replication_link_up', link === 'up' ? 1 : 0);
    if (lagMs !== undefined) tell('holdfast_replication_lag_seconds', seconds(lagMs));
    if (lagBytes !== undefined) tell('holdfast_replication_lag_bytes', Number(lagBytes));
  }
  return samples;
}
