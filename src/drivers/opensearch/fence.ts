/**
 * fence: every index of the component refuses writes by a block that is part of the cluster's state, so that it outlasts restarts. freeze and thaw set and lift the same.
 *
 *   it answers, as leader    -> the blocks are set, and a write was refused by them     revoked
 *   it answers, as follower  -> the replication refuses clients' writes                 demoted
 *   else                     -> FENCE_NOT_PROVEN: from outside nothing can be done to a cluster that is not reached
 *
 * What it does not prove: whoever may change settings can lift the block, and other indices take writes on (with `block-cluster` none does). When the process dies in between, some
 * indices are blocked, and all of it may be done again.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { FenceProof, Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { type ClusterView, positionOf, roleOf } from './cluster-view.ts';
import { type SiteParts, tryView } from './parts.ts';

const blocked = ({ indices }: ClusterView): boolean => indices.every(({ blocks }) => blocks.includes('index.blocks.write'));

/** The block as a client meets it: OpenSearch refuses before anything is written. Undefined: the write was taken. */
async function probeWrite(parts: SiteParts, view: ClusterView, step: StepContext): Promise<string | undefined> {
  const { cluster, context } = parts;
  const index = view.indices.find(({ name }) => name === cluster.options['canary-index']);
  if (index === undefined) return 'there is no canary index to try';
  try {
    await cluster.change('PUT', `/${index.name}/_doc/probe`, { atMs: context.host.clock.nowMs() }, cluster.call(step.signal));
    return undefined;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details.type !== 'cluster_block_exception') throw error;
    return error.message;
  }
}

async function setBlocks(parts: SiteParts, view: ClusterView, on: boolean, step: StepContext): Promise<void> {
  const { cluster } = parts;
  const call = cluster.call(step.signal);
  const setCluster = (value: boolean | null) =>
    cluster.change('PUT', '/_cluster/settings', { persistent: { 'cluster.blocks.read_only': value } }, call);
  // A read-only cluster refuses every other setting: it is lifted first, and set last.
  if (view.clusterBlocked) await setCluster(null);
  if (view.indices.length > 0)
    await cluster.change(
      'PUT',
      `/${view.indices.map(({ name }) => name).join(',')}/_settings`,
      { 'index.blocks.write': on ? true : null },
      call,
    );
  if (on && cluster.options['block-cluster']) await setCluster(true);
}

export function fenceVerb(parts: SiteParts): Verb {
  const { cluster, context } = parts;
  const proofOf = (proof: 'revoked' | 'demoted', evidence: string, view: ClusterView): FenceProof => ({
    proof,
    evidence,
    sinceMs: context.host.clock.nowMs(),
    position: positionOf(view),
  });
  return {
    inspect: async (_want, step): Promise<Inspection> => {
      const view = await tryView(cluster, step.signal);
      if ('why' in view) return { state: 'absent', why: `it does not answer: ${view.why}` };
      if (roleOf(view) === 'standby')
        return {
          state: 'done',
          output: proofOf('demoted', `${cluster.address}: all of its indices are followers, which refuse writes`, view),
        };
      if (roleOf(view) === 'unknown') return { state: 'absent', why: 'some of its indices are followers, and some are not' };
      if (view.indices.length === 0) return { state: 'unknown', why: 'it has none of the indices: there is nothing to block' };
      if (!blocked(view) || (cluster.options['block-cluster'] && !view.clusterBlocked)) return { state: 'absent', why: 'it takes writes' };
      const refusal = await probeWrite(parts, view, step);
      if (refusal === undefined) return { state: 'absent', why: 'it took a write in spite of its settings' };
      return { state: 'done', output: proofOf('revoked', refusal, await parts.view(step)) };
    },
    apply: async (want, step) => {
      const view = await tryView(cluster, step.signal);
      if (want.byHands === true || 'why' in view)
        throw fail('FENCE_NOT_PROVEN', {
          subject: `${context.component} in ${context.region}`,
          message:
            'why' in view ? `it does not answer, so that no block can be set: ${view.why}` : 'nothing can be done to it at its machines',
          hint: 'Cut its clients off or stop it by hand, and confirm with --fenced-by NAME.',
        });
      await setBlocks(parts, view, true, step);
    },
  };
}

export function freezeVerb(parts: SiteParts): Verb {
  return {
    inspect: async (_want, step) => {
      const view = await parts.view(step);
      if (roleOf(view) !== 'primary') return { state: 'unknown', why: `it is ${roleOf(view)}: there is nothing to freeze` };
      return blocked(view) ? { state: 'done', output: { position: positionOf(view) } } : { state: 'absent', why: 'it takes writes' };
    },
    apply: async (_want, step) => setBlocks(parts, await parts.view(step), true, step),
  };
}

export function thawVerb(parts: SiteParts): Verb {
  return {
    inspect: async (_want, step) => {
      const view = await parts.view(step);
      if (roleOf(view) !== 'primary') return { state: 'unknown', why: `it is ${roleOf(view)}: it must not take writes` };
      const lifted = !view.clusterBlocked && view.indices.every(({ blocks }) => blocks.length === 0);
      return lifted ? { state: 'done', output: {} } : { state: 'absent', why: 'it refuses writes' };
    },
    apply: async (_want, step) => {
      const view = await parts.view(step);
      await requireNoSuccessor(parts, view.epoch, step.signal);
      await setBlocks(parts, view, false, step);
    },
  };
}

async function requireNoSuccessor(parts: SiteParts, epoch: number, signal: AbortSignal): Promise<void> {
  const { context } = parts;
  for (const region of context.sites.keys()) {
    if (region === context.region) continue;
    const view = await tryView(parts.other(region), signal);
    if ('why' in view || roleOf(view) === 'standby' || view.epoch <= epoch) continue;
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${region} was promoted under epoch ${view.epoch}: this site must not take writes again`,
      hint: 'Run holdfast reprotect, so that it follows.',
    });
  }
}

/** For a promotion: what an earlier fence left is taken away. */
export async function liftBlocks(parts: SiteParts, step: StepContext): Promise<JsonObject> {
  const view = await parts.view(step);
  const had = view.clusterBlocked || view.indices.some(({ blocks }) => blocks.length > 0);
  if (had) await setBlocks(parts, view, false, step);
  return { lifted: had };
}
