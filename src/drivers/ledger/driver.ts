/**
 * A cluster of InferaDB's Ledger in each region. The clusters do not follow each other: `replication: none`.
 *
 * Its kind is `check`: a ledger elects its own leader, so nothing of it is promoted, and nothing of it can be fenced by a call. It holds no state but which vaults were sick at the last look, which
 * the next controller finds again.
 */
import { HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { checkVerb } from './check.ts';
import { type LedgerContext, openNodes } from './nodes.ts';
import { gauges, observeLedger, VaultRounds } from './observe.ts';
import { componentOptions, findFaults, type LedgerOptions, type LedgerSiteOptions, siteOptions } from './options.ts';
import { runVerb } from './run.ts';

function openSite(context: LedgerContext): Site {
  const nodes = openNodes(context);
  const rounds = new VaultRounds();
  const verbs: Partial<Record<SiteVerb, Verb>> = { check: checkVerb(context, nodes), run: runVerb(context, nodes) };
  return {
    observe: async (signal) => {
      try {
        return await observeLedger(context, nodes, rounds, signal);
      } catch (error) {
        // A file of certificates that can't be read says nothing of the cluster.
        if (error instanceof HoldfastError && error.kind === 'invalid') return readingOf({ kind: 'error', detail: error.message });
        throw error;
      }
    },
    verbs,
    close: async () => {
      for (const { client } of nodes) client.close();
    },
  };
}

export const driver = defineDriver<LedgerOptions, LedgerSiteOptions>({
  name: 'ledger',
  title: 'InferaDB Ledger',
  summary: 'Watches the nodes and vaults of a ledger, checks and recovers vaults, and has nodes leave.',
  kind: 'check',
  verbs: [
    { verb: 'check', needsHands: false, typicalMs: 10_000 },
    { verb: 'run', needsHands: false, typicalMs: 30_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: findFaults,
  open: openSite,
  metrics: gauges,
});
