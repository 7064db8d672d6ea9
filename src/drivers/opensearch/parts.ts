/** What the verbs of a site have in common: its cluster, those of the other sites, and a look at each. */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { Cluster } from './client.ts';
import { type ClusterView, readView } from './cluster-view.ts';
import { connectionName, type OpensearchContext } from './options.ts';

export class SiteParts {
  readonly context: OpensearchContext;
  readonly cluster: Cluster;

  constructor(context: OpensearchContext) {
    this.context = context;
    this.cluster = new Cluster(context, context.region, context.site);
  }

  other(region: string): Cluster {
    const site = this.context.sites.get(region);
    if (site === undefined || region === this.context.region)
      throw fail('SPEC_INVALID', { message: `${this.context.component} has no other site ${region}` });
    return new Cluster(this.context, region, site);
  }

  /** As the others call their connection to it. */
  connectionTo(region: string): string {
    return connectionName(region, this.other(region).site);
  }

  regionOf(connection: string | undefined): string | undefined {
    return [...this.context.sites].find(([region, site]) => connectionName(region, site) === connection)?.[0];
  }

  view(step: StepContext): Promise<ClusterView> {
    return readView(this.cluster, this.cluster.call(step.signal));
  }
}

/** What passes by itself, or a lost site, is told apart from what has to be mended. */
export async function tryView(cluster: Cluster, signal: AbortSignal): Promise<ClusterView | { readonly why: string }> {
  try {
    return await readView(cluster, cluster.call(signal));
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind !== 'transient') throw error;
    return { why: error.message };
  }
}
