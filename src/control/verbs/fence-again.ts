/**
 * A fence that had failed and was told to go on: meanwhile the source may have taken writes that nobody had reckoned with. What would be lost is held against the budget of the plan once more before
 * anything is fenced.
 *
 * Invariant: only what is not fenced yet is looked at: once it is, its loss is a fact, and refusing to go on would serve nobody.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Verb } from '../../contracts/verbs.ts';
import type { Plan } from '../../plans/plan.ts';
import { loadExecution } from '../../state/journal.ts';
import { estimateLosses } from '../view.ts';
import { budgetOf, requireWithinBudget } from './check-target.ts';
import type { PlatformParts } from './platform-verb.ts';

export function fenceAgain(parts: PlatformParts, fence: Verb, wasRetried: () => boolean): Verb {
  return {
    inspect: (want, context) => fence.inspect(want, context),
    apply: async (want, context) => {
      if (wasRetried()) await requireBudgetOf(parts, context.executionId);
      await fence.apply(want, context);
    },
  };
}

async function requireBudgetOf(parts: PlatformParts, executionId: string): Promise<void> {
  const { plan } = (await loadExecution<Plan>(parts.store, executionId)).header;
  const checked = plan.steps.find((step) => step.verb === 'check-target')?.want;
  if (checked === undefined || checked.planned === true) return;
  try {
    await requireWithinBudget(parts, plan.to, budgetOf(checked), estimateLosses(await parts.view(), plan.to));
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'LOSS_OVER_BUDGET') throw thrown;
    throw fail('LOSS_OVER_BUDGET', {
      subject: thrown.subject ?? plan.to,
      message: `since the plan was made it has become more: ${thrown.message}`,
      hint: 'End it with holdfast abort; then fail over with --accept-loss, or not at all.',
    });
  }
}
