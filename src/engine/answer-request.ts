/**
 * What the runner answers to a request: pure. Every request gets one answer, accepted or refused with the reason, and what follows from it is journalled in the same commit.
 *
 *   pause       refused when paused or ending already
 *   resume      refused unless paused
 *   abort       refused while a roll-back makes progress: it is on the way to a known state. When an undo has failed it ends the execution as `failed`
 *   roll-back   refused when rolling back or aborting already; resumes a paused execution
 *   retry       of a failed or uncertain step (of its undo, when rolling back); without a step, of all of them
 *   skip        of a step that is not running and not over; never of one that safety rests on
 *   approve     once per name and approval step
 *   fence-word  completes the fence step of that site, whatever became of it, unless it is done
 * Requests are answered one after another, so of two that exclude each other the first wins and the second is told why.
 */
import type { Plan } from '../plans/plan.ts';
import { type ExecutionState, isBroken, isHalted, type StepState } from '../state/execution-state.ts';
import type { EventBody, ExecutionRequest } from '../state/journal-events.ts';
import type { PendingRequest } from '../state/requests.ts';
import { sameName } from './approve-verb.ts';
import { needsUndo } from './next-moves.ts';

/** Skipping one of these would leave out what keeps the data safe. A fence is completed by a person's word; the others must hold. */
export const verbsNeverSkipped: ReadonlySet<string> = new Set([
  'fence',
  'approve',
  'confirm-verdict',
  'check-target',
  'advance-epoch',
  'set-active',
]);

export interface Answer {
  readonly events: readonly EventBody[];
  readonly accepted: boolean;
}

type Verdict = { readonly follows: readonly EventBody[] } | { readonly refused: string };

export function answerRequest(plan: Plan, state: ExecutionState, pending: PendingRequest, nowMs: number): Answer {
  const verdict = judgeAnything(plan, state, pending.request, nowMs);
  const accepted = 'follows' in verdict;
  const requested: EventBody = {
    type: 'requested',
    data: { requestId: pending.requestId, request: pending.request, accepted, ...(accepted ? {} : { why: verdict.refused }) },
  };
  return { accepted, events: [requested, ...(accepted ? verdict.follows : [])] };
}

