/** The nodes of a cluster: ready, in enough zones, with pods ready and volumes bound; taken out of use by a drain that respects budgets. Keeps no state of its own. */
import { fail, HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { KubernetesClient } from '../kubernetes-api/client.ts';
import { evidenceOfRefusal } from '../kubernetes-api/refusal.ts';
import { drainVerb } from './drain.ts';
import { countZones, judgeInventory, readInventory } from './inventory.ts';
import { componentOptions, findFaults, type NodesOptions, type NodesSiteOptions, siteOptions } from './options.ts';

type NodesContext = SiteContext<NodesOptions, NodesSiteOptions>;

async function observe({ options, probeTimeoutMs, site }: NodesContext, client: KubernetesClient, signal: AbortSignal): Promise<Reading> {
  try {
    const inventory = await readInventory(client, options, { timeoutMs: probeTimeoutMs, signal });
    if (site['cluster-id'] !== undefined && inventory.clusterId !== site['cluster-id'])
      return readingOf({ kind: 'error', detail: `${client.name} is another cluster than cluster-id says` });
    const faults = judgeInventory(inventory, options);
    const zones = countZones(inventory);
    const detail = faults[0] ?? `${inventory.nodes.length} nodes of ${client.name} are ready, in ${Object.keys(zones).length} zones`;
    return {
      ...readingOf({ kind: faults.length === 0 ? 'answered' : 'wrong-answer', detail }),
      ...(inventory.clusterId === undefined ? {} : { identity: inventory.clusterId }),
      faults: faults.map((message) => ({
        severity: 'problem',
        message: `${client.name}: ${message}`,
        hint: 'kubectl describe tells more.',
      })),
      facts: { zones: { ...zones }, claims: inventory.claims.length },
    };
  } catch (error) {
    if (error instanceof HoldfastError && error.kind === 'bug') throw error;
    return readingOf(evidenceOfRefusal(error, client.name, 'the API'));
  }
}

function checkVerb(context: NodesContext, client: KubernetesClient): Verb {
  return {
    inspect: async (_want, { signal }) => {
      const { health, evidence, facts } = await observe(context, client, signal);
      if (health !== 'up') return { state: 'pending', why: evidence.detail };
      return { state: 'done', output: { detail: evidence.detail, ...facts } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openSite(context: NodesContext): Site {
  const client = new KubernetesClient(context.host, context.site);
  const verbs: Partial<Record<SiteVerb, Verb>> = { check: checkVerb(context, client) };
  if (context.options.drain) verbs.run = drainVerb(client, context.options, context.host.clock);
  return {
    observe: (signal) => observe(context, client, signal),
    verbs,
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

export const driver = defineDriver<NodesOptions, NodesSiteOptions>({
  name: 'kubernetes-nodes',
  title: 'Kubernetes nodes',
  summary: 'Checks that nodes, zones, pods and volumes of a cluster are ready, and drains nodes as disruption budgets allow.',
  kind: 'check',
  verbs: [
    { verb: 'check', needsHands: false, typicalMs: 1_000 },
    { verb: 'run', needsHands: false, typicalMs: 120_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
