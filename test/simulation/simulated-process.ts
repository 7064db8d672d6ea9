/**
 * One process of the controller: a clock of its own, and calls outside that take time. Killed (`kill -9`), it does nothing more: its timers never fire, what it asked is done
 * if the question was on its way, and no answer reaches it. Stalled (a suspended machine), it stands still and goes on as if nothing had been.
 */
import type { Clock } from '../../src/host/host.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface Doom {
  /** Counted in calls outside from now on. */
  readonly inCalls: number;
  readonly when: 'before' | 'after';
  /** It does not die, but stands still for so long. */
  readonly stallMs?: number;
}

/** No timer is finer: otherwise one that is set for what is left of a time would be early for ever. */
const timerGrainMs = 0.01;

export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}

export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #time: VirtualTime;
  readonly #ends: (() => void)[] = [];
  #doom: { readonly atCall: number; readonly when: Doom['when']; readonly stallMs: number | undefined } | undefined;
  #calls = 0;
  #stalledUntilMs = 0;
  #isDead = false;
  onDeath: () => void = () => {};
  onStall: () => void = () => {};

  /** @param rate how fast the steady clock of its machine runs */
  constructor(name: string, time: VirtualTime, wallMs: () => number, rate = 1) {
    this.name = name;
    this.#time = time;
    const after = (durationMs: number, callback: () => void) =>
      time.after(durationMs > 0 ? Math.max(durationMs / rate, timerGrainMs) : 0, () => this.deliver(callback));
    this.clock = {
      nowMs: wallMs,
      monotonicMs: () => time.nowMs * rate,
      after,
      sleep: (durationMs, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const stop = () => {
            cancel();
            reject(signal?.reason);
          };
          const cancel = after(durationMs, () => {
            signal?.removeEventListener('abort', stop);
            resolve();
          });
          signal?.addEventListener('abort', stop, { once: true });
        }),
    };
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isStalled(): boolean {
    return this.#time.nowMs < this.#stalledUntilMs;
  }

  kill(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    for (const listener of this.#ends) listener();
    this.onDeath();
  }

  /** Told of its death, before anything else. */
  onEnd(listener: () => void): void {
    this.#ends.push(listener);
  }

  /** Something reaches it from beside it, in a turn of its own. */
  later(callback: () => void): void {
    this.#time.after(0, () => this.deliver(callback));
  }

  stall(durationMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#time.nowMs + durationMs);
  }

  doom({ inCalls, when, stallMs }: Doom): void {
    this.#doom = { atCall: this.#calls + inCalls, when, stallMs };
  }

  #meet(doom: { readonly stallMs: number | undefined }): void {
    this.#doom = undefined;
    if (doom.stallMs === undefined) this.kill();
    else {
      this.stall(doom.stallMs);
      this.onStall();
    }
  }

  /** Something from outside reaches the process: never when it is dead, late when it stands still. */
  deliver(callback: () => void): void {
    if (this.#isDead) return;
    const restMs = this.#stalledUntilMs - this.#time.nowMs;
    if (restMs > 0) this.#time.after(restMs, () => this.deliver(callback));
    else callback();
  }

  /** A call outside. `act` is what happens there. */
  async call<T>(act: () => Promise<T>): Promise<T> {
    if (this.#isDead) return never();
    this.#calls += 1;
    const doom = this.#doom?.atCall === this.#calls ? this.#doom : undefined;
    if (doom?.when === 'before') {
      this.#meet(doom);
      await this.awake();
    }
    try {
      const answer = await act();
      if (doom?.when === 'after') this.#meet(doom);
      await this.awake();
      return answer;
    } catch (error) {
      if (doom?.when === 'after') this.#meet(doom);
      await this.awake();
      throw error;
    }
  }

  /** Resolves when it does not stand still; never, when it is dead. */
  awake(): Promise<void> {
    if (!this.#isDead && this.#stalledUntilMs <= this.#time.nowMs) return Promise.resolve();
    return new Promise((resolve) => this.deliver(resolve));
  }
}
