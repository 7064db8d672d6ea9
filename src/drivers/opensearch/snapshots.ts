/**
 * run: a snapshot of the component's indices, or a restore of one beside them, judged by shards, counts and queries. Snapshots go from the nodes into a repository of their own and
 * never through the controller.
 *
 * Invariant: anything but SUCCESS with all shards is a failure. A restore has a prefix and so overwrites nothing. The name of the snapshot comes from the execution, so that what was begun
 * is found again after the process died.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Cluster } from './client.ts';
import type { SiteParts } from './parts.ts';

interface Snapshot {
  readonly name: string;
  readonly state: string;
  readonly startedMs: number;
  readonly component: string | undefined;
  readonly counts: JsonObject;
  readonly detail: string;
}

function snapshotOf(answer: JsonObject): Snapshot {
  const shards = (answer.shards ?? {}) as JsonObject;
  const failures = Array.isArray(answer.failures) ? (answer.failures as readonly JsonObject[]) : [];
  const metadata = (answer.metadata ?? {}) as JsonObject;
  const why = failures.map(({ index, shard_id, reason }) => `${String(index)}[${String(shard_id)}]: ${String(reason)}`).join('; ');
  return {
    name: String(answer.snapshot),
    state: String(answer.state),
    startedMs: Number(answer.start_time_in_millis ?? 0),
    component: typeof metadata.component === 'string' ? metadata.component : undefined,
    counts: (metadata.counts ?? {}) as JsonObject,
    detail: `${String(answer.state)}, ${String(shards.successful)} of ${String(shards.total)} shards${why === '' ? '' : `; ${why}`}`,
  };
}

export function runVerb(parts: SiteParts): Verb {
  return parts.cluster.options.run?.snapshot ? takeVerb(parts) : restoreVerb(parts);
}

const repositoryPath = ({ options }: Cluster): string => `/_snapshot/${encodeURIComponent(options.repository?.name ?? '')}`;
const nameOf = ({ executionId, stepId }: StepContext): string =>
  `holdfast-${executionId}-${stepId}`.toLowerCase().replace(/[^a-z0-9_.-]+/g, '-');

/** Registering the same again changes nothing; verifying shows that every node can write there, and not that any snapshot is whole. */
async function ensureRepository(cluster: Cluster, step: StepContext): Promise<void> {
  const { repository } = cluster.options;
  if (repository === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'run without a repository was let through' });
  const call = cluster.call(step.signal);
  await cluster.change('PUT', repositoryPath(cluster), { type: repository.type, settings: { ...repository.settings } }, call);
  if (repository.settings.readonly === true) return;
  const verified = await cluster.change('POST', `${repositoryPath(cluster)}/_verify`, undefined, call);
  if (Object.keys((verified.nodes ?? {}) as JsonObject).length === 0)
    throw fail('SYSTEM_REFUSED', { message: `no node of ${cluster.address} could write to the repository ${repository.name}` });
}

async function findSnapshot(cluster: Cluster, name: string, step: StepContext): Promise<Snapshot | undefined> {
  const answer = await cluster.find(`${repositoryPath(cluster)}/${name}`, cluster.call(step.signal));
  const [found] = Array.isArray(answer?.snapshots) ? (answer.snapshots as readonly JsonObject[]) : [];
  return found === undefined ? undefined : snapshotOf(found);
}

/** What is red can't be in a snapshot as a whole, and a request to it waits until nobody listens any more. */
async function requireShards(cluster: Cluster, index: string, step: StepContext): Promise<void> {
  const { status } = await cluster.get(`/_cluster/health/${index}`, cluster.call(step.signal));
  if (status === 'red')
    throw fail('SYSTEM_NOT_SERVING', { message: `${index} in ${cluster.address} is red: not all of it can be in a snapshot` });
}

async function countDocuments(cluster: Cluster, index: string, step: StepContext): Promise<number> {
  const { count, _shards } = await cluster.get(`/${index}/_count`, cluster.call(step.signal));
  if (typeof count !== 'number' || (_shards as JsonObject | undefined)?.failed !== 0)
    throw fail('SYSTEM_NOT_SERVING', { message: `${cluster.address}: not every shard of ${index} could be counted` });
  return count;
}

function takeVerb(parts: SiteParts): Verb {
  const { cluster, context } = parts;
  return {
    inspect: async (_want, step): Promise<Inspection> => {
      const found = await findSnapshot(cluster, nameOf(step), step);
      if (found === undefined) return { state: 'absent', why: `there is no snapshot ${nameOf(step)}` };
      if (found.state === 'IN_PROGRESS') return { state: 'pending', why: found.detail };
      if (found.state !== 'SUCCESS') throw fail('BACKUP_INCOMPLETE', { message: `the snapshot ${found.name} is ${found.detail}` });
      return { state: 'done', output: { detail: found.detail, snapshot: found.name, counts: found.counts } };
    },
    apply: async (_want, step) => {
      await ensureRepository(cluster, step);
      const counts: Record<string, number> = {};
      for (const index of cluster.options.indices) {
        await requireShards(cluster, index, step);
        await cluster.change('POST', `/${index}/_refresh`, undefined, cluster.call(step.signal));
        counts[index] = await countDocuments(cluster, index, step);
      }
      const body = {
        indices: cluster.options.indices.join(','),
        include_global_state: false,
        partial: false,
        ignore_unavailable: false,
        metadata: { takenBy: 'holdfast', platform: context.platform, component: context.component, counts },
      };
      await cluster.change('PUT', `${repositoryPath(cluster)}/${nameOf(step)}?wait_for_completion=false`, body, cluster.call(step.signal));
    },
  };
}

