/**
 * Decides again and again whether the active region is to be failed over, remembers each decision that differs from the one before, and begins the failover.
 *
 * Invariant: it decides only from the watch and the state, with `decideFailover`; it begins something only while the lease of the process that decides holds. A death in between leaves
 * an execution that is there whole, or none.
 */
import { asHoldfastError, fail } from '../base/errors.ts';
import type { RegionVerdict } from '../watch/verdict.ts';
import { toJson } from '../watch/watch-records.ts';
import { ClockJumps } from './clock-jumps.ts';
import type { Control } from './control.ts';
import { type BlockCode, type Decision, withoutPlan } from './decide.ts';
import { type DecisionNow, decideNow } from './decide-now.ts';
import { decisionShape, recordDecision } from './decisions.ts';
import { type BegunExecution, beginInHand } from './executions.ts';
import { makePlan } from './make-plan.ts';

/** Blocks that go away without anything being seen. */
const passing: ReadonlySet<BlockCode> = new Set(['execution-under-way', 'cooling-down', 'clock-jumped']);

export interface DeciderParts {
  readonly control: Control;
  readonly signal: AbortSignal;
  /** Whether the lease of the process that decides holds at this moment. */
  readonly mayAct: () => boolean;
  readonly onDecision: (decision: Decision, verdict: RegionVerdict) => void;
  readonly onBegun: (begun: BegunExecution) => void;
}

export class Decider {
  readonly #parts: DeciderParts;
  readonly #clockJumps: ClockJumps;
  #lastShape = '';
  /** The newest decision was about a healthy region, and nothing in it will change by itself. */
  #quiet = false;
  #evaluating = false;
  #evaluateAgain = false;
  #cancelTimer: (() => void) | undefined;
  #remembered: Promise<void> = Promise.resolve();

  constructor(parts: DeciderParts) {
    this.#parts = parts;
    const { host, spec } = parts.control.parts;
    this.#clockJumps = new ClockJumps(host, spec);
  }

  /** Somebody may have changed their mind: what was read last says nothing of it. */
  reconsider(): void {
    this.#quiet = false;
    void this.evaluate();
  }

  /** Many observations may come at once: one evaluation at a time, and one more after it if something came in between. */
  async evaluate(): Promise<void> {
    if (this.#evaluating) {
      this.#evaluateAgain = true;
      return;
    }
    this.#evaluating = true;
    try {
      do {
        this.#evaluateAgain = false;
        if (!this.#parts.signal.aborted) await this.#decideOnce();
      } while (this.#evaluateAgain);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      this.#parts.control.parts.host.log.error('serve.decision-failed', { code: error.code, message: error.message });
    } finally {
      this.#evaluating = false;
    }
  }

  stop(): void {
    this.#cancelTimer?.();
  }

  async #decideOnce(): Promise<void> {
    const { control } = this.#parts;
    const quick = await control.quickVerdict(control.watch.activeRegion ?? '');
    const clockJumpedAtMs = this.#clockJumps.look();
    // The common case, a healthy region with nothing new to say, costs no look at the state.
    if (quick.state === 'healthy' && this.#quiet && clockJumpedAtMs === undefined) return;
    const now = await decideNow(control, clockJumpedAtMs);
    this.#waitForGrace(now.verdict);
    await this.#settle(now);
  }

  #waitForGrace(verdict: RegionVerdict): void {
    const { clock } = this.#parts.control.parts.host;
    this.#cancelTimer?.();
    if (verdict.graceEndsAtMs === undefined) return;
    const leftMs = verdict.graceEndsAtMs - clock.nowMs();
    if (leftMs > 0) this.#cancelTimer = clock.after(leftMs + 1, () => void this.evaluate());
  }

  async #settle({ decision: taken, verdict, from, to, view, slot }: DecisionNow): Promise<void> {
    const { control, mayAct, onBegun } = this.#parts;
    if (!taken.act) return this.#remember(taken, verdict, undefined);
    if (to === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'a decision to act has a target' });
    if (!mayAct()) throw fail('STATE_LEASE_LOST', { message: 'the lease could not be renewed in time: nothing is started without it' });
    let begun: BegunExecution;
    try {
      const plan = await makePlan(control, { kind: 'failover', from, to, onVerdict: true, because: taken.summary }, view);
      begun = await beginInHand(control, plan, { slot });
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      // Without the lease it is for another to say why not.
      if ((error.kind !== 'refused' && error.kind !== 'invalid') || error.code === 'STATE_LEASE_LOST') throw error;
      return this.#remember(withoutPlan(taken, from, error), verdict, undefined);
    }
    onBegun(begun);
    this.#remember(taken, verdict, begun.header.id);
  }

  #remember(decision: Decision, verdict: RegionVerdict, execution: string | undefined): void {
    const { store, host, controller } = this.#parts.control.parts;
    const shape = decisionShape(decision, verdict);
    this.#quiet = verdict.state === 'healthy' && !decision.blocks.some((block) => passing.has(block.code));
    if (shape === this.#lastShape) return;
    this.#lastShape = shape;
    this.#parts.onDecision(decision, verdict);
    host.log.info('serve.decision', { act: decision.act, summary: decision.summary });
    const record = { ...decision, atMs: host.clock.nowMs(), controller, verdict, ...(execution ? { execution } : {}) };
    // One after the other, and nobody decides later because of it.
    this.#remembered = this.#remembered
      .then(() => recordDecision(store, record))
      .catch((thrown) => {
        // The decision was taken and acted upon; that it can't be remembered must not undo it.
        host.log.warn('serve.decision-not-kept', { message: asHoldfastError(thrown).message, decision: toJson(decision) });
      });
  }
}
