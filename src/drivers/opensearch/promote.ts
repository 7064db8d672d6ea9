/**
 * promote: every follower index becomes an index that takes writes, by `_stop`; rules that would make followers of them again go first.
 *
 * Invariants: refused under a lower epoch than the one in the data. An index that is still bootstrapping is never stopped, for that deletes it; one that is no follower is never stopped
 * either, for that closes it for a moment. The epoch is written last, so that an unrecorded epoch means that all of it may be done again.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { ensureDatasetName, writeEpoch } from './canary.ts';
import { type ClusterView, isWriteBlocked, positionOf, roleOf } from './cluster-view.ts';
import { liftBlocks } from './fence.ts';
import type { SiteParts } from './parts.ts';
import { readAutofollowRules, readStatus, removeAutofollowRule, stop } from './replication-api.ts';

export function promoteVerb(parts: SiteParts): Verb {
  return { inspect: (want, step) => inspect(parts, want, step), apply: (want, step) => apply(parts, want, step) };
}

function requireEpoch(parts: SiteParts, view: ClusterView, want: JsonObject): number {
  const epoch = Number(want.epoch);
  if (view.epoch <= epoch) return epoch;
  throw fail('EPOCH_SUPERSEDED', {
    message: `${parts.cluster.address} was promoted under epoch ${view.epoch}: an order of epoch ${epoch} comes too late`,
    details: { knownEpoch: view.epoch, epoch },
  });
}

async function inspect(parts: SiteParts, want: JsonObject, step: StepContext): Promise<Inspection> {
  const view = await parts.view(step);
  const epoch = requireEpoch(parts, view, want);
  if (roleOf(view) !== 'primary') return { state: 'absent', why: `it is ${roleOf(view)}` };
  if (isWriteBlocked(view)) return { state: 'absent', why: 'it refuses writes' };
  if (view.epoch < epoch) return { state: 'absent', why: `it takes writes, and epoch ${epoch} is not recorded` };
  return { state: 'done', output: { position: positionOf(view), timeline: epoch } };
}

async function apply(parts: SiteParts, want: JsonObject, step: StepContext): Promise<void> {
  const { cluster, context } = parts;
  const call = cluster.call(step.signal);
  const view = await parts.view(step);
  const epoch = requireEpoch(parts, view, want);
  const missing = view.missing.filter((name) => name !== cluster.options['canary-index']);
  if (missing.length > 0)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${cluster.address} lacks ${missing.join(', ')}: it holds not all of the data`,
      hint: 'Choose another target, or restore a snapshot.',
    });
  const followers = view.indices.filter(({ leaderIndex }) => leaderIndex !== undefined).map(({ name }) => name);
  if (followers.length > 0) {
    // All are looked at before the first is stopped: a promotion that can't be completed is not begun.
    for (const index of followers) {
      const { state } = await readStatus(cluster, index, call);
      if (state === 'bootstrapping')
        throw fail('SYSTEM_WRONG_ROLE', {
          message: `${index} in ${context.region} is still copied from its leader: to stop that would delete it`,
          hint: 'Wait until it has its data, or choose another target.',
        });
    }
    await removeRules(parts, step);
  }
  for (const index of followers) await stop(cluster, index, call);
  await liftBlocks(parts, step);
  await ensureDatasetName(parts, cluster, call);
  await writeEpoch(parts, epoch, call);
}

async function removeRules(parts: SiteParts, step: StepContext): Promise<void> {
  const { cluster, context } = parts;
  const call = cluster.call(step.signal);
  const covers = (pattern: string): boolean => {
    const expression = new RegExp(`^${pattern.split('*').map(escapeText).join('.*')}$`);
    return [...cluster.options.indices, cluster.options['canary-index']].some((index) => expression.test(index));
  };
  for (const { name, pattern } of await readAutofollowRules(cluster, call)) {
    if (!covers(pattern)) continue;
    // A rule belongs to a connection, and the answer does not say to which.
    for (const region of context.sites.keys())
      if (region !== context.region) await removeAutofollowRule(cluster, name, parts.connectionTo(region), call);
    context.host.log.info('opensearch-autofollow-removed', { component: context.component, region: context.region, rule: name });
  }
}

const escapeText = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
