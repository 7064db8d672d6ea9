/** The decision as it is at this moment, with the verdict that it rests on: taken by `serve`, shown by `why`. */
import { chooseTarget, computeTargetFaults } from '../watch/readiness.ts';
import type { RegionVerdict } from '../watch/verdict.ts';
import type { Control } from './control.ts';
import { type Decision, decideFailover } from './decide.ts';
import { executionUnderWay } from './executions.ts';
import { estimateLosses, readinessInput } from './view.ts';

export interface DecisionNow {
  readonly decision: Decision;
  readonly verdict: RegionVerdict;
  readonly from: string;
  readonly to: string | undefined;
}

export async function decideNow(control: Control, clockJumpedAtMs: number | undefined): Promise<DecisionNow> {
  const { spec } = control.parts;
  const view = await control.view();
  const from = view.platform.activeRegion;
  const to = chooseTarget(spec, from);
  const verdict = await control.verdict(from);
  const decision = decideFailover({
    nowMs: view.nowMs,
    policy: spec.failover,
    verdict,
    target: to,
    targetFaults: to ? computeTargetFaults(to, readinessInput(view)) : [],
    estimatedLossMs: to ? estimateLosses(view, to) : new Map(),
    changedAtMs: view.platform.changedAtMs,
    underWay: await executionUnderWay(control),
    clockJumpedAtMs,
  });
  return { decision, verdict, from, to };
}
