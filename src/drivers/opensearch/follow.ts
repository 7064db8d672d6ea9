/**
 * follow: every index of this site is a follower of the upstream's. Replication can't begin on an index that is there: what a former leader holds is kept aside as a clone, which takes no
 * room of its own, then deleted, and copied anew from the upstream.
 *
 * Invariants: nothing is deleted before its clone is there, and before the upstream was seen to be a leader of the same data set under no lower epoch. Only this site is told to follow;
 * the upstream is never asked for more than its canary index. When the process dies in between, the blocks stay, and all of it may be done again.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { ensureDatasetName } from './canary.ts';
import { type Cluster, requireIdentity } from './client.ts';
import { type ClusterView, type IndexView, positionOf, readView, roleOf } from './cluster-view.ts';
import { allIndices } from './options.ts';
import { type SiteParts, tryView } from './parts.ts';
import { readStatus, resume, start, stop } from './replication-api.ts';

export function followVerb(parts: SiteParts): Verb {
  return {
    inspect: (want, step) => inspect(parts, String(want.upstream), step),
    apply: (want, step) => apply(parts, String(want.upstream), step),
  };
}

async function inspect(parts: SiteParts, upstream: string, step: StepContext): Promise<Inspection> {
  const { cluster } = parts;
  const connection = parts.connectionTo(upstream);
  const view = await tryView(cluster, step.signal);
  if ('why' in view) return { state: 'pending', why: `it does not answer: ${view.why}` };
  if (view.missing.length > 0) return { state: 'absent', why: `it lacks ${view.missing.join(', ')}` };
  if (roleOf(view) !== 'standby') return { state: 'absent', why: `it is ${roleOf(view)}` };
  let waiting: string | undefined;
  for (const index of allIndices(cluster.options)) {
    const status = await readStatus(cluster, index, cluster.call(step.signal));
    if (status.state === 'unanswered') waiting = `${index}: its leader does not answer`;
    else if (status.connection !== connection && status.state !== 'none')
      return { state: 'absent', why: `${index} follows ${status.connection ?? 'nobody knows whom'}` };
    else if (status.state === 'bootstrapping') waiting = `${index} is copied`;
    else if (status.state !== 'syncing') return { state: 'absent', why: `${index}: ${status.state} ${status.reason}`.trim() };
    else if ((status.followerCheckpoint ?? -1) < (status.leaderCheckpoint ?? 0))
      waiting = `${index} is at ${status.followerCheckpoint} of ${status.leaderCheckpoint}`;
  }
  if (waiting !== undefined) return { state: 'pending', why: waiting };
  const { method } = (step.note ?? { method: 'found in place' }) as { method: string };
  return { state: 'done', output: { method } };
}

async function apply(parts: SiteParts, upstream: string, step: StepContext): Promise<void> {
  const { cluster } = parts;
  const call = cluster.call(step.signal);
  const leader = parts.other(upstream);
  const [above, here] = [await readView(leader, leader.call(step.signal)), await parts.view(step)];
  requireLeader(leader, above, cluster, here);
  if (above.dataset === undefined) await ensureDatasetName(parts, leader, leader.call(step.signal));
  await connect(cluster, leader, parts.connectionTo(upstream), here, step);
  let copied = false;
  for (const name of allIndices(cluster.options)) {
    const index = here.indices.find((each) => each.name === name);
    if (index !== undefined && (await goesOn(parts, upstream, index, step))) continue;
    if (index !== undefined) await clear(cluster, index, step);
    step.progress(`copying ${name} from ${upstream}`);
    copied = true;
    await start(cluster, name, parts.connectionTo(upstream), call);
  }
  await step.keepNote({ method: copied ? 'copied' : 'continued' });
}

function requireLeader(leader: Cluster, above: ClusterView, cluster: Cluster, here: ClusterView): void {
  requireIdentity(leader, above.uuid);
  if (above.uuid === here.uuid)
    throw fail('SYSTEM_WRONG_IDENTITY', { message: `${leader.address} and ${cluster.address} are the same cluster, ${above.uuid}` });
  const missing = above.missing.filter((name) => name !== leader.options['canary-index']);
  if (roleOf(above) !== 'primary' || missing.length > 0)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${leader.address} can't be followed: it ${missing.length > 0 ? `lacks ${missing.join(', ')}` : `is ${roleOf(above)}`}`,
      hint: 'Replication is started on the follower, from a cluster that leads.',
    });
  if (here.dataset !== undefined && here.dataset !== above.dataset)
    throw fail('SYSTEM_WRONG_IDENTITY', {
      message: `${cluster.address} holds the data set ${here.dataset}, and ${leader.address} ${above.dataset ?? 'one without a name'}`,
      hint: 'If the data here are not needed any more, delete the indices; else find out which data set is the right one.',
    });
  if (here.epoch > above.epoch)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${cluster.address} was promoted under epoch ${here.epoch}, and ${leader.address} only under ${above.epoch}`,
      hint: 'The newer one is to be followed: look at holdfast status.',
    });
}

/** The connection is a setting of the follower's cluster; replication is refused without it. */
async function connect(cluster: Cluster, leader: Cluster, connection: string, here: ClusterView, step: StepContext): Promise<void> {
  const call = cluster.call(step.signal);
  if (here.clusterBlocked) await cluster.change('PUT', '/_cluster/settings', { persistent: { 'cluster.blocks.read_only': null } }, call);
  const seeds = leader.site['transport-addresses'] ?? [];
  const key = `cluster.remote.${connection}.seeds`;
  if (JSON.stringify(here.settings[key]) !== JSON.stringify(seeds))
    await cluster.change('PUT', '/_cluster/settings', { persistent: { [key]: seeds } }, call);
}

