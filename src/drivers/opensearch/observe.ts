/**
 * One look at a cluster: health with its cause, who it is, the role of the indices, and how far a follower is behind.
 *
 * Invariants: nothing is written. A lag is told only with a live link or a heartbeat to measure it by: without either it is absent, never 0. When the process dies, nothing remains.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { EvidenceKind, Reading, ReplicationReading } from '../../contracts/observation.ts';
import { evidenceOfNetError, readingOf as readingOfEvidence } from '../../contracts/workload/net-evidence.ts';
import type { Call } from './client.ts';
import { type ClusterView, type IndexView, isWriteBlocked, positionOf, readView, roleOf } from './cluster-view.ts';
import type { SiteParts } from './parts.ts';
import { type ReplicationStatus, readStatus } from './replication-api.ts';

type Faults = NonNullable<Reading['faults']>[number];
type Statuses = ReadonlyMap<string, ReplicationStatus>;

const evidenceByCode: Readonly<Record<string, EvidenceKind>> = {
  SYSTEM_WRONG_CREDENTIALS: 'not-allowed',
  SYSTEM_WRONG_IDENTITY: 'error',
  SYSTEM_NOT_SERVING: 'wrong-answer',
  NOT_FOUND: 'wrong-answer',
  SYSTEM_REFUSED: 'wrong-answer',
};

export async function observe(parts: SiteParts, signal: AbortSignal): Promise<Reading> {
  const { cluster, context } = parts;
  const call: Call = { timeoutMs: context.probeTimeoutMs, signal };
  try {
    const view = await readView(cluster, call);
    const followers = view.indices.filter(({ leaderIndex }) => leaderIndex !== undefined);
    const statuses = new Map(await Promise.all(followers.map(async ({ name }) => [name, await statusOf(parts, name, call)] as const)));
    const cause = view.health.status === 'green' ? undefined : await explain(parts, view, call);
    return readingOf(parts, view, statuses, cause);
  } catch (error) {
    const kind = error instanceof HoldfastError ? evidenceByCode[error.code] : undefined;
    if (kind !== undefined && error instanceof HoldfastError) return readingOfEvidence({ kind, detail: error.message });
    return readingOfEvidence(evidenceOfNetError(error, cluster.address));
  }
}

/** The status asks the leader as well, which may be what is lost: that takes as long as it takes, and must not make this site look silent. */
async function statusOf(parts: SiteParts, index: string, call: Call): Promise<ReplicationStatus> {
  try {
    return await readStatus(parts.cluster, index, { ...call, timeoutMs: Math.ceil(call.timeoutMs / 2) });
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug' || error.kind === 'invalid') throw error;
    return { state: 'unanswered', reason: error.message, connection: undefined };
  }
}

/** Why it is not green, in a sentence. */
async function explain(parts: SiteParts, { health }: ClusterView, call: Call): Promise<string> {
  const unassigned = Number(health.unassigned_shards);
  const nodes = Number(health.number_of_data_nodes);
  if (health.status === 'yellow' && nodes === 1)
    return `${unassigned} replica shard(s) are unassigned because there is one data node, and a replica never lies beside its primary; with number_of_replicas 0 it would be green`;
  const found = await parts.cluster.find('/_cluster/allocation/explain', call).catch((error: unknown) => {
    // Not an answer to whether it is well: a cluster that has just recovered refuses, for there is nothing to explain.
    if (error instanceof HoldfastError && error.kind !== 'bug') return undefined;
    throw error;
  });
  const why =
    found === undefined ? '' : `: ${String(found.index)}[${String(found.shard)}]: ${String(found.allocate_explanation ?? 'not told')}`;
  return `${unassigned} shard(s) are unassigned on ${nodes} data node(s)${why}`;
}

function readingOf(parts: SiteParts, view: ClusterView, statuses: Statuses, cause: string | undefined): Reading {
  const { cluster } = parts;
  const role = roleOf(view);
  const red = view.indices.filter(({ health }) => health === 'red').map(({ name }) => name);
  const failed = red.length > 0 || view.health.status === 'red';
  const told = `${cluster.address} is ${view.health.status}${cause === undefined ? '' : `: ${cause}`}`;
  const replication = role === 'standby' ? linkOf(parts, statuses) : undefined;
  const metrics = role === 'standby' ? lagOf(parts, view, statuses) : undefined;
  return {
    health: failed ? 'down' : 'up',
    evidence: failed
      ? { kind: 'wrong-answer', detail: red.length > 0 ? `${told}; red: ${red.join(', ')}` : told }
      : { kind: 'answered', detail: told },
    role,
    writable: role === 'primary' && !isWriteBlocked(view),
    position: positionOf(view),
    identity: view.uuid,
    ...(replication === undefined ? {} : { replication }),
    ...(metrics === undefined ? {} : { metrics }),
    faults: faultsOf(parts, view, statuses, cause),
    facts: {
      version: view.version,
      clusterName: view.name,
      status: view.health.status,
      nodes: view.health.number_of_nodes ?? null,
      epoch: view.epoch,
      ...(cause === undefined ? {} : { cause }),
      ...(view.canary === undefined ? {} : { canary: { ...view.canary } }),
      indices: view.indices.map((index) => ({ ...indexFacts(index), ...statusFacts(statuses.get(index.name)) })),
    },
  };
}

