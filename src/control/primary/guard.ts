/**
 * Decides when a region is fenced: at the deadline that it was last given, or when it is told to. It knows of nothing but its clock, so that nothing can keep it from it.
 *
 * Invariants: once armed, it leaves that state only by a fence that was proven, or by an orderly farewell before the deadline. A deadline that has passed is acted upon before anything
 * that arrives later, however fresh: after a freeze or a suspension of the machine the first thing that happens is the fence. Tokens only grow; a deadline never moves back under one token.
 * A death here leaves the region as it is: the controller, who hears of it at once, starts another guard under the same deadline or fences by itself.
 */
import { assert } from '../../base/assert.ts';
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { Clock, Log } from '../../host/host.ts';
import { type FenceReport, type GuardState, steadyMs } from './guard-messages.ts';

/** A timer counts no time of suspension: the clock is looked at this often at least. */
const tickMs = 100;
const retryPauseMs = 50;
/** Hands that have failed for long are most likely gone for good, and the machine has other things to do. */
const retryPauseMaxMs = 5_000;

export interface GuardParts {
  readonly clock: Clock;
  readonly log: Log;
  /** Fences everything that is covered, now. Rejects unless all of it was proven. */
  fence(why: string): Promise<Readonly<Record<string, string>>>;
  readonly onFenced?: (report: FenceReport) => void;
}

export class Guard {
  readonly #parts: GuardParts;
  #state: GuardState = 'idle';
  #token = 0;
  #holder = '';
  #deadlineMs = 0;
  #fencing: Promise<FenceReport> | undefined;
  #cancelTick = () => {};

  constructor(parts: GuardParts) {
    this.#parts = parts;
  }

  get state(): GuardState {
    return this.#state;
  }

  get token(): number {
    return this.#token;
  }

  get holder(): string {
    return this.#holder;
  }

  /** From here on the region is fenced at the deadline, unless it is armed again before. Throws GUARD_TOO_LATE, and fences, where an earlier deadline has passed. */
  arm(token: number, holder: string, deadlineMs: number): void {
    this.#actOnDeadline();
    const nowMs = steadyMs(this.#parts.clock);
    if (this.#state === 'fencing') throw tooLate('the region is being fenced');
    if (this.#state === 'fenced' && token <= this.#token) throw tooLate('the region was fenced under this lease');
    if (token < this.#token) throw tooLate(`a lease with token ${this.#token} came after this one`);
    if (deadlineMs <= nowMs) throw tooLate('the deadline has passed already');
    this.#deadlineMs = this.#state === 'armed' && token === this.#token ? Math.max(this.#deadlineMs, deadlineMs) : deadlineMs;
    if (this.#state !== 'armed') this.#parts.log.info('guard.armed', { token });
    this.#token = token;
    this.#holder = holder;
    this.#state = 'armed';
    this.#fencing = undefined;
    this.#tickLater();
  }

  /** The region is fenced now. Resolves once that is proven; told again, it is the same fence. */
  fenceNow(why: string): Promise<FenceReport> {
    if (this.#state === 'fenced' && this.#fencing !== undefined) return this.#fencing;
    this.#fencing ??= this.#fenceUntilProven(why);
    return this.#fencing;
  }

  /** Nothing depends on the fence any more. Refused where the deadline has passed. */
  dismiss(): void {
    this.#actOnDeadline();
    if (this.#state === 'fencing') throw tooLate('the region is being fenced');
    this.#state = this.#state === 'armed' ? 'idle' : this.#state;
    this.#cancelTick();
  }

  #actOnDeadline(): void {
    if (this.#state === 'armed' && steadyMs(this.#parts.clock) >= this.#deadlineMs) void this.fenceNow('the lease was not renewed in time');
  }

  #tickLater(): void {
    this.#cancelTick();
    const leftMs = this.#deadlineMs - steadyMs(this.#parts.clock);
    this.#cancelTick = this.#parts.clock.after(Math.max(0, Math.min(leftMs, tickMs)), () => {
      if (this.#state !== 'armed') return;
      this.#actOnDeadline();
      if (this.#state === 'armed') this.#tickLater();
    });
  }

  async #fenceUntilProven(why: string): Promise<FenceReport> {
    const { clock, log } = this.#parts;
    const beganMs = steadyMs(clock);
    this.#state = 'fencing';
    this.#cancelTick();
    log.warn('guard.fencing', { why, token: this.#token });
    for (let pauseMs = retryPauseMs; ; pauseMs = Math.min(2 * pauseMs, retryPauseMaxMs)) {
      try {
        const evidence = await this.#parts.fence(why);
        assert(this.#state === 'fencing', 'nothing but its proof ends a fence');
        const doneAtMs = steadyMs(clock);
        const report: FenceReport = { why, doneAtMs, tookMs: Math.round(doneAtMs - beganMs), evidence };
        this.#state = 'fenced';
        log.warn('guard.fenced', report);
        this.#parts.onFenced?.(report);
        return report;
      } catch (thrown) {
        const error = asHoldfastError(thrown);
        log.error('guard.fence-failed', { code: error.code, message: error.message });
        await clock.sleep(pauseMs);
      }
    }
  }
}

function tooLate(message: string) {
  return fail('GUARD_TOO_LATE', { message });
}
