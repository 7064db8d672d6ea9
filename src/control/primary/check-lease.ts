/** Whether the end of the active region's lease would prove a fence when it is needed, told before it is. */
import type { StateStore } from '../../contracts/state-store.ts';
import { isGuarded } from '../../plans/fragments.ts';
import type { Spec } from '../../spec/spec.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import type { ReadinessFault } from '../../watch/readiness.ts';
import { primaryKeys, readBar, readGuardRecord } from './primary-records.ts';

export async function checkLease(spec: Spec, store: StateStore): Promise<readonly ReadinessFault[]> {
  const platform = (await readPlatformState(store))?.state;
  if (!isGuarded(spec) || platform === undefined) return [];
  const region = platform.activeRegion;
  const [standing, lease, recorded] = await Promise.all([
    readBar(store, region),
    store.readLease(primaryKeys.lease(region)),
    readGuardRecord(store, region),
  ]);
  const data = [...spec.components.values()].filter(({ kind, sites }) => kind === 'data' && sites.has(region) && sites.size > 1);
  if (standing !== undefined)
    return data.map(({ name }) => ({
      component: name,
      region,
      severity: 'problem',
      message: `${name} in ${region} may not serve: ${standing.bar.execution} put a bar before it and did not come to its end`,
      hint: `Move on with holdfast failover: ${region} has been fenced, and is re-protected afterwards.`,
    }));
  // Who holds nothing yet is told by the controllers that there are.
  if (lease?.held !== true || recorded?.record.token !== lease.token) return [];
  const { components } = recorded.record;
  return data
    .filter(({ name, replication }) => replication === 'asynchronous' && !components.includes(name))
    .map(({ name }) => ({
      component: name,
      region,
      severity: 'warning',
      message: `${name} in ${region} replicates asynchronously, and its guard does not cover it: should ${region} fall silent, only a person can say that it is fenced`,
      hint: 'Let the controller of the region run on the machine of the store, with local hands.',
    }));
}
