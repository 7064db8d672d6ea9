/**
 * What a journal amounts to. `foldExecution` is pure: the same header and events give the same state in every process, so a runner that takes over knows exactly what
 * the one before it knew durably.
 *
 * A step (and, when the execution rolls back, its undo, in the same way):
 *   waiting   -> running    intent
 *   waiting   -> failed     what it wants could not be worked out
 *   waiting   -> done       a person's fence word
 *   waiting   -> skipped
 *   running   -> running    intent (a further attempt), applied, note
 *   running   -> done | failed | uncertain
 *   failed, uncertain -> waiting (retry) | skipped | done (a person's fence word)
 * An execution:
 *   waiting -> running (started); running <-> paused; running -> waiting-for-approval -> running
 *   running -> failed (a step with policy `stop` failed) -> running (retry, skip, fence word)
 *   any unfinished -> rolling-back (policy or request) -> rolled-back, or failed when an undo fails
 *   any unfinished -> done | aborted | failed | rolled-back (finished). After that only `measured` and `remark`.
 * An event that is none of these is STATE_DAMAGED: the journal is never guessed at.
 */
import { fail } from '../base/errors.ts';
import { hashJson } from '../base/hashing.ts';
import type { Json, JsonObject } from '../base/json.ts';
import {
  checkLink,
  type ExecutionRequest,
  type JournalEvent,
  type JournalledError,
  type Outcome,
  type StepEffect,
  type StepEventBody,
  type UndoEventBody,
} from './journal-events.ts';

/** As much of a plan as the journal has to understand. */
export interface JournalledStep {
  readonly id: string;
  readonly verb: string;
  readonly component?: string;
  readonly region?: string;
  readonly after: readonly string[];
  readonly onFailure: 'stop' | 'continue' | 'roll-back' | 'give-up';
  readonly undo?: { readonly verb: string; readonly want: JsonObject };
}
export interface JournalledPlan {
  readonly kind: string;
  readonly platform: string;
  readonly epoch: number;
  readonly parallel: number;
  readonly steps: readonly JournalledStep[];
}

/** Written whole before the first step, never changed. */
export interface ExecutionHeader<P extends JournalledPlan = JournalledPlan> {
  readonly id: string;
  readonly kind: P['kind'];
  readonly plan: P;
  readonly drill: boolean;
  readonly startedBy: string;
  readonly startedAtMs: number;
  /** Of the spec that the plan was compiled from. */
  readonly specDigest: string;
  readonly reason: string;
}

export type ExecutionStatus =
  | 'waiting'
  | 'running'
  | 'paused'
  | 'waiting-for-approval'
  | 'rolling-back'
  | 'failed'
  | 'done'
  | 'aborted'
  | 'rolled-back';
export type StepStatus = 'waiting' | 'running' | 'done' | 'failed' | 'skipped' | 'uncertain';

/** How far one direction of a step (doing or undoing it) has come. */
export interface StepProgress {
  readonly status: StepStatus;
  /** The resolved want of the newest intent. */
  readonly want?: JsonObject;
  readonly output?: JsonObject;
  readonly note?: Json;
  readonly attempts: number;
  readonly effect?: StepEffect;
  /** Apply was begun, or a runner died where it may have been. */
  readonly mayHaveTakenEffect: boolean;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
  readonly tookMs?: number;
  readonly error?: JournalledError;
  readonly skipped?: { readonly by: string; readonly reason: string };
}

export interface StepState extends StepProgress {
  readonly id: string;
  readonly verb: string;
  readonly component?: string;
  readonly region?: string;
  /** Present once its undo has begun. */
  readonly undo?: StepProgress;
}

export interface Approval {
  readonly stepId: string;
  readonly by: string;
  readonly comment?: string;
  readonly atMs: number;
}

export interface ExecutionState {
  readonly id: string;
  readonly status: ExecutionStatus;
  readonly outcome?: Outcome;
  /** Of the first runner; the header has the time of the request. */
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
  readonly runner?: { readonly holder: string; readonly token: number };
  readonly paused?: { readonly by: string };
  readonly aborting?: { readonly by: string; readonly reason?: string };
  readonly rollingBack?: { readonly because: string; readonly by?: string };
  /** In the plan's order. */
  readonly steps: readonly StepState[];
  readonly approvals: readonly Approval[];
  readonly measured: readonly JsonObject[];
  readonly remarks: readonly { readonly atMs: number; readonly by: string; readonly text: string; readonly stepId?: string }[];
  /** The answers given, oldest first. */
  readonly requests: readonly {
    readonly requestId: string;
    readonly request: ExecutionRequest;
    readonly accepted: boolean;
    readonly why?: string;
    readonly atMs: number;
  }[];
  /** Number and hash of the newest event; 0 and the header's hash before the first. */
  readonly lastSeq: number;
  readonly lastHash: string;
  readonly lastAtMs: number;
}