/** A request may come from another version, or by hand: what can't be understood is refused, and must not end the run. */
function judgeAnything(plan: Plan, state: ExecutionState, request: ExecutionRequest, nowMs: number): Verdict {
  try {
    if (typeof request.by !== 'string' || request.by.trim() === '') return { refused: 'it does not say who asks' };
    return (
      judge(plan, state, request, nowMs) ?? {
        refused: `"${String((request as { kind: unknown }).kind)}" is not a request that this version understands`,
      }
    );
  } catch (error) {
    return { refused: `it can not be understood: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function judge(plan: Plan, state: ExecutionState, request: ExecutionRequest, nowMs: number): Verdict | undefined {
  if (state.outcome !== undefined) return { refused: `the execution is over (${state.outcome})` };
  switch (request.kind) {
    case 'pause':
      if (state.aborting) return { refused: 'the execution is being aborted' };
      return state.paused
        ? { refused: `${state.paused.by} has paused it already` }
        : { follows: [{ type: 'paused', data: { by: request.by } }] };
    case 'resume':
      return state.paused ? { follows: [{ type: 'resumed', data: { by: request.by } }] } : { refused: 'it is not paused' };
    case 'abort':
      if (state.aborting) return { refused: `${state.aborting.by} has aborted it already` };
      if (state.rollingBack && !isHalted(plan, state))
        return { refused: 'it is rolling back, which brings it to a known state; it can be aborted only if an undo fails' };
      return { follows: [] };
    case 'roll-back':
      if (state.aborting) return { refused: `${state.aborting.by} has aborted it already` };
      if (state.rollingBack) return { refused: 'it is rolling back already' };
      // Undoing a fence beside a site that was promoted would make two primaries.
      if (state.steps.some((step) => step.verb === 'promote' && (step.status === 'done' || step.mayHaveTakenEffect)))
        return {
          refused:
            'a site has been promoted, or may have been: what was fenced for that must stay fenced. Move back with holdfast failback',
        };
      // Who asks for it wants it to happen, also where it was paused before.
      return {
        follows: [
          ...(state.paused ? [{ type: 'resumed', data: { by: request.by } } as const] : []),
          { type: 'rolling-back', data: { because: request.reason ?? `${request.by} asked for it`, by: request.by } },
        ],
      };
    case 'retry':
      return judgeRetry(state, request);
    case 'skip':
      return judgeSkip(plan, state, request);
    case 'approve':
      return judgeApproval(state, request);
    case 'fence-word':
      return judgeFenceWord(state, request, nowMs);
    case 'remark':
      return { follows: [{ type: 'remark', data: { by: request.by, text: request.text } }] };
    default:
      return undefined;
  }
}

function judgeRetry(state: ExecutionState, request: ExecutionRequest & { readonly kind: 'retry' }): Verdict {
  if (state.aborting) return { refused: 'the execution is being aborted' };
  const direction = (step: StepState) => (state.rollingBack ? step.undo : step);
  const meant = state.steps.filter((step) => request.stepId === undefined || step.id === request.stepId);
  if (meant.length === 0) return { refused: `the plan has no step "${request.stepId}"` };
  const broken = meant.filter((step) => {
    const progress = direction(step);
    return progress !== undefined && isBroken(progress);
  });
  if (broken.length > 0) return { follows: [] };
  return { refused: request.stepId === undefined ? 'no step has failed' : `step "${request.stepId}" has not failed` };
}

function judgeSkip(plan: Plan, state: ExecutionState, request: ExecutionRequest & { readonly kind: 'skip' }): Verdict {
  if (request.reason.trim() === '') return { refused: 'skipping a step needs a reason' };
  if (state.aborting) return { refused: 'the execution is being aborted' };
  const place = plan.steps.findIndex((step) => step.id === request.stepId);
  const step = plan.steps[place];
  const now = state.steps[place];
  if (!step || !now) return { refused: `the plan has no step "${request.stepId}"` };
  const data = { by: request.by, reason: request.reason };
  if (state.rollingBack) {
    const status = now.undo?.status ?? 'waiting';
    if (!needsUndo(step, now)) return { refused: `step "${step.id}" has nothing to undo` };
    if (status === 'running' || status === 'done' || status === 'skipped') return { refused: `the undo of step "${step.id}" is ${status}` };
    return { follows: [{ type: 'undo-skipped', stepId: step.id, data }] };
  }
  if (now.status === 'running' || now.status === 'done' || now.status === 'skipped')
    return { refused: `step "${step.id}" is ${now.status}` };
  if (step.verb === 'fence')
    return {
      refused: `step "${step.id}" can not be skipped: without a fence two sites may take writes. Somebody who has made sure can say so instead (--fenced-by NAME)`,
    };
  if (verbsNeverSkipped.has(step.verb))
    return { refused: `step "${step.id}" can not be skipped: ${step.verb} is what keeps the data safe` };
  return { follows: [{ type: 'step-skipped', stepId: step.id, data }] };
}

function judgeApproval(state: ExecutionState, request: ExecutionRequest & { readonly kind: 'approve' }): Verdict {
  const open = (step: StepState) => step.verb === 'approve' && step.status !== 'done';
  const step = state.steps.find((one) => (request.stepId === undefined ? open(one) : one.id === request.stepId));
  if (!step) return { refused: request.stepId === undefined ? 'no approval is open' : `the plan has no step "${request.stepId}"` };
  if (!open(step)) return { refused: `step "${step.id}" is not an open approval` };
  if (state.approvals.some((one) => one.stepId === step.id && sameName(one.by, request.by)))
    return { refused: `${request.by} has approved already; it needs different people` };
  return {
    follows: [
      {
        type: 'approved',
        stepId: step.id,
        data: { by: request.by.trim(), ...(request.comment === undefined ? {} : { comment: request.comment }) },
      },
    ],
  };
}

/** The fence steps of that site that a person's word would complete. */
function fenceSteps(state: ExecutionState, request: ExecutionRequest & { readonly kind: 'fence-word' }): readonly StepState[] {
  return state.steps.filter(
    (step) => step.verb === 'fence' && step.component === request.component && step.region === request.region && step.status !== 'done',
  );
}

function judgeFenceWord(state: ExecutionState, request: ExecutionRequest & { readonly kind: 'fence-word' }, nowMs: number): Verdict {
  if (state.aborting || state.rollingBack) return { refused: 'the execution is ending' };
  const steps = fenceSteps(state, request);
  if (steps.length === 0) return { refused: `no fence of ${request.component} in ${request.region} is open` };
  // A step in hand is completed when it has ended: an apply is not cut.
  const follows = steps.filter((step) => step.status !== 'running').map((step): EventBody => fenceWordDone(step.id, request, nowMs));
  return { follows };
}

/** The step's end by a person's word. */
export function fenceWordDone(stepId: string, request: ExecutionRequest & { readonly kind: 'fence-word' }, nowMs: number): EventBody {
  const evidence = `${request.by} says that ${request.component} in ${request.region} can not acknowledge writes${request.comment === undefined ? '' : `: ${request.comment}`}`;
  return {
    type: 'step-done',
    stepId,
    data: { output: { proof: 'person', evidence, sinceMs: nowMs, by: request.by }, tookMs: 0, effect: 'person' },
  };
}

/** The word that has been given for a running fence step, if any: it outlives the runner that accepted it. */
export function fenceWordFor(state: ExecutionState, step: StepState): (ExecutionRequest & { readonly kind: 'fence-word' }) | undefined {
  if (step.verb !== 'fence') return undefined;
  for (const { request, accepted } of state.requests)
    if (accepted && request.kind === 'fence-word' && request.component === step.component && request.region === step.region) return request;
  return undefined;
}
