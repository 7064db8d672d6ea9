/**
 * The lease that says: the controller of this region is there. Renewed by a timer of its own; lost, it is taken again when it can be.
 *
 * Invariant: while `lease` is there, no other process is the controller of this region. When the process dies the lease runs out, and what it has said counts no more.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { Lease, StateStore } from '../../contracts/state-store.ts';
import { LeaseKeeper } from '../../engine/lease-keeper.ts';
import type { Clock, Log } from '../../host/host.ts';
import { type OpinionRecord, opinionKey, presenceLease } from './opinion-records.ts';
import { stateIsAway } from './state-is-away.ts';

const tryAgainMs = 100;

export interface PresenceParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly region: string;
  readonly controller: string;
  readonly ttlMs: number;
  readonly renewEveryMs: number;
}

export class Presence {
  readonly #parts: PresenceParts;
  #keeper: LeaseKeeper | undefined;

  constructor(parts: PresenceParts) {
    this.#parts = parts;
  }

  /** Undefined while it is not held. */
  get lease(): Lease | undefined {
    return this.#keeper?.isHeld ? this.#keeper.lease : undefined;
  }

  /**
   * Takes it unless it is held already. One that was killed a moment ago still has it for as long as it lasts; REGION_CLAIMED when somebody goes on renewing it.
   * @param patient a state that does not answer is waited for: whoever begins while it is away has nothing better to do
   */
  async take(signal: AbortSignal, patient = false): Promise<void> {
    if (this.lease) return;
    const { store, clock, log, region, controller, ttlMs, renewEveryMs } = this.#parts;
    let deadlineMs = clock.monotonicMs() + 2 * ttlMs;
    for (;;) {
      try {
        const lease = await store.acquireLease(presenceLease(region), controller, ttlMs);
        this.#keeper?.stop();
        const lost = (error: HoldfastError) => log.warn('fleet.presence-lost', { region, message: error.message });
        this.#keeper = new LeaseKeeper(store, clock, lease, lost, renewEveryMs);
        return;
      } catch (thrown) {
        if (!(thrown instanceof HoldfastError) || signal.aborted) throw thrown;
        if (patient && stateIsAway(thrown)) {
          log.warn('fleet.state-awaited', { region, message: thrown.message });
          await clock.sleep(renewEveryMs, signal).catch(() => undefined);
          // What time was spent waiting for the state says nothing about a holder.
          deadlineMs = clock.monotonicMs() + 2 * ttlMs;
          continue;
        }
        if (thrown.code !== 'STATE_LEASE_HELD') throw thrown;
        if (clock.monotonicMs() > deadlineMs) throw await this.#claimed(thrown);
        await clock.sleep(tryAgainMs, signal).catch(() => undefined);
      }
    }
  }

  /** Gives it up, and with it every word that was said under it. */
  async release(): Promise<void> {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    await keeper?.release();
  }

  async #claimed(held: HoldfastError): Promise<HoldfastError> {
    const { store, region } = this.#parts;
    const record = (await store.get(opinionKey(region)))?.value as unknown as OpinionRecord | undefined;
    const holder = String(held.details?.holder ?? 'another process');
    const since = record?.controller === holder ? `, since ${formatInstant(record.startedAtMs)} by its clock` : '';
    return fail('REGION_CLAIMED', {
      subject: region,
      message: `${holder} is the controller of ${region}${since}`,
      hint: 'Stop that one, or name the region that this machine really stands in.',
      cause: held,
    });
  }
}
