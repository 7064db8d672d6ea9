/**
 * A region with a keeper, a guard and a data store, on virtual time: the real keeper, the real guard and the real fencer; the process boundaries, the store's network and the data store are
 * simulated. Processes can be killed and frozen, the state cut off, at any instant.
 */
import { fail } from '../../src/base/errors.ts';
import type { Json } from '../../src/base/json.ts';
import type { Lease, StateStore } from '../../src/contracts/state-store.ts';
import type { StepContext, Verb } from '../../src/contracts/verbs.ts';
import { Guard } from '../../src/control/primary/guard.ts';
import type { GuardEnd, GuardLink } from '../../src/control/primary/guard-link.ts';
import type { FenceReport, GuardState } from '../../src/control/primary/guard-messages.ts';
import { PrimaryKeeper } from '../../src/control/primary/primary-keeper.ts';
import { RegionFencer } from '../../src/control/primary/region-fencer.ts';
import type { Clock, Log } from '../../src/host/host.ts';
import { BarredStore, type StoreBreaks } from './barred-store.ts';

const never = <T>() => new Promise<T>(() => {});
const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, with: () => silent };

/** What runs in it stops while it is frozen, goes on afterwards, and goes on no more once it is dead. */
export class SimulatedProcess {
  dead = false;
  #frozen: { promise: Promise<void>; resolve: () => void } | undefined;

  get frozen(): boolean {
    return this.#frozen !== undefined;
  }

  freeze(): void {
    this.#frozen ??= Promise.withResolvers<void>();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
  }

  kill(): void {
    this.dead = true;
  }

  async gate(): Promise<void> {
    while (this.#frozen && !this.dead) await this.#frozen.promise;
    if (this.dead) await never();
  }

  clock(inner: Clock): Clock {
    const after = (durationMs: number, callback: () => void) => {
      let cancelled = false;
      const cancel = inner.after(durationMs, () => {
        void this.gate().then(() => !cancelled && callback());
      });
      return () => {
        cancelled = true;
        cancel();
      };
    };
    return {
      nowMs: () => inner.nowMs(),
      monotonicMs: () => inner.monotonicMs(),
      after,
      sleep: async (durationMs, signal) => {
        try {
          await inner.sleep(durationMs, signal);
        } finally {
          await this.gate();
        }
      },
    };
  }
}

/** The way to the state: `cut` keeps requests from arriving, `deaf` lets them arrive and loses the answers. */
export interface Way {
  state: 'open' | 'cut' | 'deaf';
  delayMs: number;
}

export function distantStore(inner: StateStore, process: SimulatedProcess, way: Way, clock: Clock): StateStore {
  const through = async <T>(request: () => Promise<T>): Promise<T> => {
    await process.gate();
    if (way.delayMs > 0) await clock.sleep(way.delayMs);
    if (way.state === 'cut') throw fail('SYSTEM_UNREACHABLE', { message: 'the state can not be reached' });
    let answer: () => T;
    try {
      const value = await request();
      answer = () => value;
    } catch (error) {
      answer = () => {
        throw error;
      };
    }
    if (way.delayMs > 0) await clock.sleep(way.delayMs);
    if (way.state !== 'open') throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: 'no answer came back' });
    await process.gate();
    return answer();
  };
  return {
    get: (key) => through(() => inner.get(key)),
    range: (prefix, options) => through(() => inner.range(prefix, options)),
    commit: (changes) => through(() => inner.commit(changes)),
    watch: (prefix, listener, options) =>
      inner.watch(prefix, (event) => void process.gate().then(() => way.state === 'open' && listener(event)), options),
    // A holder counts from before it asked.
    acquireLease: async (name, holder, ttlMs, options) => {
      const askedMs = clock.monotonicMs();
      const lease = await through(() => inner.acquireLease(name, holder, ttlMs, options));
      return { ...lease, validUntilMonotonicMs: askedMs + ttlMs };
    },
    renewLease: async (lease: Lease) => {
      const askedMs = clock.monotonicMs();
      await through(() => inner.renewLease(lease));
      return { ...lease, validUntilMonotonicMs: askedMs + lease.ttlMs };
    },
    releaseLease: (lease) => through(() => inner.releaseLease(lease)),
    readLease: (name) => through(() => inner.readLease(name)),
    close: () => inner.close(),
  };
}

