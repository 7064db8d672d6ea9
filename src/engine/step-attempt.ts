/**
 * Brings one step (or one undo) to its end: inspect, apply after `absent`, inspect again until done or out of time.
 *
 *   inspect -> done      over: applied when our apply came before, else adopted
 *           -> pending   look again after a growing wait
 *           -> unknown   over: uncertain, a person must look
 *           -> absent    apply; right after an apply look once more first, then apply as a further attempt
 *   apply   -> done      over, where the apply has itself seen that it holds
 *   error   -> transient a further attempt after a growing wait · unknown-outcome: inspect before anything else · refused, invalid, bug: over: failed
 *   out of time          over: uncertain when an apply was cut or its effect can't be told, else failed
 *
 * Invariants: apply is called only while the intent is durable and the lease is ours; never twice without an inspection that said `absent` in between; an apply is never cut
 * before its deadline except by the end of the process or the loss of the lease; a verb that ignores its signal holds nobody up. A death here leaves the intent in the
 * journal: whoever takes over inspects first.
 */
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Done, StepContext, Verb } from '../contracts/verbs.ts';
import type { Host, Log } from '../host/host.ts';
import type { JournalledError, StepEffect } from '../state/journal-events.ts';

export type AttemptEnd =
  | { readonly end: 'done'; readonly output: JsonObject; readonly effect: StepEffect; readonly tookMs: number }
  | {
      readonly end: 'failed';
      readonly error: HoldfastError;
      readonly uncertain: boolean;
      readonly mayHaveTakenEffect: boolean;
      readonly tookMs: number;
    }
  /** The runner has stopped: there is nobody to journal it. */
  | { readonly end: 'gone' };

export interface AttemptParts {
  readonly host: Pick<Host, 'clock' | 'random'>;
  readonly log: Log;
  readonly executionId: string;
  readonly stepId: string;
  readonly epoch: number;
  readonly verb: Verb;
  readonly want: JsonObject;
  readonly timeoutMs: number;
  /** What a step that ran out of time without having been applied fails with. */
  readonly timeoutError: (why: string) => HoldfastError;
  readonly pollMaxMs: number;
  readonly manner: 'full' | 'settle';
  readonly note: Json | undefined;
  /** Apply may have been begun before, by us or by a runner that died. */
  readonly mayHaveTakenEffect: boolean;
  /** Our apply is known to have ended well before. */
  readonly wasApplied: boolean;
  /** Resolves when the intent is durable. */
  readonly intent: Promise<void>;
  /** An earlier apply of this step that was given up and has not ended. */
  readonly abandoned: Promise<unknown> | undefined;
  /** The lease is ours at this instant. */
  mayAct(): boolean;
  /** Journals a further intent; resolves when durable. */
  recordRetry(because: JournalledError): Promise<void>;
  recordApplied(tookMs: number): void;
  recordNote(note: Json): Promise<void>;
  progress(message: string): void;
}

const pollFirstMs = 5;
export const pollMaxMs = 250;
const pollGrowth = 1.6;
const backoffFirstMs = 50;
/** Looking again costs the system little, and somebody waits. */
const lookBackoffMaxMs = 500;
const applyBackoffMaxMs = 5_000;

const stepIsOver = fail('INTERRUPTED', { message: 'the step is over' });

type Called<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'error'; readonly error: HoldfastError }
  | { readonly kind: 'cut' };

export class StepAttempt {
  readonly #parts: AttemptParts;
  /** Cuts everything: deadline, lease lost, end of the process. */
  readonly #all = new AbortController();
  /** Cuts what only looks and waits: besides, the execution is ending. */
  readonly #looking = new AbortController();
  readonly #startedMs: number;
  #stopped = false;
  #expired = false;
  #winding = false;
  #over = false;
  #wake = () => {};
  #pollMs = pollFirstMs;
  #backoffMs = backoffFirstMs;
  #mayHaveTakenEffect: boolean;
  #applied: boolean;
  /** The last look gave a clear answer. */
  #clear = true;
  #why = 'it was not looked at in time';
  #note: Json | undefined;
  /** Apply was called by this attempt. */
  #tried = false;
  #failedWith: HoldfastError | undefined;
  /** What the last apply has seen to hold. */
  #held: Done | undefined;
  #hanging: Promise<unknown> | undefined;

  constructor(parts: AttemptParts) {
    this.#parts = parts;
    this.#startedMs = parts.host.clock.monotonicMs();
    this.#mayHaveTakenEffect = parts.mayHaveTakenEffect;
    this.#applied = parts.wasApplied;
    this.#note = parts.note;
    this.#hanging = parts.abandoned;
  }

  /** An apply that was given up and has not ended. */
  get hanging(): Promise<unknown> | undefined {
    return this.#hanging;
  }

  /** The end of the process or the loss of the lease: nothing more is touched. */
  stop(): void {
    this.#stopped = true;
    this.#cutAll(fail('INTERRUPTED', { message: 'this runner has stopped' }));
  }

