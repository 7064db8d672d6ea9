/**
 * The long-running process: watches, decides, acts, and goes on with executions that another process left behind.
 *
 * Invariant: it decides only from its watch and the state, with `decideFailover`; it acts only by beginning an execution, and only while its lease holds. It may die between any two
 * instructions: the next one starts from the state. One such process per platform and state: a lease says which. A state that can't be reached for a while ends nothing: it goes on
 * watching, and decides again once it can.
 */
import { asHoldfastError, fail, HoldfastError } from '../base/errors.ts';
import type { Lease } from '../contracts/state-store.ts';
import { findResumable } from '../engine/find-resumable.ts';
import { journalKeys } from '../state/journal.ts';
import type { RegionVerdict } from '../watch/verdict.ts';
import { toJson } from '../watch/watch-records.ts';
import { Archivers } from './backups/archivers.ts';
import { BackupScheduler } from './backups/backup-scheduler.ts';
import { sweepScratch } from './backups/scratch.ts';
import type { Control } from './control.ts';
import { type BlockCode, type Decision, withoutPlan } from './decide.ts';
import { decideNow } from './decide-now.ts';
import { decisionShape, recordDecision } from './decisions.ts';
import { beginExecution, type RunListeners, runToEnd } from './executions.ts';
import { makePlan } from './make-plan.ts';
import { missingSites } from './missing-sites.ts';

const leaseTtlMs = 2_000;
const lookForWorkEveryMs = 500;
const clockJumpMs = 2_000;
/** Blocks that go away without anything being seen. */
const passing: ReadonlySet<BlockCode> = new Set(['execution-under-way', 'cooling-down', 'clock-jumped']);

export interface ServeListeners extends RunListeners {
  readonly onDecision?: (decision: Decision, verdict: RegionVerdict) => void;
  readonly onExecution?: (id: string) => void;
}

export class Server {
  readonly #control: Control;
  readonly #listeners: ServeListeners;
  readonly #signal: AbortSignal;
  readonly #running = new Map<string, Promise<void>>();
  /** Executions that need sites which the spec does not have. */
  readonly #foreign = new Set<string>();
  readonly #scheduler: BackupScheduler;
  readonly #archivers: Archivers;
  /** Ends what goes on for as long as this serves. */
  readonly #over = new AbortController();
  #lease: Lease | undefined;
  #lastShape = '';
  /** The newest decision was about a healthy region, and nothing in it will change by itself. */
  #quiet = false;
  #evaluating = false;
  #evaluateAgain = false;
  #cancelTimer: (() => void) | undefined;
  #clockOffsetMs: number;
  #clockJumpedAtMonotonicMs: number | undefined;

  constructor(control: Control, signal: AbortSignal, listeners: ServeListeners = {}) {
    this.#control = control;
    this.#signal = signal;
    this.#listeners = listeners;
    this.#clockOffsetMs = this.#currentOffsetMs();
    this.#scheduler = new BackupScheduler(control, { onBegun: (execution) => this.#runInBackground(execution) });
    this.#archivers = new Archivers(control.backups, AbortSignal.any([signal, this.#over.signal]));
  }