const indexFacts = ({ name, health, leaderIndex, operations, documents }: IndexView): JsonObject => ({
  name,
  health,
  role: leaderIndex === undefined ? 'leader' : 'follower',
  operations,
  documents,
});

const statusFacts = (status: ReplicationStatus | undefined): JsonObject =>
  status === undefined ? {} : { replication: status.state, ...(status.reason === '' ? {} : { reason: status.reason }) };

function linkOf(parts: SiteParts, statuses: Statuses): ReplicationReading {
  const all = [...statuses.values()];
  const region = parts.regionOf(all.find(({ connection }) => connection !== undefined)?.connection);
  const link = all.every(({ state }) => state === 'syncing') ? 'up' : all.some(({ state }) => state === 'unknown') ? 'unknown' : 'down';
  return { upstream: { link, ...(region === undefined ? {} : { region }) } };
}

/**
 * Operations by the checkpoints, of which both ends must be known. Bytes are those operations at the mean size of a stored document: the plugin counts none. Seconds: none while nothing is
 * behind, else the age of the heartbeat that is here, which is not less than what would be lost.
 */
function lagOf({ context }: SiteParts, view: ClusterView, statuses: Statuses): Readonly<Record<string, number>> {
  const behind = view.indices.map((index) => {
    const { leaderCheckpoint, followerCheckpoint } = statuses.get(index.name) ?? {};
    if (leaderCheckpoint === undefined || followerCheckpoint === undefined) return undefined;
    const operations = Math.max(0, leaderCheckpoint - followerCheckpoint);
    return { operations, bytes: index.documents === 0 ? undefined : (operations * index.bytes) / index.documents };
  });
  const known = behind.filter((each) => each !== undefined);
  const operations = known.reduce((sum, each) => sum + each.operations, 0);
  const isKnown = known.length === behind.length;
  const bytes = known.reduce<number | undefined>((sum, each) => add(sum, each.operations === 0 ? 0 : each.bytes), 0);
  const seconds =
    isKnown && operations === 0
      ? 0
      : view.canary === undefined
        ? undefined
        : Math.max(0, context.host.clock.nowMs() - view.canary.atMs) / 1_000;
  return {
    ...(isKnown ? { opensearch_replication_lag_operations: operations } : {}),
    ...(isKnown && bytes !== undefined ? { opensearch_replication_lag_bytes: Math.round(bytes) } : {}),
    ...(seconds === undefined ? {} : { opensearch_replication_lag_seconds: seconds }),
  };
}

const add = (sum: number | undefined, more: number | undefined): number | undefined =>
  sum === undefined || more === undefined ? undefined : sum + more;

const stateHints: Readonly<Record<string, string>> = {
  paused: 'Find out why it was paused and resume it: after the retention of the leader (12 h by default) it has to be copied anew.',
  failed: 'It does not go on by itself: run holdfast reprotect, which copies it anew.',
  unanswered: 'Look at whether the leader and the way to its transport port are there.',
};

function faultsOf(parts: SiteParts, view: ClusterView, statuses: Statuses, cause: string | undefined): Faults[] {
  const { site } = parts.context;
  const faults: Faults[] = [];
  const tell = (severity: Faults['severity'], message: string, hint: string) => void faults.push({ severity, message, hint });
  const wanted = site.nodes;
  const nodes = Number(view.health.number_of_nodes);
  if (wanted !== undefined && nodes < wanted) tell('problem', `it has ${nodes} of ${wanted} nodes`, 'Start those that are missing.');
  // One data node is what a small standby is meant to be: then yellow is worth no more than a word.
  if (cause !== undefined && view.health.status === 'yellow')
    tell('warning', `yellow: ${cause}`, 'While it is so, the loss of one node may be the loss of data here.');
  if (view.missing.length > 0) tell('problem', `it lacks ${view.missing.join(', ')}`, 'Run holdfast reprotect, or look at the names.');
  if (roleOf(view) === 'unknown')
    tell('problem', 'some of its indices are followers, and some are not', 'A promotion or reprotect ended half way: run it again.');
  const full = view.indices.filter(({ blocks }) => blocks.includes('index.blocks.read_only_allow_delete')).map(({ name }) => name);
  if (full.length > 0) tell('problem', `${full.join(', ')}: blocked because a disk is full`, 'Free space on the data nodes.');
  for (const [index, { state, reason }] of statuses)
    if (state !== 'syncing')
      tell(
        state === 'bootstrapping' ? 'warning' : 'problem',
        `${index}: replication is ${state}${reason === '' ? '' : `: ${reason}`}`,
        stateHints[state] ?? 'Until it is syncing, this site can not take over.',
      );
  return faults;
}
