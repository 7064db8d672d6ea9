/**
 * Whose local hands it takes for what an execution has yet to do. Where they are those of another controller, that one goes on with it: one that took it up here would end its step with a
 * failure that says nothing of the systems. Where no controller stands beside those hands, it is taken up all the same, so that people hear of what is missing. Changes nothing.
 */
import { fail } from '../base/errors.ts';
import type { SiteVerb } from '../contracts/verbs.ts';
import type { Plan, Step } from '../plans/plan.ts';
import { loadExecution } from '../state/journal.ts';
import { siteKey } from '../watch/site-key.ts';
import type { Control } from './control.ts';

/** `anyone`: it takes no local hands; `here`: only ours; else the region whose controller it takes. */
export type HandsNeeded = 'anyone' | 'here' | { readonly region: string };

export async function localHandsNeeded(control: Control, id: string): Promise<HandsNeeded> {
  const { store, spec } = control.parts;
  if (!spec.state) return 'anyone';
  const { header, state } = await loadExecution<Plan>(store, id);
  const open = state.steps.filter(({ status, undo }) =>
    state.rollingBack ? undo?.status !== 'done' : status !== 'done' && status !== 'skipped',
  );
  return handsNeededFor(control, header.plan, new Set(open.map((step) => step.id)));
}

/** The same of a plan of which these steps are yet to be done: all of them, where it has not been begun. */
export function handsNeededFor(control: Control, plan: Plan, open?: ReadonlySet<string>): HandsNeeded {
  const { spec, region: own } = control.parts;
  if (!spec.state) return 'anyone';
  const mayFail = new Set(plan.steps.filter((step) => step.onFailure === 'continue').map((step) => step.id));
  let needed: HandsNeeded = 'anyone';
  for (const step of plan.steps) {
    const { verb } = step;
    const { component, region } = placeOf(step);
    if (open?.has(step.id) === false || component === undefined || region === undefined || mayFail.has(step.id)) continue;
    if (!takesLocalHands(control, component, region, verb)) continue;
    if (region === own) needed = 'here';
    else if (!control.sites.get(siteKey(component, region))?.verbs[verb as SiteVerb]) return { region };
  }
  return needed;
}

/** A site that is brought back is named in what is wanted: the repository and the scratch directory are the controller's. */
function placeOf(step: Step): Pick<Step, 'component' | 'region'> {
  if (step.verb !== 'restore-site') return step;
  return { component: String(step.want.component), region: String(step.want.region) };
}

function takesLocalHands({ parts: { spec, catalog } }: Control, component: string, region: string, verb: string): boolean {
  const of = spec.components.get(component);
  if (of?.sites.get(region)?.hands?.kind !== 'local' || !spec.controllers.regions.includes(region)) return false;
  if (verb === 'restore-site') return true;
  return catalog.get(of.driver)?.verbs.some((each) => each.verb === verb && each.needsHands) === true;
}

/** PLAN_IMPOSSIBLE for a plan that no controller could run from its beginning to its end. */
export function requireOneRunner(control: Control, plan: Plan): void {
  if (!control.parts.spec.state) return;
  const regions = new Set<string>();
  for (const step of plan.steps) {
    const { verb, onFailure } = step;
    const { component, region } = placeOf(step);
    if (component !== undefined && region !== undefined && onFailure !== 'continue' && takesLocalHands(control, component, region, verb))
      regions.add(region);
  }
  if (regions.size < 2) return;
  throw fail('PLAN_IMPOSSIBLE', {
    message: `the plan takes local hands in ${[...regions].join(' and in ')}, and no controller has both`,
    hint: 'Give the sites of one of these regions ssh hands, which every controller can use.',
  });
}
