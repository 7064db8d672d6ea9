/** Waiting until the cluster is as it should be: changes of its configuration take effect after they were answered. */
import type { StepContext } from '../../contracts/verbs.ts';
import { callOf, type FdbSite, readCluster } from './site.ts';
import type { ClusterView } from './status.ts';

const everyMs = 200;

/** Looks until `missing` says nothing any more; ended by the signal of the step. */
export async function awaitCluster(
  site: FdbSite,
  step: StepContext,
  missing: (view: ClusterView) => string | undefined,
): Promise<ClusterView> {
  for (;;) {
    const view = await readCluster(site, site.client, callOf(site, step));
    const wanting = missing(view);
    if (wanting === undefined) return view;
    step.progress(wanting);
    await site.context.host.clock.sleep(everyMs, step.signal);
  }
}
