/**
 * An etcd cluster as a system that is protected: watched and backed up. (Holdfast's own state may be in another etcd: that is a store, not a component.)
 *
 * Its kind is `check`: it has its own elections, so nothing of it is promoted or fenced, and it takes no part in a failover. It holds no state between calls but the token of a login.
 */
import { HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { openBackupSource } from './backup-source.ts';
import type { EtcdClient } from './client.ts';
import { type EtcdContext, observeMembers, openClients } from './observe.ts';
import { componentOptions, type EtcdOptions, type EtcdSiteOptions, findFaults, siteOptions } from './options.ts';
import { openRestorer } from './restore.ts';

function openSite(context: EtcdContext): Site {
  let clients: readonly EtcdClient[] | undefined;
  return {
    observe: async (signal) => {
      try {
        clients ??= await openClients(context);
      } catch (error) {
        // A file of certificates that can't be read says nothing of the cluster; it is read again at the next look.
        if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
        return readingOf({ kind: 'error', detail: error.message });
      }
      return await observeMembers(context, clients, signal);
    },
    verbs: {},
    close: async () => {},
  };
}

export const driver = defineDriver<EtcdOptions, EtcdSiteOptions>({
  name: 'etcd',
  title: 'etcd',
  summary: 'Watches an etcd cluster and takes snapshots of it.',
  kind: 'check',
  verbs: [],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: findFaults,
  open: openSite,
  backups: {
    kinds: [{ what: 'snapshot', summary: 'The whole store of one member, with its own digest.', continuous: false }],
    openSource: (context) => openBackupSource(context),
    openRestorer,
  },
});
