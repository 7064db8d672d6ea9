/**
 * Refuses a plan that was made for the platform as it was before another change: a person may have looked at it for a while. The steps of such a plan name regions by the roles that they
 * had; a re-protection would then fence the region that has become the active one.
 *
 * Invariant: asked after the slot of the platform was read, and before it is claimed by compare-and-swap: in between nothing can change the epoch. Changes nothing.
 */
import { fail } from '../base/errors.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { isBackupPlan, type Plan } from '../plans/plan.ts';
import { readPlatformState } from '../state/platform-state.ts';

export async function requireCurrent(store: StateStore, plan: Plan): Promise<void> {
  if (isBackupPlan(plan.kind)) return;
  const state = (await readPlatformState(store))?.state;
  const madeForEpoch = plan.steps.some((step) => step.verb === 'advance-epoch') ? plan.epoch - 1 : plan.epoch;
  if (state === undefined || state.epoch === madeForEpoch) return;
  throw fail('EXECUTION_NOT_ALLOWED', {
    message: `the platform is at epoch ${state.epoch}${state.epochOwner ? ` (${state.epochOwner})` : ''}; this plan was made at epoch ${madeForEpoch}`,
    hint: 'Something was changed since the plan was made. Make a new one.',
  });
}
