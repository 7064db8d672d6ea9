/**
 * The calls of the cross-cluster replication plugin. All of them go to the follower, each for one index.
 * https://docs.opensearch.org/latest/tuning-your-cluster/replication-plugin/api/
 */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Call, Cluster } from './client.ts';

/** `none`: the index replicates nothing. `unanswered`: the status asks the leader too, and that one can't be reached. */
export type ReplicationState = 'syncing' | 'bootstrapping' | 'paused' | 'failed' | 'none' | 'unanswered' | 'unknown';

export interface ReplicationStatus {
  readonly state: ReplicationState;
  readonly reason: string;
  readonly connection: string | undefined;
  /** Numbers of the last operation, summed over the shards. */
  readonly leaderCheckpoint?: number;
  readonly followerCheckpoint?: number;
}

const states: Readonly<Record<string, ReplicationState>> = {
  SYNCING: 'syncing',
  BOOTSTRAPPING: 'bootstrapping',
  // As some versions write it.
  BOOTSTRAPING: 'bootstrapping',
  PAUSED: 'paused',
  FAILED: 'failed',
  STOPPED: 'none',
  'REPLICATION NOT IN PROGRESS': 'none',
};

const pathOf = (index: string, action: string): string => `/_plugins/_replication/${index}/_${action}`;

export async function readStatus(cluster: Cluster, index: string, call: Call): Promise<ReplicationStatus> {
  let answer: JsonObject;
  try {
    answer = await cluster.get(pathOf(index, 'status'), call);
  } catch (error) {
    // While it runs, the status is fetched from the leader too: a lost leader makes the question itself fail.
    if (!(error instanceof HoldfastError) || !/failed to fetch replication status/.test(error.message)) throw error;
    return { state: 'unanswered', reason: error.message, connection: undefined };
  }
  const details = (answer.syncing_details ?? {}) as JsonObject;
  const [leader, follower] = [details.leader_checkpoint, details.follower_checkpoint];
  return {
    state: states[String(answer.status)] ?? 'unknown',
    reason: String(answer.reason ?? ''),
    connection: typeof answer.leader_alias === 'string' ? answer.leader_alias : undefined,
    ...(typeof leader === 'number' && typeof follower === 'number' ? { leaderCheckpoint: leader, followerCheckpoint: follower } : {}),
  };
}

export async function start(cluster: Cluster, index: string, connection: string, call: Call): Promise<void> {
  const { roles } = cluster.options;
  await cluster.change(
    'PUT',
    pathOf(index, 'start'),
    {
      leader_alias: connection,
      leader_index: index,
      // Wanted with the security plugin, refused without it.
      ...(roles === undefined ? {} : { use_roles: { leader_cluster_role: roles.leader, follower_cluster_role: roles.follower } }),
    },
    call,
  );
}

/** The body must be there, and empty. */
export async function stop(cluster: Cluster, index: string, call: Call): Promise<void> {
  await cluster.change('POST', pathOf(index, 'stop'), {}, call);
}

export async function resume(cluster: Cluster, index: string, call: Call): Promise<void> {
  await cluster.change('POST', pathOf(index, 'resume'), {}, call);
}

/** Rules that would make followers again of what was just promoted. */
export async function readAutofollowRules(
  cluster: Cluster,
  call: Call,
): Promise<readonly { readonly name: string; readonly pattern: string }[]> {
  const answer = await cluster.get('/_plugins/_replication/autofollow_stats', call);
  const rules = Array.isArray(answer.autofollow_stats) ? (answer.autofollow_stats as readonly JsonObject[]) : [];
  return rules.map(({ name, pattern }) => ({ name: String(name), pattern: String(pattern) }));
}

export async function removeAutofollowRule(cluster: Cluster, name: string, connection: string, call: Call): Promise<void> {
  await cluster.change('DELETE', '/_plugins/_replication/_autofollow', { leader_alias: connection, name }, call);
}
