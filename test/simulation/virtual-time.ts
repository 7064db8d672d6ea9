/**
 * The time of a simulated world: it moves from timer to timer, and everything that a fired timer sets going happens before the next one is fired. Which of several timers of one
 * instant comes first is left to chance, as it is outside.
 */
import type { Random } from '../../src/host/host.ts';

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  callback: (() => void) | undefined;
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

export class VirtualTime {
  readonly #random: Random;
  readonly #heap: Timer[] = [];
  #nowMs = 0;
  /** Timers fired so far. */
  fired = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  after(durationMs: number, callback: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + Math.max(0, durationMs), order: this.#random.next(), callback };
    this.#push(timer);
    return () => {
      timer.callback = undefined;
    };
  }

  sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(durationMs, resolve));
  }

  /** Moves on until the time has come or `stop` holds; `afterEach` is called whenever all has settled after a timer. */
  async run(untilMs: number, afterEach: () => void, stop: () => boolean = () => false): Promise<void> {
    await settle();
    for (let timer = this.#heap[0]; timer !== undefined && timer.dueMs <= untilMs && !stop(); timer = this.#heap[0]) {
      this.#pop();
      const { callback } = timer;
      if (callback === undefined) continue;
      this.#nowMs = timer.dueMs;
      this.fired += 1;
      timer.callback = undefined;
      callback();
      await settle();
      afterEach();
    }
    if (!stop()) this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent] as Timer;
      if (!isBefore(timer, above)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Timer)) child += 1;
      const below = heap[child] as Timer;
      if (!isBefore(below, last)) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = last;
  }
}

function isBefore(left: Timer, right: Timer): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.order < right.order);
}
