/** Notices when the wall clock has jumped against the steady one: after that, times of evidence say nothing until they were taken anew. Keeps nothing durable. */
import type { Clock, Log } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';

const jumpMs = 2_000;

export class ClockJumps {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settledMs: number;
  #offsetMs: number;
  #jumpedAtMonotonicMs: number | undefined;

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }, { failover, watch }: Spec) {
    this.#clock = clock;
    this.#log = log;
    this.#settledMs = failover.graceMs + watch.failures * (watch.everyMs + watch.timeoutMs);
    this.#offsetMs = this.#currentOffsetMs();
  }

  /** When it jumped, by the steady clock; undefined once all evidence is newer than that. */
  look(): number | undefined {
    const offsetMs = this.#currentOffsetMs();
    if (Math.abs(offsetMs - this.#offsetMs) > jumpMs) {
      this.#log.warn('serve.clock-jumped', { byMs: Math.round(offsetMs - this.#offsetMs) });
      this.#jumpedAtMonotonicMs = this.#clock.monotonicMs();
    }
    this.#offsetMs = offsetMs;
    if (this.#jumpedAtMonotonicMs === undefined) return undefined;
    if (this.#clock.monotonicMs() - this.#jumpedAtMonotonicMs > this.#settledMs) this.#jumpedAtMonotonicMs = undefined;
    return this.#jumpedAtMonotonicMs;
  }

  #currentOffsetMs(): number {
    return this.#clock.nowMs() - this.#clock.monotonicMs();
  }
}
