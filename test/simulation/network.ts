/** The ways between the controller and the regions: how long a message takes, and which are cut. What is cut is silent: nothing is refused, nothing comes back. */
import type { Limit } from '../../src/drivers/postgresql/ports.ts';
import type { Chance } from './chance.ts';
import type { VirtualTime } from './virtual-time.ts';

export class Network {
  /** Regions that the controller can't reach. */
  readonly cut = new Set<string>();
  /** Regions whose hosts are off. */
  readonly dark = new Set<string>();
  /** Until when messages to a region may be slow, and how slow. */
  readonly #slow = new Map<string, { readonly untilMs: number; readonly mostMs: number }>();
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #usualMs: number;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
    this.#usualMs = chance.pick([0, 1, 5, 20]);
  }

  slowDown(region: string, durationMs: number, mostMs: number): void {
    this.#slow.set(region, { untilMs: this.#time.nowMs + durationMs, mostMs });
  }

  isSlow(region: string): boolean {
    return (this.#slow.get(region)?.untilMs ?? 0) > this.#time.nowMs;
  }

  isReachable(region: string): boolean {
    return !this.cut.has(region) && !this.dark.has(region);
  }

  heal(): void {
    this.cut.clear();
    this.dark.clear();
    this.#slow.clear();
  }

  /** Resolves when the message has arrived, to what is left of the limit; to undefined when the limit is over before. */
  async travel(region: string, limit: Limit): Promise<Limit | undefined> {
    const slow = this.isSlow(region) ? this.#slow.get(region) : undefined;
    const takesMs = Math.floor(this.#chance.between(0, slow?.mostMs ?? this.#usualMs));
    const arrives = this.isReachable(region) && takesMs < limit.timeoutMs;
    if (arrives && takesMs === 0 && !limit.signal.aborted) return limit;
    const inTime = await this.#wait(arrives ? takesMs : limit.timeoutMs, limit.signal);
    return arrives && inTime && this.isReachable(region) ? { ...limit, timeoutMs: limit.timeoutMs - takesMs } : undefined;
  }

  /** False when the signal came first. */
  #wait(durationMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(false);
      const stop = () => {
        cancel();
        resolve(false);
      };
      const cancel = this.#time.after(durationMs, () => {
        signal.removeEventListener('abort', stop);
        resolve(true);
      });
      signal.addEventListener('abort', stop, { once: true });
    });
  }
}
