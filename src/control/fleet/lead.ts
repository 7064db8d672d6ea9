/**
 * Who leads: takes the lease when it is free, steps down for a better one.
 *
 * Invariant: at most one leads, by the lease's own rules. It steps down at most once in a while, so that two that each think the other the better one do not hand it to and fro.
 */
import { asHoldfastError, HoldfastError } from '../../base/errors.ts';
import type { Lease, StateStore } from '../../contracts/state-store.ts';
import { LeaseKeeper } from '../../engine/lease-keeper.ts';
import type { Clock, Log } from '../../host/host.ts';
import type { Unsuited } from './lead-suitability.ts';
import { leadLease } from './opinion-records.ts';

/** How long one that is not suited leaves a free lease to others. */
const courtesyMs = 1_000;
/** A better one must have been there for so long. */
const stepDownAfterMs = { urgent: 1_000, exposed: 5_000, distant: 30_000 };
/** If nobody took it, there is no use in offering it again soon. */
const betweenOffersMs = { urgent: 10_000, exposed: 60_000, distant: 60_000 };

export interface LeadParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly controller: string;
  readonly ttlMs: number;
  readonly renewEveryMs: number;
  /** At the very end of the lease, whatever else is being waited for. */
  readonly onLost: () => void;
}

export class Lead {
  readonly #parts: LeadParts;
  #keeper: LeaseKeeper | undefined;
  #freeSinceMonotonicMs: number | undefined;
  #unsuitedSinceMonotonicMs: number | undefined;
  #offeredAtMonotonicMs: number | undefined;

  constructor(parts: LeadParts) {
    this.#parts = parts;
  }

  get lease(): Lease | undefined {
    return this.#keeper?.isHeld ? this.#keeper.lease : undefined;
  }

  async turn(unsuited: Unsuited | undefined): Promise<void> {
    if (this.lease) await this.#stepDown(unsuited);
    else await this.#takeIfFree(unsuited);
  }

  async release(): Promise<void> {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    await keeper?.release();
  }

  async #takeIfFree(unsuited: Unsuited | undefined): Promise<void> {
    const { store, clock, log, controller, ttlMs, renewEveryMs } = this.#parts;
    const info = await store.readLease(leadLease);
    if (info?.held) {
      this.#freeSinceMonotonicMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#freeSinceMonotonicMs ??= nowMs;
    if (unsuited && nowMs - this.#freeSinceMonotonicMs < courtesyMs) return;
    try {
      const lease = await store.acquireLease(leadLease, controller, ttlMs);
      this.#keeper?.stop();
      const lost = (error: HoldfastError) => {
        log.warn('fleet.lead-lost', { message: error.message });
        this.#parts.onLost();
      };
      this.#keeper = new LeaseKeeper(store, clock, lease, lost, renewEveryMs);
      this.#freeSinceMonotonicMs = undefined;
      this.#unsuitedSinceMonotonicMs = undefined;
      log.info('fleet.leads', { controller });
    } catch (thrown) {
      // Another was a moment earlier.
      if (!(thrown instanceof HoldfastError) || thrown.code !== 'STATE_LEASE_HELD') throw asHoldfastError(thrown);
    }
  }

  async #stepDown(unsuited: Unsuited | undefined): Promise<void> {
    const { clock, log } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (!unsuited) {
      this.#unsuitedSinceMonotonicMs = undefined;
      return;
    }
    this.#unsuitedSinceMonotonicMs ??= nowMs;
    const { how } = unsuited;
    if (nowMs - this.#unsuitedSinceMonotonicMs < stepDownAfterMs[how]) return;
    if (this.#offeredAtMonotonicMs !== undefined && nowMs - this.#offeredAtMonotonicMs < betweenOffersMs[how]) return;
    this.#offeredAtMonotonicMs = nowMs;
    log.info('fleet.lead-offered', { because: unsuited.because });
    await this.release();
    this.#freeSinceMonotonicMs = nowMs;
  }
}
