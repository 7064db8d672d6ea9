/**
 * Holds an execution's lease: renews it three times in its life, and says at once when it is lost.
 *
 * Invariant: `isHeld` is true only before the end of the lease by the clock it was renewed on, so a runner that was stopped for a while (a suspended machine, a long
 * pause) knows before its next act that another may be running. A death lets the lease run out: others wait for at most its time.
 */
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import type { Lease, StateStore } from '../contracts/state-store.ts';
import type { Clock } from '../host/host.ts';

const releaseMaxMs = 1_000;

export class LeaseKeeper {
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #onLost: (error: HoldfastError) => void;
  readonly #renewEveryMs: number;
  #lease: Lease;
  #over = false;
  #cancel = () => {};
  #cancelEnd = () => {};

  /** @param renewEveryMs by default three times in the lease's life */
  constructor(store: StateStore, clock: Clock, lease: Lease, onLost: (error: HoldfastError) => void, renewEveryMs = lease.ttlMs / 3) {
    this.#renewEveryMs = renewEveryMs;
    this.#store = store;
    this.#clock = clock;
    this.#lease = lease;
    this.#onLost = onLost;
    this.#schedule();
  }

  get lease(): Lease {
    return this.#lease;
  }

  get isHeld(): boolean {
    return !this.#over && this.#clock.monotonicMs() < this.#lease.validUntilMonotonicMs;
  }

  /** No longer renewed. */
  stop(): void {
    this.#over = true;
    this.#cancel();
    this.#cancelEnd();
  }

  /** Gives the lease to whoever wants it next. What goes wrong here only makes them wait until it runs out. */
  async release(): Promise<void> {
    const wasHeld = this.isHeld;
    this.stop();
    if (!wasHeld) return;
    let cancel = () => {};
    const longEnough = new Promise<void>((resolve) => {
      cancel = this.#clock.after(releaseMaxMs, resolve);
    });
    await Promise.race([this.#store.releaseLease(this.#lease).catch(() => {}), longEnough]);
    cancel();
  }

  #schedule(): void {
    this.#cancel = this.#clock.after(this.#renewEveryMs, () => void this.#renew());
    this.#watchEnd();
  }

  #watchEnd(): void {
    this.#cancelEnd();
    const restMs = this.#lease.validUntilMonotonicMs - this.#clock.monotonicMs();
    this.#cancelEnd = this.#clock.after(Math.max(1, restMs), () => {
      if (this.isHeld) this.#watchEnd();
      else this.#lose(fail('STATE_LEASE_LOST', { subject: this.#lease.name, message: 'the lease could not be renewed in time' }));
    });
  }

  async #renew(): Promise<void> {
    try {
      const renewed = await this.#store.renewLease(this.#lease);
      if (this.#over) return;
      this.#lease = renewed;
      this.#schedule();
    } catch (thrown) {
      if (this.#over) return;
      const error = asHoldfastError(thrown, this.#lease.name);
      if (error.kind !== 'transient' && error.kind !== 'unknown-outcome') return this.#lose(error);
      // There is still time until the end, which has its own timer.
      this.#cancel = this.#clock.after(this.#lease.ttlMs / 20, () => void this.#renew());
    }
  }

  #lose(error: HoldfastError): void {
    if (this.#over) return;
    this.stop();
    this.#onLost(error);
  }
}