/** The newest that is whole. */
async function chooseSnapshot({ cluster, context }: SiteParts, step: StepContext): Promise<Snapshot> {
  const wanted = cluster.options.run?.restore?.snapshot;
  if (wanted !== undefined) {
    const found = await findSnapshot(cluster, wanted, step);
    if (found?.state === 'SUCCESS') return found;
    throw fail('BACKUP_INCOMPLETE', { message: found ? `the snapshot ${wanted} is ${found.detail}` : `there is no snapshot ${wanted}` });
  }
  const answer = await cluster.get(`${repositoryPath(cluster)}/_all`, cluster.call(step.signal));
  const all = (Array.isArray(answer.snapshots) ? (answer.snapshots as readonly JsonObject[]) : []).map(snapshotOf);
  const whole = all.filter(({ state, component }) => state === 'SUCCESS' && component === context.component);
  const newest = whole.sort((a, b) => b.startedMs - a.startedMs)[0];
  if (newest === undefined)
    throw fail('BACKUP_INCOMPLETE', {
      message: `the repository ${cluster.options.repository?.name} has no whole snapshot of ${context.component}`,
    });
  return newest;
}

function restoreVerb(parts: SiteParts): Verb {
  const { cluster } = parts;
  const wanted = cluster.options.run?.restore;
  if (wanted === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'run with nothing to do was let through' });
  const target = (index: string): string => `${wanted.prefix}${index}`;
  return {
    inspect: async (_want, step): Promise<Inspection> => {
      const note = step.note as { snapshot?: string; counts?: JsonObject } | undefined;
      if (note?.snapshot === undefined) return { state: 'absent', why: 'no restore was begun' };
      const counts: Record<string, number> = {};
      for (const index of cluster.options.indices) {
        const arrived = await arrivalOf(cluster, target(index), step);
        if (arrived !== undefined) return arrived;
        counts[index] = await countDocuments(cluster, target(index), step);
        const expected = note.counts?.[index];
        // Writes go on while a snapshot is taken, so that it may hold more than was counted before; never less, unless something was deleted meanwhile.
        if (typeof expected === 'number' && counts[index] < expected)
          throw fail('BACKUP_DAMAGED', {
            message: `${target(index)} has ${counts[index]} documents, ${expected} were counted before the snapshot`,
          });
        await ask(cluster, target(index), wanted.queries[index], step);
      }
      return { state: 'done', output: { detail: `restored ${note.snapshot} as ${wanted.prefix}*`, snapshot: note.snapshot, counts } };
    },
    apply: async (_want, step) => {
      await ensureRepository(cluster, step);
      const snapshot = await chooseSnapshot(parts, step);
      for (const index of cluster.options.indices)
        if ((await cluster.find(`/${target(index)}/_settings`, cluster.call(step.signal))) !== undefined)
          throw fail('RESTORE_TARGET_NOT_EMPTY', { message: `${target(index)} is there already in ${cluster.address}` });
      await step.keepNote({ snapshot: snapshot.name, counts: snapshot.counts });
      const body = {
        indices: cluster.options.indices.join(','),
        rename_pattern: '^(.+)$',
        rename_replacement: `${wanted.prefix}$1`,
        include_global_state: false,
        include_aliases: false,
        partial: false,
        // A snapshot of a follower would come back as one.
        ignore_index_settings: 'index.plugins.replication.follower.leader_index,index.blocks.write',
        index_settings: { 'index.number_of_replicas': 0 },
      };
      const path = `${repositoryPath(cluster)}/${snapshot.name}/_restore?wait_for_completion=false`;
      await cluster.change('POST', path, body, cluster.call(step.signal));
    },
  };
}

/** Undefined once every primary shard is there. */
async function arrivalOf(cluster: Cluster, index: string, step: StepContext): Promise<Inspection | undefined> {
  const recovery = await cluster.find(`/${index}/_recovery`, cluster.call(step.signal));
  const { shards } = (recovery?.[index] ?? {}) as { shards?: readonly JsonObject[] };
  if (shards === undefined || shards.length === 0) return { state: 'pending', why: `${index} is not there yet` };
  const open = shards.filter(({ primary, stage }) => primary === true && stage !== 'DONE');
  if (open.length > 0) return { state: 'pending', why: `${index}: ${open.length} of ${shards.length} shards are still restored` };
  const health = await cluster.get(`/_cluster/health/${index}`, cluster.call(step.signal));
  if (health.status === 'red') throw fail('BACKUP_DAMAGED', { message: `${index} is red after its restore: not every shard came back` });
  return undefined;
}

async function ask(
  cluster: Cluster,
  index: string,
  question: { readonly query: Readonly<Record<string, unknown>>; readonly 'at-least': number } | undefined,
  step: StepContext,
): Promise<void> {
  if (question === undefined) return;
  const body = { size: 0, track_total_hits: true, query: question.query } as unknown as JsonObject;
  const { hits } = await cluster.get(`/${index}/_search`, cluster.call(step.signal), body);
  const found = ((hits as JsonObject | undefined)?.total as JsonObject | undefined)?.value;
  if (typeof found === 'number' && found >= question['at-least']) return;
  throw fail('BACKUP_DAMAGED', { message: `a query to ${index} found ${String(found)} documents, not at least ${question['at-least']}` });
}
