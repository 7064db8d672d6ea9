/**
 * The ways between the places of a simulated world: how long a message takes, which ways are cut, and in which direction. What is cut is silent: nothing is refused, nothing comes back.
 *
 * There are three kinds of traffic, for a partition may cut each by itself: controllers asking sites, controllers and members of the state store among each other, and servers replicating.
 * A question whose answer is lost has had its effect.
 */
import type { Limit } from '../../src/drivers/postgresql/ports.ts';
import type { Chance } from './chance.ts';
import type { VirtualTime } from './virtual-time.ts';

/** `outside`: a place of its own, where a single controller runs, and the people. */
export type Place = 'east' | 'west' | 'witness' | 'outside';
export type Traffic = 'sites' | 'state' | 'servers';
export const allTraffic: readonly Traffic[] = ['sites', 'state', 'servers'];

export class Network {
  /** `traffic from>to` of what does not get through. */
  readonly #cut = new Map<string, number>();
  /** Places whose hosts are off. */
  readonly dark = new Set<string>();
  /** Until when messages to a place may be slow, and how slow. */
  readonly #slow = new Map<string, { readonly untilMs: number; readonly mostMs: number }>();
  /** Grows with each cut and each mend. */
  version = 0;
  /** How many answers get lost. */
  lostShare = 0;
  /** How many orders are carried out twice. */
  doubledShare = 0;
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #usualMs: number;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
    this.#usualMs = chance.pick([0, 1, 5, 20]);
  }

  slowDown(place: string, durationMs: number, mostMs: number): void {
    this.#slow.set(place, { untilMs: this.#time.nowMs + durationMs, mostMs });
  }

  isSlow(place: string): boolean {
    return this.lostShare > 0 || (this.#slow.get(place)?.untilMs ?? 0) > this.#time.nowMs;
  }

  /** Nothing is cut, and no host is off. */
  get isWhole(): boolean {
    return this.#cut.size === 0 && this.dark.size === 0;
  }

  /** Several cuts of one way may overlap: it is open again when all are mended. */
  cut(traffic: readonly Traffic[], from: Place, to: Place): () => void {
    this.version += 1;
    const keys = traffic.map((each) => `${each} ${from}>${to}`);
    for (const key of keys) this.#cut.set(key, (this.#cut.get(key) ?? 0) + 1);
    return () => {
      this.version += 1;
      for (const key of keys) {
        const left = (this.#cut.get(key) ?? 0) - 1;
        if (left > 0) this.#cut.set(key, left);
        else this.#cut.delete(key);
      }
    };
  }

  /** Messages get there. */
  isOpen(traffic: Traffic, from: Place, to: Place): boolean {
    if (this.dark.size > 0 && (this.dark.has(to) || this.dark.has(from))) return false;
    return from === to || this.#cut.size === 0 || (this.#cut.get(`${traffic} ${from}>${to}`) ?? 0) === 0;
  }

  /** Messages get there, and answers back. */
  isReachable(traffic: Traffic, from: Place, to: Place): boolean {
    return this.isOpen(traffic, from, to) && this.isOpen(traffic, to, from);
  }

  heal(): void {
    this.version += 1;
    this.#cut.clear();
    this.dark.clear();
    this.#slow.clear();
    this.lostShare = 0;
    this.doubledShare = 0;
  }

  /** An order that may come twice: then it is carried out again at once, and whatever comes of that nobody is told. */
  async carryOut<T>(act: () => Promise<T>): Promise<T> {
    if (this.doubledShare === 0 || !this.#chance.happens(this.doubledShare)) return act();
    const first = await act();
    await act().catch(() => undefined);
    return first;
  }

  /** Asks, and brings the answer back. `silence` is what the asker makes of it when none comes within the limit. */
  async exchange<T>(
    traffic: Traffic,
    from: Place,
    to: Place,
    limit: Limit,
    act: (rest: Limit) => Promise<T>,
    silence: () => Error,
  ): Promise<T> {
    const startedMs = this.#time.nowMs;
    const rest = await this.#travel(traffic, from, to, limit);
    if (!rest) throw silence();
    let answer: { readonly value: T } | { readonly error: unknown };
    try {
      answer = { value: await act(rest) };
    } catch (error) {
      answer = { error };
    }
    const isLost = from !== to && (!this.isOpen(traffic, to, from) || (this.lostShare > 0 && this.#chance.happens(this.lostShare)));
    if (isLost) {
      await this.#wait(Math.max(0, limit.timeoutMs - (this.#time.nowMs - startedMs)), limit.signal);
      throw silence();
    }
    if ('error' in answer) throw answer.error;
    return answer.value;
  }

  /** Resolves when the message has arrived, to what is left of the limit; to undefined when the limit is over before. */
  async #travel(traffic: Traffic, from: Place, to: Place, limit: Limit): Promise<Limit | undefined> {
    const slow = this.#slow.get(to);
    const isSlow = slow !== undefined && slow.untilMs > this.#time.nowMs;
    const takesMs = from === to && !isSlow ? 0 : Math.floor(this.#chance.between(0, isSlow ? slow.mostMs : this.#usualMs));
    const arrives = this.isOpen(traffic, from, to) && takesMs < limit.timeoutMs;
    if (arrives && takesMs === 0 && !limit.signal.aborted) return limit;
    const inTime = await this.#wait(arrives ? takesMs : limit.timeoutMs, limit.signal);
    return arrives && inTime && this.isOpen(traffic, from, to) ? { ...limit, timeoutMs: limit.timeoutMs - takesMs } : undefined;
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

/** The network as one process sees it. */
export interface Outlook {
  readonly network: Network;
  readonly from: Place;
}
