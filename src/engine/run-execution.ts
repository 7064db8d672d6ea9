/**
 * Runs an execution to its end, from whatever state its journal tells. What comes next is decided by next-moves, each step is brought about by a step-attempt, requests are
 * answered by answer-request; this module joins them and owns nothing but what is in hand.
 *
 * Invariants: it acts only while it holds the lease `execution/<id>`; every decision is journalled before anything follows from it outside; a failing listener, log or
 * screen changes nothing. When the process dies here, or the lease or the store is lost, everything stops at once and nothing more is touched: another runner, or the same
 * one started again, goes on from the journal.
 *
 * The process's own end (signal) tells the running verbs, gives them a moment, and releases the lease; if a verb does not end, the lease is left to run out instead, so that
 * the next runner does not start beside it.
 */
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { Verb } from '../contracts/verbs.ts';
import type { Plan, Step } from '../plans/plan.ts';
import type { ExecutionState, StepProgress, StepState } from '../state/execution-state.ts';
import { foldExecution, stepState } from '../state/execution-state.ts';
import { closingChanges, type Execution, journalKeys, loadExecution } from '../state/journal.ts';
import type { EventBody, JournalEvent, JournalledError, Outcome, StepEventBody, UndoEventBody } from '../state/journal-events.ts';
import { JournalWriter } from '../state/journal-writer.ts';
import { answeredChange, type PendingRequest } from '../state/requests.ts';
import { answerRequest, fenceWordDone, fenceWordFor } from './answer-request.ts';
import { approveVerb } from './approve-verb.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { type Direction, type Move, nextMoves, type PlanGraph, planGraph } from './next-moves.ts';
import { RequestInbox } from './request-inbox.ts';
import { resolveWant } from './resolve-want.ts';
import type { RunOptions } from './run-options.ts';
import { type AttemptEnd, pollMaxMs, StepAttempt } from './step-attempt.ts';

const leaseTtlMs = 5_000;
/** How long running verbs may take to end when the process ends. */
const farewellMs = 1_000;
/** Only finding out whether something holds: nobody should wait long for that. */
const settleMaxMs = 10_000;
/** Approvals wake the step; this is only for the case that one was missed. */
const approvalPollMaxMs = 30_000;

/**
 * Resolves with the state when the execution is finished, or (unless told to wait) held up by a failed step. Rejects with STATE_LEASE_HELD when another runs it, INTERRUPTED
 * on the signal, STATE_LEASE_LOST or the store's error when it had to stop; the execution then stands in the journal as it was last durable.
 */
