/**
 * The executions that this process runs: those that it began, and those that it found without a runner.
 *
 * When the process dies, their leases run out, and whoever serves next finds them in the same way.
 */
import { asHoldfastError } from '../base/errors.ts';
import { findUnattended, type Unattended } from '../engine/find-resumable.ts';
import type { Control } from './control.ts';
import { type BegunExecution, type RunListeners, runToEnd } from './executions.ts';
import { localHandsNeeded } from './hands-elsewhere.ts';
import { missingSites } from './missing-sites.ts';

export interface RunningListeners extends RunListeners {
  readonly onExecution?: (id: string) => void;
}

export class RunningExecutions {
  readonly #control: Control;
  readonly #signal: AbortSignal;
  readonly #listeners: RunningListeners;
  readonly #onEnded: () => void;
  readonly #running = new Map<string, Promise<void>>();
  /** Executions that need sites which the spec does not have. */
  readonly #foreign = new Set<string>();

  /** @param onEnded told after each end, whatever it was */
  constructor(control: Control, signal: AbortSignal, listeners: RunningListeners, onEnded: () => void) {
    this.#control = control;
    this.#signal = signal;
    this.#listeners = listeners;
    this.#onEnded = onEnded;
  }

  /** Goes on with whatever nobody runs; with several controllers, with what is this one's turn. */
  async takeUp(choose: (unattended: readonly Unattended[]) => readonly Unattended[] = (all) => all): Promise<void> {
    const { store, host } = this.#control.parts;
    const unreadable = (id: string, error: unknown) =>
      host.log.error('serve.execution-unreadable', { execution: id, message: asHoldfastError(error).message });
    const candidates = (await findUnattended(store, unreadable)).filter(({ id }) => !this.#running.has(id) && !this.#foreign.has(id));
    const anyones: Unattended[] = [];
    const ours: string[] = [];
    for (const one of candidates) {
      const needed = await localHandsNeeded(this.#control, one.id);
      if (needed === 'anyone') anyones.push(one);
      else if (needed === 'here') ours.push(one.id);
    }
    for (const id of [...ours, ...choose(anyones).map((one) => one.id)]) {
      const refusal = await missingSites(this.#control, id);
      if (refusal === undefined) this.run(id);
      else {
        // This process has one spec for as long as it lives: said once.
        this.#foreign.add(id);
        host.log.error('serve.execution-of-another-spec', { execution: id, message: refusal.message });
      }
    }
  }

  /** What was just begun here: run here, unless it takes the hands of another controller, which then finds it. */
  async begun(id: string): Promise<void> {
    const { log } = this.#control.parts.host;
    try {
      const needed = await localHandsNeeded(this.#control, id);
      if (typeof needed === 'string') this.run(id);
      else log.info('serve.execution-left-to-another', { execution: id, region: needed.region });
    } catch (thrown) {
      // Whoever looks for work next finds it: this one too.
      log.warn('serve.execution-not-read', { execution: id, message: asHoldfastError(thrown).message });
    }
  }

  /** What was just begun here and taken in hand is run at once. */
  take(begun: BegunExecution): void {
    if (begun.lease) this.run(begun.header.id, begun);
    else void this.begun(begun.header.id);
  }

  /** In the background; nothing happens where it runs here already. */
  run(id: string, begun?: BegunExecution): void {
    if (this.#running.has(id)) return;
    const { log } = this.#control.parts.host;
    this.#listeners.onExecution?.(id);
    const run = runToEnd(this.#control, id, this.#signal, this.#listeners, begun)
      .then((state) => log.info('serve.execution-ended', { execution: id, status: state.status }))
      .catch((thrown) => {
        const error = asHoldfastError(thrown);
        // Somebody else has it, or this process ends: both are as they should be.
        const expected = error.code === 'INTERRUPTED' || error.code === 'STATE_LEASE_HELD' || error.code === 'STATE_LEASE_LOST';
        log[expected ? 'info' : 'error']('serve.execution-left', { execution: id, code: error.code, message: error.message });
      })
      .finally(() => {
        this.#running.delete(id);
        this.#onEnded();
      });
    this.#running.set(id, run);
  }

  /** Once all of them have ended: on the signal they do. */
  async ended(): Promise<void> {
    await Promise.allSettled([...this.#running.values()]);
  }
}
