/**
 * A process that meets its doom at a commit, before or after it has happened:
 *   dies      as `kill -9` does it: from then on its timers never fire and its calls to the store never answer
 *   cut-off   it lives, and its calls to the store do not come back
 *   stalls    as a suspended machine does: it stands still for longer than a lease lasts, then goes on as if nothing had been
 */
import type { Change, StateStore } from '../../src/contracts/state-store.ts';
import type { Clock, Host } from '../../src/host/host.ts';
import { never } from './fake-platform.ts';

export interface Doom {
  /** Counted over the commits of this process, from 1; 0: never. */
  readonly atCommit: number;
  readonly when: 'before' | 'after';
  readonly how: 'dies' | 'cut-off' | 'stalls';
}

/** Longer than a lease lasts. */
const stallMs = 8_000;

export class MortalProcess {
  readonly name: string;
  readonly store: StateStore;
  readonly host: Pick<Host, 'clock' | 'random' | 'log'>;
  readonly #real: Clock;
  #dead = false;
  #cutOff = false;
  #stalledUntilMs = 0;
  #commits = 0;

  constructor(name: string, store: StateStore, host: Host, doom: Doom, commitMs: () => number) {
    this.name = name;
    this.#real = host.clock;
    this.host = { clock: this.#clock(host.clock), random: host.random, log: host.log };
    this.store = this.#guarded(store, doom, commitMs);
  }

  get isDead(): boolean {
    return this.#dead;
  }

  /** Dead, without a store for good, or stalled at least once: the next process may begin. */
  get isDoomed(): boolean {
    return this.#dead || this.#cutOff || this.#stalledUntilMs > 0;
  }

  /** Stands still, or has once. */
  get isStalled(): boolean {
    return this.#stalledUntilMs > 0;
  }

  die(): void {
    this.#dead = true;
  }

  #clock(clock: Clock): Clock {
    const after = (durationMs: number, callback: () => void) =>
      clock.after(durationMs, () => {
        const restMs = this.#stalledUntilMs - clock.monotonicMs();
        if (this.#dead) return;
        if (restMs > 0) clock.after(restMs, callback);
        else callback();
      });
    return {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after,
      sleep: async (durationMs, signal) => {
        await clock.sleep(durationMs, signal);
        await this.#wake(clock);
      },
    };
  }

  /** Goes on when a stall is over; never, when dead. */
  async #wake(clock: Clock): Promise<void> {
    const restMs = this.#stalledUntilMs - clock.monotonicMs();
    if (restMs > 0) await clock.sleep(restMs);
    if (this.#dead) await never();
  }

  #guarded(store: StateStore, doom: Doom, commitMs: () => number): StateStore {
    const call =
      <Args extends unknown[], T>(what: (...args: Args) => Promise<T>) =>
      async (...args: Args): Promise<T> => {
        if (this.#dead || this.#cutOff) return never();
        const answer = await what(...args);
        await this.#wake(this.#real);
        return this.#cutOff ? never() : answer;
      };
    const meetDoom = () => {
      if (doom.how === 'dies') this.#dead = true;
      else if (doom.how === 'cut-off') this.#cutOff = true;
      else this.#stalledUntilMs = this.#real.monotonicMs() + stallMs;
    };
    return {
      get: call((key) => store.get(key)),
      range: call((prefix, options) => store.range(prefix, options)),
      commit: call(async (changes: readonly Change[]) => {
        this.#commits += 1;
        const last = this.#commits === doom.atCommit;
        await this.host.clock.sleep(commitMs());
        if (last && doom.when === 'before') meetDoom();
        await this.#wake(this.#real);
        if (this.#cutOff) return never<number>();
        const revision = await store.commit(changes);
        if (last) meetDoom();
        return revision;
      }),
      watch: (prefix, listener, options) =>
        store.watch(
          prefix,
          (event) => {
            if (!this.#dead && !this.#cutOff) listener(event);
          },
          options,
        ),
      acquireLease: call((name, holder, ttlMs) => store.acquireLease(name, holder, ttlMs)),
      renewLease: call((lease) => store.renewLease(lease)),
      releaseLease: call((lease) => store.releaseLease(lease)),
      readLease: call((name) => store.readLease(name)),
      close: async () => {},
    };
  }
}
