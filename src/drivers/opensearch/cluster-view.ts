/** What one cluster says of itself and of the component's indices, by field. Asked in parallel; nothing is written. */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { CanaryRow } from '../../contracts/canary.ts';
import type { Position } from '../../contracts/observation.ts';
import { type Call, type Cluster, requireIdentity, uuidOf } from './client.ts';
import { allIndices } from './options.ts';

export interface IndexView {
  readonly name: string;
  readonly health: string;
  /** Named where it is a follower; OpenSearch refuses clients' writes to it. */
  readonly leaderIndex: string | undefined;
  readonly blocks: readonly string[];
  /** Operations of its history, summed over the primary shards that are assigned. */
  readonly operations: number;
  readonly documents: number;
  readonly bytes: number;
}

export interface ClusterView {
  readonly uuid: string;
  readonly version: string;
  readonly name: string;
  readonly health: JsonObject & { readonly status: string };
  /** Those of the component that are there. */
  readonly indices: readonly IndexView[];
  readonly missing: readonly string[];
  readonly clusterBlocked: boolean;
  readonly settings: JsonObject;
  /** 0: none was taken down. */
  readonly epoch: number;
  readonly dataset: string | undefined;
  readonly canary: CanaryRow | undefined;
}

const object = (value: unknown): JsonObject => (typeof value === 'object' && value !== null ? (value as JsonObject) : {});
const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
export const isOn = (value: unknown): boolean => value === true || value === 'true';

export const followerSetting = 'index.plugins.replication.follower.leader_index';
const blockSettings = ['index.blocks.write', 'index.blocks.read_only', 'index.blocks.read_only_allow_delete'];

export async function readView(cluster: Cluster, call: Call): Promise<ClusterView> {
  const names = allIndices(cluster.options);
  const list = names.join(',');
  const [root, health, settings, stats, clusterSettings, notes] = await Promise.all([
    cluster.get('/', call),
    cluster.get('/_cluster/health?level=indices', call),
    cluster.get(`/${list}/_settings?flat_settings=true&ignore_unavailable=true`, call),
    cluster.get(`/${list}/_stats/docs,store?level=shards&ignore_unavailable=true`, call),
    cluster.get('/_cluster/settings?flat_settings=true', call),
    readNotes(cluster, call),
  ]);
  const uuid = uuidOf(cluster, root);
  requireIdentity(cluster, uuid);
  if (!['green', 'yellow', 'red'].includes(String(health.status)))
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${cluster.address}: its health is ${JSON.stringify(health.status)}, which is none` });
  const applied = { ...object(clusterSettings.persistent), ...object(clusterSettings.transient) } as JsonObject;
  const indices = names
    .filter((name) => settings[name] !== undefined)
    .map((name) =>
      indexOf(name, object(object(settings[name]).settings), object(object(stats.indices)[name]), object(object(health.indices)[name])),
    );
  return {
    uuid,
    version: String(object(root.version).number),
    name: String(root.cluster_name),
    health: health as ClusterView['health'],
    indices,
    missing: names.filter((name) => settings[name] === undefined),
    clusterBlocked: isOn(applied['cluster.blocks.read_only']) || isOn(applied['cluster.blocks.read_only_allow_delete']),
    settings: applied,
    ...notes,
  };
}

function indexOf(name: string, settings: JsonObject, stats: JsonObject, health: JsonObject): IndexView {
  const primaries = object(stats.primaries);
  const shards = Object.values(object(stats.shards)).flatMap((copies) => (Array.isArray(copies) ? (copies as readonly JsonObject[]) : []));
  const leaderIndex = settings[followerSetting];
  return {
    name,
    health: String(health.status ?? 'unknown'),
    leaderIndex: typeof leaderIndex === 'string' && leaderIndex !== '' ? leaderIndex : undefined,
    blocks: blockSettings.filter((setting) => isOn(settings[setting])),
    operations: shards
      .filter(({ routing }) => object(routing).primary === true)
      .reduce((sum, { seq_no }) => sum + count(object(seq_no).max_seq_no) + 1, 0),
    documents: count(object(primaries.docs).count),
    bytes: count(object(primaries.store).size_in_bytes),
  };
}

/** The canary, the epoch and the name of the data set: one small document each, so that they are replicated like any other. */
export async function readNotes(cluster: Cluster, call: Call): Promise<Pick<ClusterView, 'epoch' | 'dataset' | 'canary'>> {
  const answer = await cluster.get(`/${cluster.options['canary-index']}/_mget`, call, { ids: ['epoch', 'dataset', 'canary'] });
  if (!Array.isArray(answer.docs))
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${cluster.address}: the answer to _mget has no documents` });
  const [epoch, dataset, canary] = (answer.docs as readonly JsonObject[]).map((doc) => noteOf(cluster, doc));
  return {
    epoch: count(epoch?.epoch),
    dataset: typeof dataset?.name === 'string' ? dataset.name : undefined,
    canary: canary === undefined ? undefined : { number: count(canary.number), atMs: count(canary.atMs), epoch: count(canary.epoch) },
  };
}

/** A note that can't be read is no note that is missing: an older order must not pass because of it. */
function noteOf(cluster: Cluster, doc: JsonObject): JsonObject | undefined {
  const { type, reason } = object(doc.error);
  if (doc.error !== undefined && type !== 'index_not_found_exception')
    throw fail('SYSTEM_NOT_SERVING', {
      message: `${cluster.address}: ${cluster.options['canary-index']} can't be read: ${String(reason)}`,
    });
  return doc.found === true ? object(doc._source) : undefined;
}

export type ViewRole = 'primary' | 'standby' | 'none' | 'unknown';

/** A half-promoted cluster is neither. */
export function roleOf({ indices }: Pick<ClusterView, 'indices'>): ViewRole {
  const followers = indices.filter(({ leaderIndex }) => leaderIndex !== undefined).length;
  if (indices.length === 0) return 'none';
  return followers === 0 ? 'primary' : followers === indices.length ? 'standby' : 'unknown';
}

export const isWriteBlocked = ({ clusterBlocked, indices }: ClusterView): boolean =>
  clusterBlocked || indices.some(({ blocks }) => blocks.length > 0);

/** Operations are numbered per shard; an index replicates them under the same numbers, so that both sides count alike. */
export function positionOf(view: ClusterView): Position & JsonObject {
  return {
    history: view.dataset ?? view.uuid,
    timeline: view.epoch,
    offset: String(view.indices.reduce((sum, { operations }) => sum + operations, 0)),
    text: view.indices.map(({ name, operations }) => `${name}:${operations}`).join(' '),
  };
}

/** Undefined where the text is none of ours. */
export function operationsIn(text: string): ReadonlyMap<string, number> | undefined {
  const found = new Map<string, number>();
  for (const part of text === '' ? [] : text.split(' ')) {
    const match = /^(.+):(\d+)$/.exec(part);
    if (match === null) return undefined;
    found.set(match[1] as string, Number(match[2]));
  }
  return found;
}