  /** Serves until the signal is aborted. STATE_LEASE_HELD when another process serves this platform already. */
  async run(): Promise<void> {
    const { store, controller, host } = this.#control.parts;
    this.#lease = await this.#acquire();
    const stopWatching = this.#control.watch.onChange(() => void this.#evaluate());
    try {
      await this.#control.startWatching();
      host.log.info('serve.started', { controller });
      await this.#sweep();
      while (!this.#signal.aborted) {
        await this.#turn(this.#lease);
        await host.clock.sleep(lookForWorkEveryMs, this.#signal).catch(() => undefined);
      }
    } finally {
      stopWatching();
      this.#over.abort(fail('INTERRUPTED', { message: 'this process no longer serves' }));
      this.#cancelTimer?.();
      await Promise.allSettled([...this.#running.values(), this.#archivers.ended()]);
      // Not given back, it runs out by itself.
      await store
        .releaseLease(this.#lease)
        .catch((thrown) => host.log.warn('serve.lease-left', { message: asHoldfastError(thrown).message }));
    }
  }

  /** Only another process that serves this platform ends it; whatever else goes wrong with the state is tried again. */
  async #turn(lease: Lease): Promise<void> {
    const { host } = this.#control.parts;
    try {
      this.#lease = await this.#keepLease(lease);
      await this.#goOnWithWork();
      await this.#evaluate();
      await this.#archivers.turn();
      await this.#scheduler.turn(() => this.#mayAct);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (this.#signal.aborted) return;
      if (error.code === 'STATE_LEASE_HELD') throw error;
      host.log.error('serve.turn-failed', { code: error.code, message: error.message });
    }
  }

  /** A process that was stopped for longer than its lease lasts takes it again, if nobody else has. */
  async #keepLease(lease: Lease): Promise<Lease> {
    const { store, host } = this.#control.parts;
    try {
      return await store.renewLease(lease);
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || thrown.code !== 'STATE_LEASE_LOST') throw thrown;
      host.log.warn('serve.lease-lost', { message: thrown.message });
      return this.#acquire();
    }
  }

  /** What executions left on this machine that died and never went on. */
  async #sweep(): Promise<void> {
    const { host, spec, store } = this.#control.parts;
    const isOver = async (id: string) => (await store.get(journalKeys.open(id))) === undefined;
    try {
      for (const path of await sweepScratch(host, this.#control.backups.scratchDirectory, spec.name, isOver))
        host.log.warn('serve.scratch-removed', { path });
    } catch (thrown) {
      // It takes room, and keeps nothing from working.
      host.log.warn('serve.scratch-left', { message: asHoldfastError(thrown).message });
    }
  }

  get #mayAct(): boolean {
    return this.#lease !== undefined && this.#control.parts.host.clock.monotonicMs() < this.#lease.validUntilMonotonicMs;
  }

  /** A controller that was killed a moment ago still has its lease for a short time: wait for it to run out, once. */
  async #acquire(): Promise<Lease> {
    const { store, controller, host } = this.#control.parts;
    const deadline = host.clock.monotonicMs() + 2 * leaseTtlMs;
    for (;;) {
      try {
        return await store.acquireLease('serve', controller, leaseTtlMs);
      } catch (thrown) {
        const held = thrown instanceof HoldfastError && thrown.code === 'STATE_LEASE_HELD';
        if (!held || host.clock.monotonicMs() > deadline || this.#signal.aborted) throw thrown;
        await host.clock.sleep(50, this.#signal).catch(() => undefined);
      }
    }
  }

  async #goOnWithWork(): Promise<void> {
    const { store, host } = this.#control.parts;
    const unreadable = (id: string, error: unknown) =>
      host.log.error('serve.execution-unreadable', { execution: id, message: asHoldfastError(error).message });
    for (const id of await findResumable(store, unreadable)) {
      if (this.#running.has(id) || this.#foreign.has(id)) continue;
      const refusal = await missingSites(this.#control, id);
      if (refusal === undefined) this.#runInBackground(id);
      else {
        // This process has one spec for as long as it lives: said once.
        this.#foreign.add(id);
        host.log.error('serve.execution-of-another-spec', { execution: id, message: refusal.message });
      }
    }
  }

  #runInBackground(id: string): void {
    if (this.#running.has(id)) return;
    const { log } = this.#control.parts.host;
    this.#listeners.onExecution?.(id);
    const run = runToEnd(this.#control, id, this.#signal, this.#listeners)
      .then((state) => log.info('serve.execution-ended', { execution: id, status: state.status }))
      .catch((thrown) => {
        const error = asHoldfastError(thrown);
        // Somebody else has it, or this process ends: both are as they should be.
        const expected = error.code === 'INTERRUPTED' || error.code === 'STATE_LEASE_HELD' || error.code === 'STATE_LEASE_LOST';
        log[expected ? 'info' : 'error']('serve.execution-left', { execution: id, code: error.code, message: error.message });
      })
      .finally(() => {
        this.#running.delete(id);
        void this.#evaluate();
      });
    this.#running.set(id, run);
  }

  #currentOffsetMs(): number {
    const { clock } = this.#control.parts.host;
    return clock.nowMs() - clock.monotonicMs();
  }

  /** The wall clock against the steady one: after a jump, times of evidence say nothing until they were taken anew. */
  #clockJumpedAtMs(): number | undefined {
    const { clock, log } = this.#control.parts.host;
    const offsetMs = this.#currentOffsetMs();
    if (Math.abs(offsetMs - this.#clockOffsetMs) > clockJumpMs) {
      log.warn('serve.clock-jumped', { byMs: Math.round(offsetMs - this.#clockOffsetMs) });
      this.#clockJumpedAtMonotonicMs = clock.monotonicMs();
    }
    this.#clockOffsetMs = offsetMs;
    if (this.#clockJumpedAtMonotonicMs === undefined) return undefined;
    const { graceMs } = this.#control.parts.spec.failover;
    const { everyMs, timeoutMs, failures } = this.#control.parts.spec.watch;
    const settledMs = graceMs + failures * (everyMs + timeoutMs);
    if (clock.monotonicMs() - this.#clockJumpedAtMonotonicMs > settledMs) this.#clockJumpedAtMonotonicMs = undefined;
    return this.#clockJumpedAtMonotonicMs;
  }

  /** Many observations may come at once: one evaluation at a time, and one more after it if something came in between. */
  async #evaluate(): Promise<void> {
    if (this.#evaluating) {
      this.#evaluateAgain = true;
      return;
    }
    this.#evaluating = true;
    try {
      do {
        this.#evaluateAgain = false;
        if (!this.#signal.aborted) await this.#decideOnce();
      } while (this.#evaluateAgain);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      this.#control.parts.host.log.error('serve.decision-failed', { code: error.code, message: error.message });
    } finally {
      this.#evaluating = false;
    }
  }

  async #decideOnce(): Promise<void> {
    const control = this.#control;
    const quick = await control.verdict(control.watch.activeRegion ?? '');
    const clockJumpedAtMs = this.#clockJumpedAtMs();
    // The common case, a healthy region with nothing new to say, costs no look at the state.
    if (quick.state === 'healthy' && this.#quiet && clockJumpedAtMs === undefined) return;
    const { decision, verdict, from, to } = await decideNow(control, clockJumpedAtMs);
    this.#waitForGrace(verdict);
    await this.#settle(decision, verdict, from, to);
  }

  #waitForGrace(verdict: RegionVerdict): void {
    const { clock } = this.#control.parts.host;
    this.#cancelTimer?.();
    if (verdict.graceEndsAtMs === undefined) return;
    const leftMs = verdict.graceEndsAtMs - clock.nowMs();
    if (leftMs > 0) this.#cancelTimer = clock.after(leftMs + 1, () => void this.#evaluate());
  }

  async #settle(taken: Decision, verdict: RegionVerdict, from: string, to: string | undefined): Promise<void> {
    if (!taken.act) return this.#remember(taken, verdict, undefined);
    if (to === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'a decision to act has a target' });
    if (!this.#mayAct) throw fail('STATE_LEASE_LOST', { message: 'the lease could not be renewed in time: nothing is started without it' });
    let execution: string;
    try {
      const plan = await makePlan(this.#control, { kind: 'failover', from, to, onVerdict: true, because: taken.summary });
      execution = await beginExecution(this.#control, plan, this.#control.parts.controller);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.kind !== 'refused' && error.kind !== 'invalid') throw error;
      return this.#remember(withoutPlan(taken, from, error), verdict, undefined);
    }
    this.#runInBackground(execution);
    await this.#remember(taken, verdict, execution);
  }

  async #remember(decision: Decision, verdict: RegionVerdict, execution: string | undefined): Promise<void> {
    const { store, host, controller } = this.#control.parts;
    const shape = decisionShape(decision, verdict);
    this.#quiet = verdict.state === 'healthy' && !decision.blocks.some((block) => passing.has(block.code));
    if (shape === this.#lastShape) return;
    this.#lastShape = shape;
    this.#listeners.onDecision?.(decision, verdict);
    host.log.info('serve.decision', { act: decision.act, summary: decision.summary });
    await recordDecision(store, { ...decision, atMs: host.clock.nowMs(), controller, verdict, ...(execution ? { execution } : {}) }).catch(
      (thrown) => {
        // The decision was taken and acted upon; that it can't be remembered must not undo it.
        host.log.warn('serve.decision-not-kept', { message: asHoldfastError(thrown).message, decision: toJson(decision) });
      },
    );
  }
}
