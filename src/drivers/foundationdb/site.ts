/** One region of the cluster as its site is opened: who it is, who the other one is, and from where the cluster can be asked. */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { Position } from '../../contracts/observation.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { type CallOptions, FdbClient, type FdbContext } from './client.ts';
import type { FdbSiteOptions } from './options.ts';
import type { ClusterView } from './status.ts';

export interface FdbSite {
  readonly context: FdbContext;
  readonly hands: Hands;
  readonly dcid: string;
  readonly other: { readonly region: string; readonly dcid: string; readonly site: FdbSiteOptions };
  /** By the hands of the site. */
  readonly client: FdbClient;
  /** From the machine of the controller, where the spec says how. */
  readonly fromController: FdbClient | undefined;
}

export function openFdbSite(context: FdbContext, hands: Hands): FdbSite {
  const { site, sites, region, options, host } = context;
  const [other] = [...sites].filter(([name]) => name !== region);
  if (other === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'a cluster with one site passed the validation' });
  const { controller } = options;
  return {
    context,
    hands,
    dcid: site.dcid,
    other: { region: other[0], dcid: other[1].dcid, site: other[1] },
    client: new FdbClient({ runner: hands, fdbcli: site.fdbcli, clusterFile: site['cluster-file'] }),
    fromController: controller && newControllerClient(controller, host.processes),
  };
}

function newControllerClient(
  controller: { readonly 'cluster-file': string; readonly fdbcli: readonly string[] },
  processes: FdbContext['host']['processes'],
): FdbClient {
  return new FdbClient({
    runner: { name: 'the controller', run: (command) => processes.run(command) },
    fdbcli: controller.fdbcli,
    clusterFile: controller['cluster-file'],
  });
}

export const callOf = ({ context }: FdbSite, { signal }: Pick<StepContext, 'signal'>): CallOptions => ({
  timeoutMs: context.options['command-timeout'],
  signal,
});

export const keyOf = ({ context }: FdbSite, name: string): string => `${context.options['key-prefix']}${name}`;

/** SYSTEM_WRONG_IDENTITY where a cluster answers that is not the one of the spec. */
export function requireOurs({ context }: FdbSite, view: ClusterView): void {
  const { cluster } = context.options;
  if (cluster === undefined || view.connection === undefined || view.connection.startsWith(`${cluster}@`)) return;
  throw fail('SYSTEM_WRONG_IDENTITY', { message: `the cluster ${view.connection} answers, and ${cluster} is meant` });
}

export async function readCluster(site: FdbSite, client: FdbClient, call: CallOptions): Promise<ClusterView> {
  const view = await client.readStatus(call);
  requireOurs(site, view);
  return view;
}

/** By the hands of the site, or else from the controller: a region that is gone can't say who serves now. Undefined where neither gets an answer of the cluster. */
export async function readFromAnywhere(
  site: FdbSite,
  step: Pick<StepContext, 'signal'>,
): Promise<{ readonly view: ClusterView; readonly client: FdbClient } | { readonly why: string }> {
  const failures: string[] = [];
  for (const client of [site.client, site.fromController]) {
    if (client === undefined) continue;
    try {
      const view = await readCluster(site, client, callOf(site, step));
      if (view.quorum === true) return { view, client };
      failures.push(`from ${client.place} no majority of the coordinators is reached`);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.kind === 'bug' || error.kind === 'invalid' || error.code === 'SYSTEM_WRONG_IDENTITY')
        throw error;
      step.signal.throwIfAborted();
      failures.push(error.message);
    }
  }
  return { why: failures.join('; ') };
}

/** The version that the region holds, in the history of this cluster and its generation. */
export function positionOf(view: ClusterView, dcid: string): (Position & { readonly [key: string]: string | number }) | undefined {
  const version = view.versions.get(dcid);
  if (view.connection === undefined || view.generation === undefined || version === undefined) return undefined;
  const history = view.connection.split('@')[0] as string;
  return { history, timeline: view.generation, offset: String(version), text: `version ${version} in generation ${view.generation}` };
}