class GuardProcess {
  readonly process = new SimulatedProcess();
  readonly guard: Guard;
  feeder: FakeLink | undefined;

  constructor(clock: Clock, fencer: RegionFencer, covered: readonly string[]) {
    const own = this.process.clock(clock);
    this.guard = new Guard({
      clock: own,
      log: silent,
      fence: async () => {
        await this.process.gate();
        const evidence = await fencer.fence(covered);
        await this.process.gate();
        return evidence;
      },
    });
  }
}

class FakeLink implements GuardLink {
  readonly found: { readonly state: GuardState; readonly token: number; readonly holder: string };
  readonly trial: GuardLink['trial'];
  end: GuardEnd | undefined;
  readonly #to: GuardProcess;
  readonly #from: SimulatedProcess;
  readonly #clock: Clock;
  readonly #listeners: ((end: GuardEnd) => void)[] = [];

  constructor(to: GuardProcess, from: SimulatedProcess, clock: Clock, trial: GuardLink['trial']) {
    const { state, token, holder } = to.guard;
    this.found = { state, token, holder };
    this.trial = trial;
    this.#to = to;
    this.#from = from;
    this.#clock = clock;
    to.feeder?.over('replaced');
    to.feeder = this;
  }

  over(end: GuardEnd): void {
    void this.#from.gate().then(() => {
      this.end ??= end;
      for (const listener of this.#listeners) listener(end);
    });
  }

  onEnd(listener: (end: GuardEnd) => void): void {
    this.#listeners.push(listener);
  }

  async #ask<T>(what: () => T | Promise<T>, timeoutMs: number | undefined): Promise<T> {
    await this.#from.gate();
    const lost = () => fail('GUARD_LOST', { message: 'the guard does not answer' });
    if (this.end !== undefined || this.#to.process.dead) throw lost();
    const answer = (async () => {
      await this.#to.process.gate();
      if (this.#to.feeder !== this) throw lost();
      const result = await what();
      await this.#to.process.gate();
      return result;
    })();
    answer.catch(() => {});
    const gone = Promise.withResolvers<never>();
    gone.promise.catch(() => {});
    this.onEnd(() => gone.reject(lost()));
    const cancel = timeoutMs === undefined ? () => {} : this.#clock.after(timeoutMs, () => gone.reject(lost()));
    try {
      return await Promise.race([answer, gone.promise]);
    } finally {
      cancel();
      await this.#from.gate();
    }
  }

  arm(token: number, holder: string, deadlineMs: number): Promise<void> {
    return this.#ask(() => this.#to.guard.arm(token, holder, deadlineMs), 500);
  }

  fence(why: string): Promise<FenceReport> {
    return this.#ask(() => this.#to.guard.fenceNow(why), undefined);
  }

  dismiss(): Promise<void> {
    return this.#ask(() => this.#to.guard.dismiss(), 500);
  }

  close(): void {
    if (this.#to.feeder === this) this.#to.feeder = undefined;
  }
}

export interface GuardedRegionOptions {
  readonly region: string;
  readonly clock: Clock;
  readonly store: StateStore;
  readonly ttlMs?: number;
  readonly renewEveryMs?: number;
  readonly fenceMs?: number;
  readonly serving?: boolean;
  readonly returnsByItself?: boolean;
  readonly breaks?: StoreBreaks;
}

export class GuardedRegion {
  readonly region: string;
  readonly way: Way = { state: 'open', delayMs: 0 };
  readonly data: BarredStore;
  keeper: PrimaryKeeper;
  controller = new SimulatedProcess();
  guard: GuardProcess | undefined;
  guardsStarted = 0;
  /** Fails the trial of the hands from now on. */
  handsBroken = false;
  /** How long a look by hands takes from now on. */
  lookMs = 0;
  readonly #options: Required<GuardedRegionOptions>;
  readonly #fencer: RegionFencer;
  #holder: string | undefined;
  #lastSeenPrimaryMs = Number.NEGATIVE_INFINITY;

  constructor(options: GuardedRegionOptions) {
    this.#options = { ttlMs: 5_000, renewEveryMs: 1_000, fenceMs: 150, serving: false, returnsByItself: true, breaks: {}, ...options };
    this.region = options.region;
    this.data = new BarredStore(options.clock, this.#options);
    this.#fencer = this.#makeFencer(options.clock);
    this.keeper = this.#makeKeeper();
  }

  /** The data store acknowledges writes. */
  get serving(): boolean {
    return this.data.serving;
  }

  set serving(serves: boolean) {
    this.data.serving = serves;
  }

  /** When it was last fenced, by the steady clock. */
  get fencedAtMs(): number | undefined {
    return this.data.fencedAtMs;
  }

  /** A process that is frozen hears of the end of its command later; and keeps no note meanwhile. */
  #byHands(verb: Verb, process: SimulatedProcess | undefined): Verb {
    const pass = async (context: StepContext): Promise<StepContext> => {
      if (this.handsBroken) throw fail('HANDS_UNREACHABLE', { message: 'no command can be run' });
      await process?.gate();
      const keepNote = async (note: Json) => {
        await process?.gate();
        await context.keepNote(note);
      };
      return { ...context, signal: context.signal, note: context.note, keepNote };
    };
    return {
      inspect: async (want, context) => {
        if (this.lookMs > 0) await this.#options.clock.sleep(this.lookMs);
        const seen = await verb.inspect(want, await pass(context));
        await process?.gate();
        return seen;
      },
      apply: async (want, context) => {
        await verb.apply(want, await pass(context));
        await process?.gate();
      },
    };
  }

  #makeFencer(clock: Clock, process?: SimulatedProcess): RegionFencer {
    return new RegionFencer({
      region: this.region,
      clock,
      log: silent,
      sites: [
        {
          component: 'orders',
          hands: 'local',
          site: {
            observe: never,
            fencesByHands: true,
            close: async () => {},
            verbs: {
              fence: this.#byHands(this.data.fence, process),
              thaw: this.#byHands(this.data.thaw, process),
            },
          },
        },
      ],
    });
  }

  #makeKeeper(): PrimaryKeeper {
    const { clock, store, ttlMs, renewEveryMs } = this.#options;
    const { controller } = this;
    const own = controller.clock(clock);
    return new PrimaryKeeper({
      region: this.region,
      ttlMs,
      renewEveryMs,
      store: distantStore(store, controller, this.way, own),
      clock: own,
      log: silent,
      openGuard: () => this.#openGuard(controller, own),
      fencer: this.#makeFencer(own, controller),
      returnsByItself: this.#options.returnsByItself,
      primariesSince: (sinceMs) => {
        if (this.serving) this.#lastSeenPrimaryMs = clock.nowMs();
        return this.#lastSeenPrimaryMs > sinceMs ? ['orders'] : [];
      },
      holder: {
        read: async () => this.#holder,
        ensure: async () => {
          this.#holder ??= `holder-of-${this.region}`;
          return this.#holder;
        },
      },
    });
  }

  async #openGuard(controller: SimulatedProcess, own: Clock): Promise<GuardLink> {
    const { clock } = this.#options;
    await own.sleep(20);
    if (this.guard?.process.frozen) this.killGuard();
    const trial = await this.#fencer.tryHands();
    if (this.guard === undefined || this.guard.process.dead) {
      await own.sleep(300);
      this.guard = new GuardProcess(clock, this.#fencer, trial.covered);
      this.guardsStarted += 1;
    }
    return new FakeLink(this.guard, controller, own, trial);
  }

  killController(): void {
    this.controller.kill();
    if (this.guard) this.guard.feeder = undefined;
  }

  restartController(): void {
    this.controller = new SimulatedProcess();
    this.keeper = this.#makeKeeper();
    this.keeper.start();
  }

  killGuard(): void {
    this.guard?.process.kill();
    this.guard?.feeder?.over('gone');
  }

  /** For as long as it holds, nothing but two deaths at once can leave the region without a fence. */
  get isWatched(): boolean {
    const { guard, controller } = this;
    return guard !== undefined && !guard.process.dead && !guard.process.frozen && !controller.dead && !controller.frozen;
  }
}
