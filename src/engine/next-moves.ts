/**
 * What an execution does next: pure, from the plan, the state that the journal amounts to and the steps that are in hand at this moment.
 *
 * Invariants: a step starts only when all that it comes after is done, skipped, or failed with `continue`; an undo starts only when no step is in hand and every undo of
 * what came after it is over; nothing new starts while paused, halted or aborting; what the journal says is running and nobody has in hand (its runner died) is taken up
 * first, in every case.
 */
import type { Plan, Step } from '../plans/plan.ts';
import { type ExecutionState, isBroken, isHalted, type StepState } from '../state/execution-state.ts';
import type { Outcome } from '../state/journal-events.ts';

export type Direction = 'step' | 'undo';

export interface Move {
  readonly direction: Direction;
  readonly stepId: string;
  /** full: bring the wanted state about · settle: only find out whether it holds */
  readonly manner: 'full' | 'settle';
}

export interface NextMoves {
  readonly start: readonly Move[];
  /** A failed step's policy asks for it; the text says which. */
  readonly rollBack?: string;
  /** Nothing is left to do. */
  readonly finish?: Outcome;
  /** Nothing will happen until somebody asks for something. */
  readonly halted: boolean;
}

export interface PlanGraph {
  readonly plan: Plan;
  readonly place: ReadonlyMap<string, number>;
  /** The places of the steps that come directly after each step. */
  readonly followers: readonly (readonly number[])[];
}

export function planGraph(plan: Plan): PlanGraph {
  const place = new Map(plan.steps.map((step, index) => [step.id, index]));
  const followers: number[][] = plan.steps.map(() => []);
  plan.steps.forEach((step, index) => {
    for (const before of new Set(step.after)) followers[place.get(before) ?? -1]?.push(index);
  });
  return { plan, place, followers };
}

const nothing: NextMoves = { start: [], halted: false };

/** `inHand` counts only what takes one of the plan's parallel places. */
export function nextMoves(graph: PlanGraph, state: ExecutionState, inHand: ReadonlySet<string>): NextMoves {
  if (state.outcome !== undefined) return nothing;
  const takenOver = movesTakenOver(state, inHand);
  if (takenOver.length > 0) return { start: takenOver, halted: false };
  const busy = inHand.size > 0;
  if (state.aborting) return busy ? nothing : { ...nothing, finish: state.rollingBack ? 'failed' : 'aborted' };
  if (state.rollingBack) return movesBack(graph, state, inHand);
  const because = graph.plan.steps.find((step, index) => step.onFailure === 'roll-back' && isBroken(state.steps[index] as StepState));
  if (because) return { ...nothing, rollBack: `step "${because.id}" failed` };
  const givenUp = graph.plan.steps.some((step, index) => step.onFailure === 'give-up' && isBroken(state.steps[index] as StepState));
  if (givenUp) return busy ? nothing : { ...nothing, finish: 'failed' };
  if (isHalted(graph.plan, state)) return { start: [], halted: !busy };
  if (state.paused) return nothing;
  return movesForward(graph, state, inHand);
}

function movesTakenOver(state: ExecutionState, inHand: ReadonlySet<string>): readonly Move[] {
  const moves: Move[] = [];
  const ending = state.aborting !== undefined || state.rollingBack !== undefined;
  for (const step of state.steps) {
    if (inHand.has(step.id)) continue;
    if (step.status === 'running') moves.push({ direction: 'step', stepId: step.id, manner: ending ? 'settle' : 'full' });
    if (step.undo?.status === 'running') moves.push({ direction: 'undo', stepId: step.id, manner: state.aborting ? 'settle' : 'full' });
  }
  return moves;
}

function movesForward(graph: PlanGraph, state: ExecutionState, inHand: ReadonlySet<string>): NextMoves {
  const { plan, place } = graph;
  const isOver = (id: string) => {
    const index = place.get(id) ?? -1;
    const before = state.steps[index];
    return (
      before !== undefined &&
      (before.status === 'done' || before.status === 'skipped' || (isBroken(before) && plan.steps[index]?.onFailure === 'continue'))
    );
  };
  let free = plan.parallel - countPlaces(graph, inHand);
  const start: Move[] = [];
  let open = false;
  for (const [index, step] of plan.steps.entries()) {
    const status = state.steps[index]?.status;
    if (status === 'running') open = true;
    if (status !== 'waiting') continue;
    open = true;
    if (!step.after.every(isOver)) continue;
    if (!takesPlace(step)) start.push({ direction: 'step', stepId: step.id, manner: 'full' });
    else if (free > 0) {
      free -= 1;
      start.push({ direction: 'step', stepId: step.id, manner: 'full' });
    }
  }
  return open ? { start, halted: false } : { ...nothing, finish: 'done' };
}

/** People take their time: an approval that is waited for keeps nothing else from running. */
function takesPlace(step: Step): boolean {
  return step.verb !== 'approve';
}

function countPlaces(graph: PlanGraph, inHand: ReadonlySet<string>): number {
  let count = 0;
  for (const id of inHand) {
    const step = graph.plan.steps[graph.place.get(id) ?? -1];
    if (step && takesPlace(step)) count += 1;
  }
  return count;
}

/** Has an undo, and was done or may have been. */
export function needsUndo(step: Step, progress: StepState): boolean {
  return step.undo !== undefined && (progress.status === 'done' || progress.mayHaveTakenEffect);
}

function movesBack(graph: PlanGraph, state: ExecutionState, inHand: ReadonlySet<string>): NextMoves {
  const { plan, followers } = graph;
  if (state.steps.some((step) => step.status === 'running')) return nothing;
  if (isHalted(plan, state)) return { start: [], halted: inHand.size === 0 };
  const isOpen = plan.steps.map((step, index) => {
    const progress = state.steps[index] as StepState;
    return needsUndo(step, progress) && progress.undo?.status !== 'done' && progress.undo?.status !== 'skipped';
  });
  if (!isOpen.includes(true)) return { ...nothing, finish: 'rolled-back' };
  if (state.paused) return nothing;
  // Whether anything that comes after a step, near or far, is still to be undone.
  const blocked = new Map<number, boolean>();
  const isBlocked = (index: number): boolean => {
    const known = blocked.get(index);
    if (known !== undefined) return known;
    const answer = (followers[index] ?? []).some((follower) => isOpen[follower] || isBlocked(follower));
    blocked.set(index, answer);
    return answer;
  };
  const ready = plan.steps.filter((step, index) => isOpen[index] && !inHand.has(step.id) && !isBlocked(index));
  const start = ready
    .slice(0, Math.max(0, plan.parallel - inHand.size))
    .map((step): Move => ({ direction: 'undo', stepId: step.id, manner: 'full' }));
  return { start, halted: false };
}
