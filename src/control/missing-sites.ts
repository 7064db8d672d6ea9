/**
 * Whether the spec still has every site that an execution has yet to work on. Found out before anything of it is run: a spec that was changed since, or the wrong file, must not turn a
 * change under way into a failed one, nor start a roll-back that can't be ended either.
 */
import { fail, type HoldfastError } from '../base/errors.ts';
import { loadExecution } from '../state/journal.ts';
import { siteKey } from '../watch/site-key.ts';
import type { Control } from './control.ts';

/** The refusal to go on with it under this spec; undefined where nothing is missing. */
export async function missingSites(control: Control, id: string): Promise<HoldfastError | undefined> {
  const { state } = await loadExecution(control.parts.store, id);
  const missing = new Set<string>();
  for (const { component, region, status, undo } of state.steps) {
    const over = state.rollingBack ? undo?.status === 'done' : status === 'done' || status === 'skipped';
    if (over || component === undefined || region === undefined) continue;
    if (!control.sites.has(siteKey(component, region))) missing.add(`${component} in ${region}`);
  }
  if (missing.size === 0) return undefined;
  return fail('EXECUTION_NOT_ALLOWED', {
    subject: id,
    message: `${id} has yet to work on ${[...missing].join(', ')}, which the spec does not have`,
    hint: 'Nothing was done. Give the spec that it was begun with, or end it as it is with holdfast abort.',
  });
}
