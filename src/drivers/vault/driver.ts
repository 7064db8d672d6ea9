/**
 * HashiCorp Vault or OpenBao on integrated storage (raft): watched, backed up by snapshots, brought back into an empty cluster.
 *
 * Nothing is promoted: the replicas of Vault Enterprise are promoted by people with key shares. It holds no state between calls.
 */
import { fail } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { openBackupSource } from './backup-source.ts';
import type { VaultNode } from './client.ts';
import { openNodes } from './nodes.ts';
import { observeNodes, type VaultContext } from './observe.ts';
import { componentOptions, findFaults, siteOptions, type VaultOptions, type VaultSiteOptions } from './options.ts';
import { openRestorer } from './restore.ts';
import { openReturn } from './site-return.ts';

/** It serves, and whoever has to open a copy of it or do without it was shown to be able to. */
function checkVerb(context: VaultContext, nodes: readonly VaultNode[]): Verb {
  return {
    inspect: async (_want, { signal }) => {
      const { health, evidence, faults = [] } = await observeNodes(context, nodes, signal);
      if (health !== 'up') return { state: 'pending', why: evidence.detail };
      if (faults.length > 0) return { state: 'pending', why: faults.map(({ message }) => message).join('; ') };
      return { state: 'done', output: { detail: evidence.detail } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openSite(context: VaultContext): Site {
  const nodes = openNodes(context.host, context.site);
  return {
    observe: (signal) => observeNodes(context, nodes, signal),
    verbs: { check: checkVerb(context, nodes) },
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

export const driver = defineDriver<VaultOptions, VaultSiteOptions>({
  name: 'vault',
  title: 'Vault',
  summary: 'Watches Vault or OpenBao, takes snapshots of it, and restores one into an empty node, seal and original keys included.',
  kind: 'data',
  verbs: [{ verb: 'check', needsHands: false, typicalMs: 1_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: findFaults,
  open: openSite,
  openReturn,
  backups: {
    kinds: [
      { what: 'snapshot', summary: 'All of the integrated storage, encrypted by Vault itself, with its own digests.', continuous: false },
    ],
    openSource: openBackupSource,
    openRestorer,
  },
});