/** A follower of this very upstream that can go on where it is. */
async function goesOn(parts: SiteParts, upstream: string, index: IndexView, step: StepContext): Promise<boolean> {
  const { cluster } = parts;
  const call = cluster.call(step.signal);
  if (index.leaderIndex === undefined) return false;
  const status = await readStatus(cluster, index.name, call);
  const same = status.connection === undefined || parts.regionOf(status.connection) === upstream;
  if (same && (status.state === 'syncing' || status.state === 'bootstrapping')) return true;
  if (same && status.state === 'paused' && !/retention lease/i.test(status.reason)) {
    await resume(cluster, index.name, call);
    return true;
  }
  if (status.state === 'unanswered' || status.state === 'unknown')
    throw fail('SYSTEM_NOT_SERVING', {
      message: `${index.name} in ${parts.context.region} does not say what it follows: ${status.reason}`,
    });
  if (status.state !== 'none') await stop(cluster, index.name, call);
  return false;
}

/** The former leader's own writes stay, under another name, and read-only. */
async function clear(cluster: Cluster, index: IndexView, step: StepContext): Promise<void> {
  const call = cluster.call(step.signal);
  if (index.documents > 0) {
    const aside = asideName(index.name, step.executionId);
    await cluster.change('PUT', `/${index.name}/_settings`, { 'index.blocks.write': true }, call);
    if ((await cluster.find(`/${aside}/_settings`, call)) === undefined)
      await cluster.change('PUT', `/${index.name}/_clone/${aside}`, { settings: { 'index.number_of_replicas': 0 } }, call);
    await requireWhole(cluster, aside, index, step);
    step.progress(`${index.name}: what was here is kept as ${aside}`);
  }
  await cluster.change('DELETE', `/${index.name}`, undefined, call);
}

export const asideName = (index: string, executionId: string): string =>
  `${index}-before-${executionId.toLowerCase().replace(/[^a-z0-9_-]+/g, '-')}`;

async function requireWhole(cluster: Cluster, aside: string, index: IndexView, step: StepContext): Promise<void> {
  const call = cluster.call(step.signal);
  const health = await cluster.get(`/_cluster/health/${aside}?wait_for_status=yellow&timeout=20s`, call);
  await cluster.change('POST', `/${aside}/_refresh`, undefined, call);
  await cluster.change('POST', `/${index.name}/_refresh`, undefined, call);
  const [kept, there] = await Promise.all([aside, index.name].map((name) => cluster.get(`/${name}/_count`, call)));
  if (health.status !== 'red' && typeof kept?.count === 'number' && kept.count === there?.count) return;
  throw fail('SYSTEM_NOT_SERVING', {
    message: `${aside} has ${String(kept?.count)} of ${String(there?.count)} documents of ${index.name}, which is not deleted`,
  });
}

/** protect, on the leader: its followers are in step. There is nothing to set: a leader does not wait for them. */
export function protectVerb(parts: SiteParts): Verb {
  return {
    inspect: async (want: JsonObject, step: StepContext): Promise<Inspection> => {
      if (want.mode === 'synchronous') return { state: 'unknown', why: 'cross-cluster replication is never synchronous' };
      const own = await parts.view(step);
      if (roleOf(own) !== 'primary') return { state: 'unknown', why: `it is ${roleOf(own)}: a primary is protected` };
      const standbys = Array.isArray(want.standbys) ? want.standbys.map(String) : [];
      for (const region of standbys) {
        const other = parts.other(region);
        const view = await tryView(other, step.signal);
        if ('why' in view) return { state: 'pending', why: `${region} does not answer: ${view.why}` };
        if (roleOf(view) !== 'standby' || view.missing.length > 0)
          return { state: 'pending', why: `${region} is ${roleOf(view)}, at ${positionOf(view).text}` };
        for (const index of allIndices(other.options)) {
          const { state, reason } = await readStatus(other, index, other.call(step.signal));
          if (state !== 'syncing') return { state: 'pending', why: `${index} in ${region}: ${state} ${reason}`.trim() };
        }
      }
      return { state: 'done', output: { inSync: [] } };
    },
    apply: async () => {},
  };
}