export async function runExecution(options: RunOptions): Promise<ExecutionState> {
  const { store, host, id, signal, inHand } = options;
  let run: ExecutionRun | undefined;
  let tellStopped: (error: HoldfastError) => void = () => {};
  const stopping = new Promise<never>((_resolve, reject) => {
    tellStopped = reject;
  });
  stopping.catch(() => {}); // Whoever races against it is told.
  const stop = (error: HoldfastError) => {
    tellStopped(error);
    run?.stop(error);
  };
  const onAbort = () => stop(fail('INTERRUPTED', { subject: `execution ${id}`, cause: signal.reason }));
  signal.addEventListener('abort', onAbort, { once: true });
  let keeper: LeaseKeeper | undefined;
  try {
    if (signal.aborted) throw fail('INTERRUPTED', { subject: `execution ${id}`, cause: signal.reason });
    const ttlMs = options.leaseTtlMs ?? leaseTtlMs;
    const lease = inHand?.lease ?? (await Promise.race([store.acquireLease(journalKeys.lease(id), options.holder, ttlMs), stopping]));
    keeper = new LeaseKeeper(store, host.clock, lease, stop);
    const execution = inHand
      ? { header: inHand.header, events: [], state: foldExecution(inHand.header, []) }
      : await Promise.race([loadExecution<Plan>(store, id), stopping]);
    if (execution.state.outcome !== undefined) return execution.state;
    run = new ExecutionRun(options, execution, keeper);
    return await Promise.race([run.toTheEnd(), stopping]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (run === undefined || (await run.farewell())) await keeper?.release();
    else keeper?.stop();
  }
}

interface InHand {
  readonly direction: Direction;
  readonly attempt: StepAttempt;
  readonly ended: Promise<void>;
}

class ExecutionRun {
  readonly #options: RunOptions;
  readonly #plan: Plan;
  readonly #execution: Execution<Plan>;
  readonly #graph: PlanGraph;
  readonly #keeper: LeaseKeeper;
  readonly #writer: JournalWriter;
  readonly #inbox: RequestInbox;
  readonly #inHand = new Map<string, InHand>();
  /** Applies that were given up and have not ended, by step. */
  readonly #abandoned = new Map<string, Promise<unknown>>();
  #stopped: HoldfastError | undefined;
  #finishing = false;
  /** Durable: that we go on where another died. Steps that it left running have their intent from it, and wait for this instead. */
  #takenOver = Promise.resolve();
  #resolve: (state: ExecutionState) => void = () => {};
  #reject: (error: HoldfastError) => void = () => {};

  constructor(options: RunOptions, execution: Execution<Plan>, keeper: LeaseKeeper) {
    const { store, host, id } = options;
    this.#options = options;
    this.#execution = execution;
    this.#plan = execution.header.plan;
    this.#graph = planGraph(this.#plan);
    this.#keeper = keeper;
    this.#writer = new JournalWriter({
      store,
      clock: host.clock,
      execution,
      lease: () => keeper.lease,
      onDurable: (event, state) => this.#tell(event, state),
      onBroken: (error) => this.stop(error),
    });
    this.#inbox = new RequestInbox({
      store,
      clock: host.clock,
      log: host.log,
      id,
      onRequests: (requests) => this.#guarded(() => this.#answer(requests)),
    });
  }

  async toTheEnd(): Promise<ExecutionState> {
    const { holder } = this.#options;
    const end = new Promise<ExecutionState>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // It may be rejected while the inbox is still opening.
    end.catch(() => {});
    try {
      const data = { holder, token: this.#keeper.lease.token };
      if (this.#writer.state.startedAtMs === undefined) this.#writer.appendSoon([{ type: 'started', data }]);
      else this.#takenOver = this.#writer.append([{ type: 'runner-changed', data }]);
      const opened = this.#inbox.open();
      // Before any step: an abort that is waiting must come first. Of what has only just been begun nobody can have asked anything yet.
      if (this.#options.inHand) opened.catch((thrown) => this.stop(asHoldfastError(thrown, `execution ${this.#options.id}`)));
      else await Promise.race([opened, end]);
      this.#guarded(() => this.#advance());
      return await end;
    } finally {
      this.#inbox.close();
    }
  }

  /** Everything ends here and now; the journal stays as it is. */
  stop(error: HoldfastError): void {
    if (this.#stopped) return;
    this.#inbox.close();
    this.#stopped = error;
    this.#writer.break(error);
    for (const { attempt } of this.#inHand.values()) attempt.stop();
    this.#reject(error);
  }

  /** Waits a moment for the verbs in hand. True when none is left running. */
  async farewell(): Promise<boolean> {
    this.stop(fail('INTERRUPTED', { subject: `execution ${this.#options.id}`, message: 'this run is over' }));
    await Promise.all([...this.#inHand.values()].map((one) => one.ended));
    if (this.#abandoned.size === 0) return true;
    const { clock } = this.#options.host;
    let cancel = () => {};
    const tooLate = new Promise<void>((resolve) => {
      cancel = clock.after(farewellMs, resolve);
    });
    await Promise.race([Promise.all(this.#abandoned.values()), tooLate]);
    cancel();
    return this.#abandoned.size === 0;
  }

  /** A mistake of ours must end the run with its name, not hang it. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.stop(asHoldfastError(error, `execution ${this.#options.id}`));
    }
  }

  #tell(event: JournalEvent, state: ExecutionState): void {
    try {
      this.#options.onEvent?.(event, state);
    } catch (error) {
      this.#options.host.log.warn('event listener failed', {
        execution: state.id,
        event: event.type,
        error: asHoldfastError(error).message,
      });
    }
    if (event.type === 'finished') this.#resolve(state);
  }

  #answer(requests: readonly PendingRequest[]): void {
    const { host, id } = this.#options;
    for (const pending of requests) {
      if (this.#stopped || this.#finishing) return;
      const answered = this.#writer.state.requests.some((one) => one.requestId === pending.requestId);
      const { events } = answered ? { events: [] } : answerRequest(this.#plan, this.#writer.state, pending, host.clock.nowMs());
      if (events.length > 0) void this.#writer.append(events, [answeredChange(id, pending.requestId)]);
    }
    for (const [stepId, { direction, attempt }] of this.#inHand) if (direction === 'step' && this.#mustWindDown(stepId)) attempt.windDown();
    for (const [stepId, { attempt }] of this.#inHand) if (this.#writer.step(stepId)?.verb === 'approve') attempt.nudge();
    this.#advance();
  }

  #mustWindDown(stepId: string): boolean {
    const { state } = this.#writer;
    const step = this.#writer.step(stepId);
    return (
      state.aborting !== undefined || state.rollingBack !== undefined || (step !== undefined && fenceWordFor(state, step) !== undefined)
    );
  }

  #advance(): void {
    while (!this.#stopped && !this.#finishing) {
      const moves = nextMoves(this.#graph, this.#writer.state, new Set(this.#inHand.keys()));
      if (moves.rollBack !== undefined) {
        void this.#writer.append([{ type: 'rolling-back', data: { because: moves.rollBack } }]);
        for (const { attempt } of this.#inHand.values()) attempt.windDown();
        continue;
      }
      if (moves.finish) this.#finish(moves.finish);
      else if (moves.halted) this.#halt();
      let instantly = false;
      for (const move of moves.start) instantly = this.#start(move) === 'failed' || instantly;
      // A step that could not even start has changed what comes next.
      if (!instantly) return;
    }
  }

  #finish(outcome: Outcome): void {
    this.#finishing = true;
    const { state } = this.#writer;
    const nowMs = this.#options.host.clock.nowMs();
    const failedSteps = state.steps.filter((step) => step.status === 'failed' || step.status === 'uncertain').map((step) => step.id);
    const tookMs = Math.max(0, nowMs - (state.startedAtMs ?? nowMs));
    void this.#writer.append(
      [{ type: 'finished', data: { outcome, tookMs, failedSteps } }],
      closingChanges(this.#execution.header, outcome, nowMs),
    );
  }

  #halt(): void {
    if (this.#options.whenHalted === 'wait') return;
    this.#finishing = true;
    const { state } = this.#writer;
    // What is still on its way must be durable before anybody is told.
    void this.#writer.flush().then(
      () => this.#resolve(state),
      () => {}, // The writer has told it.
    );
  }

  #start(move: Move): 'started' | 'failed' {
    const step = this.#graph.plan.steps[this.#graph.place.get(move.stepId) ?? -1] as Step;
    const acting: Step = move.direction === 'undo' && step.undo ? { ...step, verb: step.undo.verb, want: step.undo.want } : step;
    const now = this.#writer.step(move.stepId) as StepState;
    const progress: StepProgress | undefined = move.direction === 'undo' ? now.undo : now;
    const takenOver = progress?.status === 'running';
    let want: JsonObject;
    let verb: Verb;
    try {
      want =
        takenOver && progress.want ? progress.want : resolveWant(acting.want, (id) => stepState(this.#writer.state, id)?.output, step.id);
      verb = acting.verb === 'approve' ? approveVerb(() => this.#writer.state.approvals, step.id) : this.#options.verbs.resolve(acting);
    } catch (thrown) {
      const error = asHoldfastError(thrown, step.id);
      this.#recordEnd(move, { end: 'failed', error, uncertain: false, mayHaveTakenEffect: false, tookMs: 0 });
      return 'failed';
    }
    const attempts = progress?.attempts ?? 0;
    const intent = takenOver
      ? this.#takenOver
      : this.#writer.append([stepBody(move.direction, step.id, 'intent', { want, attempt: attempts + 1 })]);
    this.#launch(move, acting, verb, want, intent, progress);
    return 'started';
  }

  #launch(move: Move, acting: Step, verb: Verb, want: JsonObject, intent: Promise<void>, progress: StepProgress | undefined): void {
    const { host, id, onProgress } = this.#options;
    const { direction, stepId } = move;
    const name = direction === 'undo' ? `undo ${stepId}` : stepId;
    let attemptNumber = (progress?.attempts ?? 0) + (progress?.status === 'running' ? 0 : 1);
    const timeoutMs = move.manner === 'settle' ? Math.min(acting.timeoutMs, settleMaxMs) : acting.timeoutMs;
    const waitsForPeople = acting.verb === 'approve';
    const attempt = new StepAttempt({
      host,
      log: host.log.with({ execution: id, step: name }),
      executionId: id,
      stepId: name,
      epoch: this.#plan.epoch,
      verb,
      want,
      timeoutMs,
      timeoutError: (why) =>
        fail(waitsForPeople ? 'APPROVAL_MISSING' : 'TIMED_OUT', { subject: name, message: `not done within ${timeoutMs} ms: ${why}` }),
      pollMaxMs: waitsForPeople ? approvalPollMaxMs : pollMaxMs,
      manner: move.manner,
      note: progress?.note,
      mayHaveTakenEffect: progress?.mayHaveTakenEffect ?? false,
      wasApplied: false,
      intent,
      abandoned: this.#abandoned.get(name),
      mayAct: () => this.#stopped === undefined && this.#keeper.isHeld,
      recordRetry: (because) => {
        attemptNumber += 1;
        return this.#writer.append([stepBody(direction, stepId, 'intent', { want, attempt: attemptNumber, because })]);
      },
      recordApplied: (tookMs) => this.#writer.appendSoon([stepBody(direction, stepId, 'applied', { tookMs: Math.round(tookMs) })]),
      recordNote: (note) => this.#writer.append([stepBody(direction, stepId, 'note', { note })]),
      progress: (message) => {
        try {
          onProgress?.(name, message);
        } catch (error) {
          host.log.warn('progress listener failed', { execution: id, error: asHoldfastError(error).message });
        }
      },
    });
    const ended = attempt.run().then((end) => this.#guarded(() => this.#ended(move, name, attempt, end)));
    this.#inHand.set(stepId, { direction, attempt, ended });
    if (direction === 'step' && move.manner === 'full' && this.#mustWindDown(stepId)) attempt.windDown();
  }

  #ended(move: Move, name: string, attempt: StepAttempt, end: AttemptEnd): void {
    this.#inHand.delete(move.stepId);
    const { hanging } = attempt;
    if (hanging && this.#abandoned.get(name) !== hanging) {
      this.#abandoned.set(name, hanging);
      void hanging.then(() => this.#abandoned.delete(name));
    }
    if (this.#stopped) return;
    if (end.end === 'gone') {
      this.stop(
        fail('STATE_LEASE_LOST', { subject: `execution ${this.#options.id}`, message: 'the lease was over before it was renewed' }),
      );
      return;
    }
    this.#recordEnd(move, end);
    this.#advance();
  }

  #recordEnd(move: Move, end: Exclude<AttemptEnd, { end: 'gone' }>): void {
    const { direction, stepId } = move;
    if (end.end === 'done') {
      void this.#writer.append([stepBody(direction, stepId, 'done', { output: end.output, tookMs: end.tookMs, effect: end.effect })]);
      return;
    }
    const step = this.#writer.step(stepId);
    const word = direction === 'step' && step?.status === 'running' ? fenceWordFor(this.#writer.state, step) : undefined;
    if (word) {
      void this.#writer.append([fenceWordDone(stepId, word, this.#options.host.clock.nowMs())]);
      return;
    }
    const error = end.error.toJSON() as unknown as JournalledError;
    void this.#writer.append([
      stepBody(direction, stepId, 'failed', {
        error,
        uncertain: end.uncertain,
        mayHaveTakenEffect: end.mayHaveTakenEffect,
        tookMs: end.tookMs,
      }),
    ]);
  }
}

type StepBody = StepEventBody | UndoEventBody;
type Happening = StepBody['type'] extends `${string}-${infer What}` ? What : never;
type DataOf<What extends Happening> = Extract<StepBody, { readonly type: `step-${What}` }>['data'];

function stepBody<What extends Happening>(direction: Direction, stepId: string, what: What, data: DataOf<What>): EventBody {
  return { type: `${direction}-${what}`, stepId, data } as unknown as EventBody;
}
