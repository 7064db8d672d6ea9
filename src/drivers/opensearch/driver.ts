/**
 * OpenSearch: a cluster per site, its indices replicated from the leading cluster to the others by the cross-cluster replication plugin, and snapshots in a repository of the cluster's own.
 *
 * Replication is asynchronous only, and started, looked at and stopped on the follower. See README.md for what the driver can't prove.
 */
import { defineDriver, type Site } from '../../contracts/driver.ts';
import { awaitPositionVerb } from './await-position.ts';
import { openCanary } from './canary.ts';
import { readNotes } from './cluster-view.ts';
import { fenceVerb, freezeVerb, thawVerb } from './fence.ts';
import { followVerb, protectVerb } from './follow.ts';
import { observe } from './observe.ts';
import {
  componentOptions,
  findFaults,
  type OpensearchContext,
  type OpensearchOptions,
  type OpensearchSiteOptions,
  siteOptions,
} from './options.ts';
import { SiteParts } from './parts.ts';
import { promoteVerb } from './promote.ts';
import { runVerb } from './snapshots.ts';

function openSite(context: OpensearchContext): Site {
  const parts = new SiteParts(context);
  const { cluster } = parts;
  return {
    observe: (signal) => observe(parts, signal),
    verbs: {
      fence: fenceVerb(parts),
      freeze: freezeVerb(parts),
      thaw: thawVerb(parts),
      'await-position': awaitPositionVerb(parts),
      promote: promoteVerb(parts),
      follow: followVerb(parts),
      protect: protectVerb(parts),
      ...(context.options.run ? { run: runVerb(parts) } : {}),
    },
    // Nothing taken down reads as 0.
    readEpoch: async (signal) => (await readNotes(cluster, cluster.call(signal))).epoch || undefined,
    canary: openCanary(parts),
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

export const driver = defineDriver<OpensearchOptions, OpensearchSiteOptions>({
  name: 'opensearch',
  title: 'OpenSearch',
  summary:
    'Watches, fences and promotes OpenSearch clusters whose indices replicate to each other, makes followers anew, and takes and tries snapshots.',
  kind: 'data',
  verbs: [
    { verb: 'fence', needsHands: false, typicalMs: 500 },
    { verb: 'freeze', needsHands: false, typicalMs: 500 },
    { verb: 'thaw', needsHands: false, typicalMs: 500 },
    { verb: 'await-position', needsHands: false, typicalMs: 1_000 },
    { verb: 'promote', needsHands: false, typicalMs: 5_000 },
    { verb: 'follow', needsHands: false, typicalMs: 300_000 },
    { verb: 'protect', needsHands: false, typicalMs: 2_000 },
    { verb: 'run', needsHands: false, typicalMs: 300_000 },
  ],
  hasCanary: true,
  componentOptions,
  siteOptions,
  metrics: {
    opensearch_replication_lag_operations: 'Operations that the follower lacks, by the checkpoints of leader and follower',
    opensearch_replication_lag_bytes: 'Those operations at the mean size of a stored document of their index; an estimate',
    opensearch_replication_lag_seconds: '0 where the checkpoints are equal, else the age of the newest heartbeat at the follower',
  },
  validate: findFaults,
  open: openSite,
});