const untouched: StepProgress = { status: 'waiting', attempts: 0, mayHaveTakenEffect: false };

/** Folds events one by one. Each state it gives is a value of its own, never changed afterwards. */
export class ExecutionFolder {
  readonly #header: ExecutionHeader;
  readonly #index: ReadonlyMap<string, number>;
  #state: ExecutionState;

  constructor(header: ExecutionHeader) {
    this.#header = header;
    this.#index = new Map(header.plan.steps.map((step, place) => [step.id, place]));
    this.#state = {
      id: header.id,
      status: 'waiting',
      steps: header.plan.steps.map((step) => ({
        id: step.id,
        verb: step.verb,
        ...(step.component === undefined ? {} : { component: step.component }),
        ...(step.region === undefined ? {} : { region: step.region }),
        ...untouched,
      })),
      approvals: [],
      measured: [],
      remarks: [],
      requests: [],
      lastSeq: 0,
      lastHash: hashJson(header as unknown as JsonObject),
      lastAtMs: header.startedAtMs,
    };
  }

  get state(): ExecutionState {
    return this.#state;
  }

  /** Undefined for a step that the plan does not have. */
  step(stepId: string): StepState | undefined {
    const place = this.#index.get(stepId);
    return place === undefined ? undefined : this.#state.steps[place];
  }

  /** Throws STATE_DAMAGED when the event is damaged or can not follow, and leaves the state as it was. */
  apply(event: JournalEvent): ExecutionState {
    const before = this.#state;
    checkLink(event, { seq: before.lastSeq, hash: before.lastHash }, before.id);
    const next: ExecutionState = { ...this.#after(before, event), lastSeq: event.seq, lastHash: event.hash, lastAtMs: event.atMs };
    this.#state = { ...next, status: this.#status(next) };
    return this.#state;
  }

  #after(state: ExecutionState, event: JournalEvent): ExecutionState {
    const late = event.type === 'measured' || event.type === 'remark';
    if (state.outcome !== undefined && !late) throw this.#misplaced(event, `the execution is ${state.outcome}`);
    if (event.type.startsWith('step-') || event.type.startsWith('undo-'))
      return this.#afterStep(state, event as StepEventBody & JournalEvent);
    switch (event.type) {
      case 'started':
        if (state.startedAtMs !== undefined) throw this.#misplaced(event, 'it has been started');
        return { ...state, runner: event.data, startedAtMs: event.atMs };
      case 'runner-changed':
        // The runner before may have died inside an apply.
        return { ...state, runner: event.data, steps: state.steps.map(afterRunnerDied) };
      case 'approved':
        if (!this.#index.has(event.stepId)) throw this.#misplaced(event, 'the plan has no such step');
        return { ...state, approvals: [...state.approvals, { stepId: event.stepId, ...event.data, atMs: event.atMs }] };
      case 'requested':
        return this.#afterRequest({ ...state, requests: [...state.requests, { ...event.data, atMs: event.atMs }] }, event);
      case 'paused':
        return { ...state, paused: event.data };
      case 'resumed': {
        const { paused: _paused, ...rest } = state;
        return rest;
      }
      case 'rolling-back':
        if (state.rollingBack) throw this.#misplaced(event, 'it is rolling back already');
        return { ...state, rollingBack: event.data };
      case 'finished':
        return { ...state, outcome: event.data.outcome, endedAtMs: event.atMs };
      case 'measured':
        return { ...state, measured: [...state.measured, event.data] };
      case 'remark':
        return {
          ...state,
          remarks: [...state.remarks, { atMs: event.atMs, ...event.data, ...(event.stepId === undefined ? {} : { stepId: event.stepId }) }],
        };
      default:
        throw this.#misplaced(event, 'its type is not known');
    }
  }

  #afterRequest(state: ExecutionState, event: JournalEvent & { readonly type: 'requested' }): ExecutionState {
    const { request, accepted } = event.data;
    if (!accepted) return state;
    if (request.kind === 'abort')
      return { ...state, aborting: { by: request.by, ...(request.reason === undefined ? {} : { reason: request.reason }) } };
    if (request.kind !== 'retry') return state;
    const meant = (step: StepState) => request.stepId === undefined || step.id === request.stepId;
    return {
      ...state,
      steps: state.steps.map((step) => {
        if (!meant(step)) return step;
        if (state.rollingBack) return step.undo && isBroken(step.undo) ? { ...step, undo: again(step.undo) } : step;
        return isBroken(step) ? again(step) : step;
      }),
    };
  }

  #afterStep(state: ExecutionState, event: (StepEventBody | UndoEventBody) & JournalEvent): ExecutionState {
    const place = this.#index.get(event.stepId);
    const step = place === undefined ? undefined : state.steps[place];
    if (place === undefined || !step) throw this.#misplaced(event, 'the plan has no such step');
    const undoing = event.type.startsWith('undo-');
    if (undoing !== (state.rollingBack !== undefined) && (undoing || event.type === 'step-intent'))
      throw this.#misplaced(event, undoing ? 'it is not rolling back' : 'it is rolling back');
    const after = this.#progress(undoing ? (step.undo ?? untouched) : step, event);
    const steps = [...state.steps];
    steps[place] = undoing ? { ...step, undo: after } : { ...step, ...after };
    return { ...state, steps };
  }

  #progress(now: StepProgress, event: (StepEventBody | UndoEventBody) & JournalEvent): StepProgress {
    const from = (...allowed: StepStatus[]) => {
      if (!allowed.includes(now.status)) throw this.#misplaced(event, `the step is ${now.status}`);
    };
    switch (event.type) {
      case 'step-intent':
      case 'undo-intent':
        from('waiting', 'running');
        return {
          ...now,
          status: 'running',
          want: event.data.want,
          attempts: event.data.attempt,
          startedAtMs: now.status === 'running' ? (now.startedAtMs ?? event.atMs) : event.atMs,
        };
      case 'step-applied':
      case 'undo-applied':
        from('running');
        return { ...now, mayHaveTakenEffect: true };
      case 'step-note':
      case 'undo-note':
        from('running');
        return { ...now, note: event.data.note };
      case 'step-done':
      case 'undo-done':
        if (event.data.effect === 'person') from('waiting', 'running', 'failed', 'uncertain');
        else from('running');
        return {
          ...now,
          status: 'done',
          output: event.data.output,
          effect: event.data.effect,
          endedAtMs: event.atMs,
          tookMs: event.data.tookMs,
          mayHaveTakenEffect: now.mayHaveTakenEffect || event.data.effect === 'applied',
        };
      case 'step-failed':
      case 'undo-failed':
        from('waiting', 'running');
        return {
          ...now,
          status: event.data.uncertain ? 'uncertain' : 'failed',
          error: event.data.error,
          endedAtMs: event.atMs,
          tookMs: event.data.tookMs,
          mayHaveTakenEffect: now.mayHaveTakenEffect || event.data.mayHaveTakenEffect,
        };
      case 'step-skipped':
      case 'undo-skipped':
        from('waiting', 'failed', 'uncertain');
        return { ...now, status: 'skipped', skipped: event.data, endedAtMs: event.atMs };
    }
  }

  #status(state: ExecutionState): ExecutionStatus {
    if (state.outcome !== undefined) return state.outcome;
    if (state.startedAtMs === undefined) return 'waiting';
    if (isHalted(this.#header.plan, state)) return 'failed';
    if (state.paused) return 'paused';
    if (state.rollingBack) return 'rolling-back';
    if (state.steps.some((step) => step.verb === 'approve' && step.status === 'running')) return 'waiting-for-approval';
    return 'running';
  }

  #misplaced(event: JournalEvent, why: string) {
    const what = 'stepId' in event && event.stepId !== undefined ? `${event.type} of "${event.stepId}"` : event.type;
    return fail('STATE_DAMAGED', {
      subject: `execution ${this.#state.id}`,
      message: `event ${event.seq} (${what}) can not stand where it stands: ${why}`,
    });
  }
}

