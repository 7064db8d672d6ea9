/** The decision as it is at this moment, with the verdict that it rests on: taken by `serve`, shown by `why`. */
import { chooseTarget, computeTargetFaults } from '../watch/readiness.ts';
import type { RegionVerdict } from '../watch/verdict.ts';
import type { Control } from './control.ts';
import { type Decision, decideFailover } from './decide.ts';
import { readPlatformSlot, type Slot } from './executions.ts';
import { estimateLosses, readinessInput, type ViewParts } from './view.ts';

export interface DecisionNow {
  readonly decision: Decision;
  readonly verdict: RegionVerdict;
  readonly from: string;
  readonly to: string | undefined;
  /** What the decision rests on: whoever acts on it need not read it again. */
  readonly view: ViewParts;
  readonly slot: Slot;
}

export async function decideNow(control: Control, clockJumpedAtMs: number | undefined): Promise<DecisionNow> {
  const { spec } = control.parts;
  // The state may be far away: what does not need each other's answers is asked at once.
  const expected = control.watch.activeRegion;
  const [view, slot, guessed] = await Promise.all([
    control.view(),
    readPlatformSlot(control),
    expected === undefined ? undefined : control.verdict(expected),
  ]);
  const from = view.platform.activeRegion;
  const to = chooseTarget(spec, from);
  const verdict = guessed?.region === from ? guessed : await control.verdict(from);
  const decision = decideFailover({
    nowMs: view.nowMs,
    policy: spec.failover,
    verdict,
    target: to,
    targetFaults: to ? computeTargetFaults(to, readinessInput(view)) : [],
    estimatedLossMs: to ? estimateLosses(view, to) : new Map(),
    changedAtMs: view.platform.changedAtMs,
    underWay: slot.underWay,
    clockJumpedAtMs,
  });
  return { decision, verdict, from, to, view, slot };
}
