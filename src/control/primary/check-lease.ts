/** Whether the end of the active region's lease would prove a fence when it is needed, told before it is. */
import type { StateStore } from '../../contracts/state-store.ts';
import { isGuarded } from '../../plans/fragments.ts';
import type { Spec } from '../../spec/spec.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import type { ReadinessFault } from '../../watch/readiness.ts';
import { primaryKeys, type ReturnWait, readBar, readGuardRecord } from './primary-records.ts';

const because = (why: string | undefined) => (why === undefined ? '' : ` (${why})`);

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
      hint: `Go on with it (holdfast resume) or end it (holdfast abort); or move on with holdfast failover: ${region} has been fenced, and is re-protected afterwards.`,
    }));
  // Who holds nothing yet is told by the controllers that there are.
  if (lease?.held !== true || recorded?.record.token !== lease.token) return [];
  const { components, uncovered } = recorded.record;
  const wait = (await store.get(primaryKeys.waiting(region)))?.value as ReturnWait | undefined;
  const waits = wait?.token === lease.token ? data.slice(0, 1).map(({ name }) => waitingFault(name, region, wait.why)) : [];
  const bare = data
    .filter(({ name, replication }) => replication === 'asynchronous' && !components.includes(name))
    .map(
      ({ name }): ReadinessFault => ({
        component: name,
        region,
        severity: 'warning',
        message: `${name} in ${region} replicates asynchronously, and its guard does not cover it${because(uncovered?.[name])}: should ${region} fall silent, only a person can say that it is fenced`,
        hint: 'A guard covers PostgreSQL with local hands, beside the controller of the region. Without that, a failover of this store takes --fenced-by NAME while its host is silent.',
      }),
    );
  return [...waits, ...bare];
}

function waitingFault(component: string, region: string, why: string): ReadinessFault {
  return {
    component,
    region,
    severity: 'problem',
    message: `${region} fenced itself when its lease ran out, and does not serve: ${why}`,
    hint: `It goes on by itself once that is settled. holdfast resume --region ${region} makes it serve where you know that no other region was promoted.`,
  };
}