function afterRunnerDied(step: StepState): StepState {
  if (step.status === 'running' && !step.mayHaveTakenEffect) return { ...step, mayHaveTakenEffect: true };
  if (step.undo?.status === 'running' && !step.undo.mayHaveTakenEffect)
    return { ...step, undo: { ...step.undo, mayHaveTakenEffect: true } };
  return step;
}

function again<T extends StepProgress>(progress: T): T {
  const { error: _error, endedAtMs: _endedAtMs, ...rest } = progress;
  return { ...rest, status: 'waiting' } as unknown as T;
}

/** Ended, and not as it should. */
export function isBroken(progress: StepProgress): boolean {
  return progress.status === 'failed' || progress.status === 'uncertain';
}

/** A failure keeps new steps (or new undos) from starting, until somebody asks for a retry, a skip, a roll-back or an abort. */
export function isHalted(plan: JournalledPlan, state: ExecutionState): boolean {
  if (state.rollingBack) return state.steps.some((step) => step.undo !== undefined && isBroken(step.undo));
  return state.steps.some((step, place) => isBroken(step) && plan.steps[place]?.onFailure !== 'continue');
}

/** The state of the step of that id, or undefined. */
export function stepState(state: ExecutionState, stepId: string): StepState | undefined {
  return state.steps.find((step) => step.id === stepId);
}

/** The state that header and events amount to. Throws STATE_DAMAGED on a broken chain or an event out of place. */
export function foldExecution(header: ExecutionHeader, events: readonly JournalEvent[]): ExecutionState {
  const folder = new ExecutionFolder(header);
  for (const event of events) folder.apply(event);
  return folder.state;
}