  /** The execution is ending: an apply under way goes on to its end, waiting does not. */
  windDown(): void {
    this.#winding = true;
    this.#looking.abort(fail('INTERRUPTED', { message: 'the execution is ending' }));
    this.#wake();
  }

  /** Something that the verb waits for may have happened: look now. */
  nudge(): void {
    this.#pollMs = pollFirstMs;
    this.#wake();
  }

  async run(): Promise<AttemptEnd> {
    const { clock } = this.#parts.host;
    const cancel = clock.after(this.#parts.timeoutMs, () => {
      this.#expired = true;
      this.#cutAll(fail('TIMED_OUT', { subject: this.#parts.stepId, message: 'the time of the step is over' }));
    });
    try {
      return await this.#bringAbout();
    } catch (error) {
      // Only the journal can throw here, and the runner has been told.
      if (this.#stopped || !this.#parts.mayAct()) return { end: 'gone' };
      return this.#failed(asHoldfastError(error, this.#parts.stepId), false);
    } finally {
      cancel();
      this.#over = true;
      this.#looking.abort(stepIsOver);
    }
  }

  async #bringAbout(): Promise<AttemptEnd> {
    let intent = this.#parts.intent;
    let lookAgain = this.#hanging !== undefined;
    for (;;) {
      const ended = this.#ended();
      if (ended) return ended;
      const seen = await this.#call((context) => this.#parts.verb.inspect(this.#parts.want, context), this.#looking.signal);
      if (seen.kind === 'cut') continue;
      if (seen.kind === 'error') {
        this.#clear = false;
        if (isFinal(seen.error)) return this.#failed(seen.error, false);
        this.#failedWith = seen.error;
        this.#why = seen.error.message;
        await this.#backOff(lookBackoffMaxMs);
        continue;
      }
      const inspection = seen.value;
      this.#clear = true;
      if (inspection.state === 'done') return this.#done(inspection.output);
      this.#why = inspection.why;
      if (inspection.state === 'unknown')
        return this.#failed(fail('STEP_UNCERTAIN', { subject: this.#parts.stepId, message: inspection.why }), true);
      if (this.#parts.manner === 'settle') return this.#unsettled(inspection.state === 'pending');
      if (inspection.state === 'pending') {
        await this.#poll();
        continue;
      }
      if (lookAgain) {
        // It was asked for and does not show yet: it may still be on its way, so it gets a moment.
        lookAgain = false;
        await this.#waitForHanging();
        await this.#backOff(lookBackoffMaxMs);
        continue;
      }
      if (this.#ended()) continue;
      await intent;
      if (this.#failedWith || this.#tried) {
        const because =
          this.#failedWith ?? fail('STEP_FAILED', { subject: this.#parts.stepId, message: 'it was applied, and did not hold afterwards' });
        await this.#parts.recordRetry(because.toJSON() as unknown as JournalledError);
        this.#failedWith = undefined;
      }
      if (this.#ended()) continue;
      const failed = await this.#apply();
      if (this.#held) return this.#done(this.#held.output);
      if (failed && isFinal(failed)) return this.#failed(failed, false);
      if (this.#winding && !this.#expired) return this.#lastLook();
      if (failed?.kind === 'transient') await this.#backOff(applyBackoffMaxMs);
      this.#tried = true;
      this.#failedWith = failed;
      lookAgain = failed?.kind !== 'transient';
      intent = Promise.resolve();
    }
  }

  /** The execution ends, and an apply of ours has just ended: one look tells how it came out. */
  async #lastLook(): Promise<AttemptEnd> {
    const seen = await this.#call((context) => this.#parts.verb.inspect(this.#parts.want, context), this.#all.signal);
    if (seen.kind === 'cut') return this.#ended() ?? { end: 'gone' };
    if (seen.kind === 'error') return this.#unsettled(true);
    if (seen.value.state === 'done') return this.#done(seen.value.output);
    return this.#unsettled(seen.value.state !== 'absent');
  }

  /** Undefined when it ended well or was cut (which the next turn sees). */
  async #apply(): Promise<HoldfastError | undefined> {
    const { clock } = this.#parts.host;
    if (!this.#parts.mayAct()) return undefined;
    const beganMs = clock.monotonicMs();
    this.#mayHaveTakenEffect = true;
    this.#clear = false;
    let running: Promise<unknown> | undefined;
    const called = await this.#call((context) => {
      const applying = this.#parts.verb.apply(this.#parts.want, context);
      running = applying;
      return applying;
    }, this.#all.signal);
    if (called.kind === 'cut') {
      this.#why = 'apply had not ended when its time was over';
      if (running) this.#hang(running);
      return undefined;
    }
    if (called.kind === 'error') {
      this.#why = called.error.message;
      return called.error;
    }
    this.#applied = true;
    this.#held = called.value ?? undefined;
    this.#pollMs = pollFirstMs;
    if (!this.#stopped && !this.#held) this.#parts.recordApplied(clock.monotonicMs() - beganMs);
    return undefined;
  }

  #hang(running: Promise<unknown>): void {
    const settled: Promise<unknown> = running.then(
      () => this.#unhang(settled),
      // Its answer came too late to count: the step has ended as uncertain, and the next look at the system tells.
      () => this.#unhang(settled),
    );
    this.#hanging = settled;
  }

  #unhang(settled: Promise<unknown>): void {
    if (this.#hanging === settled) this.#hanging = undefined;
  }

  async #waitForHanging(): Promise<void> {
    if (!this.#hanging) return;
    const cut = new Promise<void>((resolve) => {
      if (this.#looking.signal.aborted) resolve();
      this.#looking.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([this.#hanging, cut]);
  }

  /** Races the verb against the signal: a verb that ignores it is left behind. */
  async #call<T>(what: (context: StepContext) => Promise<T>, signal: AbortSignal): Promise<Called<T>> {
    if (signal.aborted) return { kind: 'cut' };
    let onAbort = () => {};
    const cut = new Promise<Called<T>>((resolve) => {
      onAbort = () => resolve({ kind: 'cut' });
      signal.addEventListener('abort', onAbort, { once: true });
    });
    const answered = (async (): Promise<Called<T>> => {
      try {
        return { kind: 'value', value: await what(this.#context(signal)) };
      } catch (error) {
        if (signal.aborted) return { kind: 'cut' };
        return { kind: 'error', error: asHoldfastError(error, this.#parts.stepId) };
      }
    })();
    try {
      return await Promise.race([answered, cut]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #context(signal: AbortSignal): StepContext {
    const { executionId, stepId, epoch, log } = this.#parts;
    return {
      executionId,
      stepId,
      epoch,
      signal,
      log,
      progress: (message) => {
        if (!this.#over) this.#parts.progress(message);
      },
      note: this.#note,
      keepNote: async (note) => {
        if (this.#over || this.#all.signal.aborted || !this.#parts.mayAct())
          throw fail('INTERRUPTED', { subject: stepId, message: 'the step is over; nothing more may be done for it' });
        await this.#parts.recordNote(JSON.parse(JSON.stringify(note)) as Json);
        this.#note = note;
      },
    };
  }

  #ended(): AttemptEnd | undefined {
    if (this.#stopped || !this.#parts.mayAct()) return { end: 'gone' };
    if (this.#expired) {
      const doubtful = this.#hanging !== undefined || (this.#mayHaveTakenEffect && !this.#clear);
      if (doubtful) return this.#failed(fail('STEP_UNCERTAIN', { subject: this.#parts.stepId, message: this.#why }), true);
      return this.#failed(this.#parts.timeoutError(this.#why), false);
    }
    return this.#winding ? this.#unsettled(true) : undefined;
  }

  /** The execution ends before the step does. */
  #unsettled(onItsWay: boolean): AttemptEnd {
    const uncertain = this.#mayHaveTakenEffect && onItsWay;
    const error = fail(uncertain ? 'STEP_UNCERTAIN' : 'INTERRUPTED', {
      subject: this.#parts.stepId,
      message: `the execution ended before the step did: ${this.#why}`,
    });
    return this.#failed(error, uncertain);
  }

  #done(given: JsonObject): AttemptEnd {
    // A driver's mistake here must fail its step, not the journal.
    const output = JSON.parse(JSON.stringify(given)) as JsonObject;
    return this.#stopped ? { end: 'gone' } : { end: 'done', output, effect: this.#applied ? 'applied' : 'adopted', tookMs: this.#tookMs() };
  }

  #failed(error: HoldfastError, uncertain: boolean): AttemptEnd {
    return this.#stopped
      ? { end: 'gone' }
      : { end: 'failed', error, uncertain, mayHaveTakenEffect: this.#mayHaveTakenEffect, tookMs: this.#tookMs() };
  }

  #tookMs(): number {
    return Math.round(this.#parts.host.clock.monotonicMs() - this.#startedMs);
  }

  async #poll(): Promise<void> {
    const waitMs = this.#pollMs;
    this.#pollMs = Math.min(waitMs * pollGrowth, this.#parts.pollMaxMs);
    await this.#wait(waitMs);
  }

  async #backOff(maxMs: number): Promise<void> {
    const waitMs = Math.min(this.#backoffMs, maxMs) * (0.5 + this.#parts.host.random.next() / 2);
    this.#backoffMs = Math.min(this.#backoffMs * 2, applyBackoffMaxMs);
    await this.#wait(waitMs);
  }

  #wait(durationMs: number): Promise<void> {
    if (this.#looking.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#parts.host.clock.after(durationMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  #cutAll(reason: HoldfastError): void {
    this.#all.abort(reason);
    this.#looking.abort(reason);
    this.#wake();
  }
}

/** The system has said no, or the request makes no sense: asking again would change nothing. */
function isFinal(error: HoldfastError): boolean {
  return error.kind === 'refused' || error.kind === 'invalid' || error.kind === 'bug';
}
