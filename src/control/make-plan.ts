/** Compiles a plan for what is asked, from a look taken now. */
import { fail } from '../base/errors.ts';
import { compileFailover } from '../plans/compile-failover.ts';
import { compileReprotect } from '../plans/compile-reprotect.ts';
import { compileSwitchover } from '../plans/compile-switchover.ts';
import type { Plan } from '../plans/plan.ts';
import type { Spec } from '../spec/spec.ts';
import { chooseTarget } from '../watch/readiness.ts';
import { siteKey } from '../watch/site-key.ts';
import { computeSiteState } from '../watch/verdict.ts';
import { refuseBehind } from './break-glass/refuse-behind.ts';
import type { Control } from './control.ts';
import { estimateLosses, situationOf, type ViewParts } from './view.ts';

export type PlanRequest =
  | {
      readonly kind: 'failover';
      readonly from?: string | undefined;
      readonly to?: string | undefined;
      /** Milliseconds accepted beyond the budget; `any` also accepts an unproven loss. */
      readonly acceptLoss?: number | 'any' | undefined;
      readonly onVerdict?: boolean;
      readonly because: string;
    }
  | { readonly kind: 'switchover'; readonly to?: string | undefined; readonly because: string }
  | { readonly kind: 'failback'; readonly because: string }
  | { readonly kind: 'reprotect'; readonly region?: string | undefined; readonly because: string };

function regionNamed(spec: Spec, name: string): string {
  const region = spec.regions.get(name);
  if (!region || region.role === 'witness') {
    const known = [...spec.regions.values()].filter((each) => each.role !== 'witness').map((each) => each.name);
    throw fail('NOT_FOUND', {
      subject: name,
      message: `there is no region "${name}" that carries components`,
      hint: `The regions are ${known.join(', ')}.`,
    });
  }
  return name;
}

function otherRegion(spec: Spec, region: string): string {
  const target = chooseTarget(spec, region);
  if (!target) throw fail('PLAN_IMPOSSIBLE', { message: `there is no region besides ${region} to go to` });
  return target;
}

function homeRegion(spec: Spec): string {
  for (const region of spec.regions.values()) if (region.role === 'active') return region.name;
  throw fail('PLAN_IMPOSSIBLE', { message: 'the spec names no active region' });
}

function planFailover(view: ViewParts, request: PlanRequest & { kind: 'failover' }): Plan {
  const { spec, platform } = view;
  const from = regionNamed(spec, request.from ?? platform.activeRegion);
  if (from !== platform.activeRegion)
    throw fail('EXECUTION_NOT_ALLOWED', {
      subject: from,
      message: `${from} is not the active region; ${platform.activeRegion} is`,
      hint: `Leave --from out, or name ${platform.activeRegion}.`,
    });
  const to = regionNamed(spec, request.to ?? otherRegion(spec, from));
  if (to === from) throw fail('USAGE', { message: `${to} is the active region already` });
  const budgetMs = spec.failover.lossBudgetMs;
  const accepted = request.acceptLoss === 'any' ? Number.POSITIVE_INFINITY : (request.acceptLoss ?? budgetMs);
  const over = [...estimateLosses(view, to).values()].some((lossMs) => lossMs === undefined || lossMs > budgetMs);
  return compileFailover(spec, situationOf(view, to), {
    from,
    to,
    onVerdict: request.onVerdict === true,
    // Without people who approve, what is found when it runs must be within the budget too, whatever was accepted.
    budgetMs: over ? accepted : Math.min(accepted, budgetMs),
    approvals: over && accepted > budgetMs ? spec.failover.approvals : 0,
    because: request.because,
  });
}

function planSwitchover(view: ViewParts, to: string, kind: 'switchover' | 'failback', because: string): Plan {
  const from = view.platform.activeRegion;
  if (to === from)
    throw fail('EXECUTION_NOT_ALLOWED', { subject: to, message: `${to} is the active region already`, hint: 'There is nothing to do.' });
  return compileSwitchover(view.spec, situationOf(view, to), { from, to, because, kind });
}

/** Re-protection copies from the active region: without that there is nothing to salvage against and nothing to follow, and steps would only wait. */
function requireActiveUp({ spec, platform, watch }: ViewParts): void {
  for (const component of spec.components.values()) {
    if (component.kind !== 'data' || !component.sites.has(platform.activeRegion)) continue;
    const observation = watch.observations.get(siteKey(component.name, platform.activeRegion));
    // One slow answer is no reason to refuse: the steps look again.
    const down = computeSiteState(observation, spec.watch.failures) === 'down';
    if (!down && observation?.role !== 'standby') continue;
    const state = down ? `down: ${observation?.evidence.detail}` : 'a standby';
    throw fail('PLAN_IMPOSSIBLE', {
      subject: component.name,
      message: `${component.name} in ${platform.activeRegion}, the active region, is ${state}; there is nothing that another region could follow`,
      hint: `Bring it back first, or move away from ${platform.activeRegion} with holdfast failover.`,
    });
  }
}

/** @param known a view that was taken a moment ago */
export async function makePlan(control: Control, request: PlanRequest, known?: ViewParts): Promise<Plan> {
  const view = known ?? (await control.view());
  const { spec, platform } = view;
  // Only a state that several share can be gone while its systems go on.
  if (spec.state) await refuseBehind(control, platform.epoch, request.kind === 'failover' ? platform.activeRegion : undefined);
  if (request.kind === 'failover') return planFailover(view, request);
  if (request.kind === 'switchover')
    return planSwitchover(view, regionNamed(spec, request.to ?? otherRegion(spec, platform.activeRegion)), 'switchover', request.because);
  if (request.kind === 'failback') return planSwitchover(view, homeRegion(spec), 'failback', request.because);
  const returning = regionNamed(spec, request.region ?? otherRegion(spec, platform.activeRegion));
  if (returning === platform.activeRegion)
    throw fail('EXECUTION_NOT_ALLOWED', {
      subject: returning,
      message: `${returning} is the active region; it can't be made a standby of itself`,
      hint: 'Name the region that lost its role.',
    });
  requireActiveUp(view);
  return compileReprotect(spec, situationOf(view, platform.activeRegion), {
    active: platform.activeRegion,
    returning,
    // A name of its own each time: a second attempt must not write over what the first one kept, and components of several system users can't share a parent.
    salvagePrefix: `${spec.failover.salvageDirectory}/holdfast-salvage-${spec.name}-epoch-${platform.epoch}-${view.nowMs}`,
    because: request.because,
  });
}
