/**
 * A fence of an unplanned change, and what would be lost by it: between the check of the target and the proof of the fence the source may take writes that nobody had reckoned with, be it because
 * the fence was waited for, because it had failed and was told to go on, or because whoever began the change died and another one goes on.
 *
 * Invariants: what was acknowledged by the proof of the fence is final, and is held against the budget of the plan then, before anything is promoted; unless people approved of what the plan loses.
 * Refused there, nothing was promoted: ended, the change takes its bar away, and the source can serve again with all that it has. One that was told to try again is refused before it is fenced.
 * When the process dies in between, whoever goes on finds the fence done, and holds it against the budget anew.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Inspection, Verb } from '../../contracts/verbs.ts';
import type { Plan } from '../../plans/plan.ts';
import { loadExecution } from '../../state/journal.ts';
import { siteKey } from '../../watch/site-key.ts';
import { estimateLosses } from '../view.ts';
import { budgetOf, requireWithinBudget } from './check-target.ts';
import { readCanariesAnew } from './look-anew.ts';
import type { PlatformParts } from './platform-verb.ts';

export function fenceWithinBudget(parts: PlatformParts, fence: Verb, wasRetried: () => boolean): Verb {
  const held = async <T extends Inspection>(seen: T, executionId: string): Promise<T> => {
    const isDone = seen.state === 'done';
    if (isDone) await requireBudget(parts, executionId, 'ended');
    return seen;
  };
  return {
    inspect: async (want, context) => held(await fence.inspect(want, context), context.executionId),
    apply: async (want, context) => {
      if (wasRetried()) await requireBudget(parts, context.executionId, 'open');
      const applied = await fence.apply(want, context);
      return applied && held(applied, context.executionId);
    },
  };
}

/** @param source `ended`: no row is acknowledged there any more */
async function requireBudget(parts: PlatformParts, executionId: string, source: 'open' | 'ended'): Promise<void> {
  // The state may be far away: what does not need each other's answers is asked at once.
  const [{ header }] = await Promise.all([
    loadExecution<Plan>(parts.store, executionId),
    source === 'ended' ? readCanariesAnew(parts) : undefined,
  ]);
  const { plan } = header;
  const checked = plan.steps.find((step) => step.verb === 'check-target')?.want;
  if (checked === undefined || checked.planned === true) return;
  const [isAccepted, isApproved] = [budgetOf(checked) === Number.POSITIVE_INFINITY, plan.steps.some((step) => step.verb === 'approve')];
  if (source === 'ended' && (isAccepted || isApproved || !isAnyBehind(parts, plan.to))) return;
  const losses = estimateLosses(await parts.view(), plan.to);
  const asked = source === 'open' ? losses : new Map([...losses].filter(([component]) => isBehind(parts, component, plan.to)));
  try {
    await requireWithinBudget(parts, plan.to, budgetOf(checked), asked);
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'LOSS_OVER_BUDGET') throw thrown;
    throw fail('LOSS_OVER_BUDGET', {
      subject: thrown.subject ?? plan.to,
      message: `since the plan was made it has become more: ${thrown.message}`,
      hint: 'End it with holdfast abort; then fail over with --accept-loss, or not at all.',
    });
  }
}

const isAnyBehind = (parts: PlatformParts, target: string) =>
  [...parts.watch.acknowledged.keys()].some((component) => isBehind(parts, component, target));

/** Where the newest acknowledged row has arrived, nothing has come on top of what was checked. */
function isBehind({ watch }: PlatformParts, component: string, target: string): boolean {
  const acknowledged = watch.acknowledged.get(component);
  const there = watch.standbyCanaries.get(siteKey(component, target));
  return acknowledged !== undefined && (there === undefined || there.number < acknowledged.number);
}
