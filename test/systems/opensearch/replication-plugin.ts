/**
 * The replication plugin's part of the stand-in, with its refusals: the paths have an underscore before the action, the body names connection and leader, the follower index must not be there,
 * and everything is asked of the follower.
 * https://docs.opensearch.org/latest/tuning-your-cluster/replication-plugin/api/
 */
import { type Answer, notFound, refuse, type StandInCluster, type StandInIndex, type World } from './model.ts';

type Fields = Record<string, unknown>;
const followerSetting = 'index.plugins.replication.follower.leader_index';
const acknowledged: Answer = { status: 200, body: { acknowledged: true } };
const badRequest = (reason: string): Answer => refuse(400, 'illegal_argument_exception', reason);

export function answerReplication(
  world: World,
  cluster: StandInCluster,
  method: string,
  path: readonly string[],
  body: Fields | undefined,
): Answer {
  const [, plugin, index = '', action = ''] = path;
  const noHandler: Answer = { status: 400, body: { error: `no handler found for uri [/${path.join('/')}] and method [${method}]` } };
  if (plugin !== '_replication') return noHandler;
  const route = `${method} ${action}`;
  if (`${method} ${index}` === 'GET autofollow_stats')
    return { status: 200, body: { autofollow_stats: cluster.autofollow.map(({ name, pattern }) => ({ name, pattern })) } };
  if (`${method} ${index}` === 'DELETE _autofollow') return removeRule(cluster, body);
  if (route === 'PUT _start') return start(world, cluster, index, body);
  if (route === 'GET _status') return status(world, cluster, index);
  if (!['POST _stop', 'POST _pause', 'POST _resume'].includes(route)) return noHandler;
  if (body === undefined) return refuse(400, 'parse_exception', 'request body is required');
  const found = cluster.indices.get(index);
  if (found === undefined) return notFound(index);
  if (found.leader === undefined) return badRequest(`No replication in progress for index:${index}`);
  if (action === '_stop') return stop(cluster, index, found);
  if (action === '_pause') found.leader = { ...found.leader, state: 'PAUSED', reason: String(body.reason ?? 'User initiated') };
  else if (found.leader.state !== 'PAUSED') return badRequest(`Replication on Index ${index} is already running`);
  else found.leader = { ...found.leader, state: 'SYNCING', reason: 'User initiated' };
  return acknowledged;
}

function leaderOf(world: World, cluster: StandInCluster, alias: string): StandInCluster | undefined {
  const seeds = cluster.settings.get(`cluster.remote.${alias}.seeds`);
  return Array.isArray(seeds) ? seeds.map((seed) => world.clusters.get(String(seed))).find((found) => found !== undefined) : undefined;
}

function start(world: World, cluster: StandInCluster, index: string, body: Fields | undefined): Answer {
  const known = ['leader_alias', 'leader_index', 'use_roles', 'settings'];
  const strange = Object.keys(body ?? {}).find((key) => !known.includes(key));
  if (strange !== undefined) return badRequest(`[replicate] unknown field [${strange}]`);
  for (const key of ['leader_alias', 'leader_index'])
    if (typeof body?.[key] !== 'string' || body[key] === '')
      return refuse(400, 'action_request_validation_exception', `Validation Failed: 1: ${key} is not set;`);
  if (world.security !== (body?.use_roles !== undefined))
    return badRequest(
      world.security ? 'use_roles is mandatory with the security plugin' : 'use_roles is not supported without the security plugin',
    );
  const alias = String(body?.leader_alias);
  if (!Array.isArray(cluster.settings.get(`cluster.remote.${alias}.seeds`)))
    return refuse(404, 'no_such_remote_cluster_exception', `no such remote cluster: [${alias}]`);
  const leader = leaderOf(world, cluster, alias);
  if (leader === undefined || !leader.reachable) return refuse(500, 'connect_transport_exception', `[${alias}] connect_exception`);
  const source = leader.indices.get(String(body?.leader_index));
  if (source === undefined) return notFound(String(body?.leader_index));
  if (source.leader !== undefined) return badRequest(`Cannot Replicate a Replicated Index ${String(body?.leader_index)}`);
  if (cluster.indices.has(index)) return badRequest(`Cant use same index again for replication. Delete the index:${index}`);
  cluster.indices.set(index, {
    settings: { 'index.number_of_replicas': '1', [followerSetting]: String(body?.leader_index) },
    documents: new Map(),
    operations: 0,
    health: 'green',
    leader: { alias, index: String(body?.leader_index), state: 'BOOTSTRAPPING', reason: 'User initiated' },
  });
  return acknowledged;
}

function stop(cluster: StandInCluster, name: string, index: StandInIndex): Answer {
  // A copy that is not whole is of no use to anybody.
  if (index.leader?.state === 'BOOTSTRAPPING') cluster.indices.delete(name);
  index.leader = undefined;
  delete index.settings[followerSetting];
  return acknowledged;
}

function status(world: World, cluster: StandInCluster, index: string): Answer {
  const found = cluster.indices.get(index);
  if (found?.leader === undefined) return { status: 200, body: { status: 'REPLICATION NOT IN PROGRESS' } };
  const { alias, state, reason, index: leaderIndex } = found.leader;
  const body: Fields = { status: state, reason, leader_alias: alias, leader_index: leaderIndex, follower_index: index };
  if (state !== 'SYNCING') return { status: 200, body };
  const leader = leaderOf(world, cluster, alias);
  if (leader === undefined || !leader.reachable) return refuse(500, 'replication_exception', 'failed to fetch replication status');
  const source = leader.indices.get(leaderIndex);
  const details = { leader_checkpoint: (source?.operations ?? 0) - 1, follower_checkpoint: found.operations - 1, seq_no: found.operations };
  return { status: 200, body: { ...body, syncing_details: details } };
}

function removeRule(cluster: StandInCluster, body: Fields | undefined): Answer {
  const at = cluster.autofollow.findIndex(({ name, alias }) => name === body?.name && alias === body?.leader_alias);
  if (at < 0) return badRequest(`Auto follow pattern ${String(body?.name)} does not exist for ${String(body?.leader_alias)}`);
  cluster.autofollow.splice(at, 1);
  return acknowledged;
}

export function replicateAll(world: World, cluster: StandInCluster): void {
  for (const index of cluster.indices.values()) {
    if (index.leader === undefined || index.leader.state === 'PAUSED' || index.leader.state === 'FAILED') continue;
    const leader = leaderOf(world, cluster, index.leader.alias);
    const source = leader?.reachable ? leader.indices.get(index.leader.index) : undefined;
    if (source === undefined) continue;
    index.documents = new Map(source.documents);
    index.operations = source.operations;
    index.leader = { ...index.leader, state: 'SYNCING' };
  }
}
