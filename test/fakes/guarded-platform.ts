/**
 * Two guarded regions and an executor that fails one over to the other, on virtual time: the order of its steps is that of the plan, its fence is proven by the end of the lease, or by a look at a
 * region that can be reached, and it can be killed between any two of them and resumed by another.
 */
import { HoldfastError } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { Verb } from '../../src/contracts/verbs.ts';
import { readLeaseProof } from '../../src/control/primary/lease-proof.ts';
import { primaryKeys } from '../../src/control/primary/primary-records.ts';
import { unbarPrimary } from '../../src/control/verbs/bar-verbs.ts';
import { advanceEpochVerb } from '../../src/control/verbs/epoch-verbs.ts';
import type { PlatformParts } from '../../src/control/verbs/platform-verb.ts';
import { ensurePlatformState, readPlatformState, setActiveRegion } from '../../src/state/platform-state.ts';
import type { StoreBreaks } from './barred-store.ts';
import { appendTo, beginJournal } from './failover-journal.ts';
import { GuardedRegion, SimulatedProcess } from './guarded-region.ts';
import { type FakeClock, fakeClock } from './host.ts';
import { memoryState } from './memory-store.ts';

export interface Breaks {
  /** Deliberate mistakes: that the checker finds them shows that it looks. */
  readonly promoteWithoutProof?: boolean;
  readonly skipBar?: boolean;
  /** The epoch is advanced in the middle of a return. */
  readonly ignoreReturn?: boolean;
  readonly store?: StoreBreaks;
}

export class GuardedPlatform {
  readonly clock: FakeClock;
  readonly store: StateStore;
  readonly regions: { readonly east: GuardedRegion; readonly west: GuardedRegion };
  /** Instants at which two regions acknowledged writes. */
  readonly splits: number[] = [];
  executor: SimulatedProcess | undefined;
  failovers = 0;
  aborted = 0;
  #running: { from: 'east' | 'west'; to: 'east' | 'west'; epoch: number; id: string } | undefined;
  readonly #breaks: Breaks;

  private constructor(clock: FakeClock, store: StateStore, breaks: Breaks) {
    this.clock = clock;
    this.store = store;
    this.#breaks = breaks;
    this.regions = {
      east: new GuardedRegion({ region: 'east', clock, store, serving: true, breaks: breaks.store ?? {} }),
      west: new GuardedRegion({ region: 'west', clock, store, breaks: breaks.store ?? {} }),
    };
  }

  static async start(breaks: Breaks = {}): Promise<GuardedPlatform> {
    const clock = fakeClock(Date.UTC(2026, 0, 1));
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    const platform = new GuardedPlatform(clock, store, breaks);
    for (const region of Object.values(platform.regions)) region.keeper.start();
    await platform.advance(1_500);
    return platform;
  }

  /** In small steps, with a look after each. */
  async advance(durationMs: number, stepMs = 25): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += stepMs) {
      await this.clock.advance(Math.min(stepMs, durationMs - passedMs));
      if (this.regions.east.serving && this.regions.west.serving) this.splits.push(this.clock.monotonicMs());
    }
  }

  /** Begins a failover away from the active region, or goes on with the one that nobody runs. */
  async execute(): Promise<void> {
    if (this.executor && !this.executor.dead) return;
    if (this.#running === undefined) {
      const state = (await readPlatformState(this.store))?.state;
      if (!state) throw new Error('there is a platform');
      const from = state.activeRegion as 'east' | 'west';
      this.failovers += 1;
      this.#running = { from, to: from === 'east' ? 'west' : 'east', epoch: state.epoch + 1, id: `failover-${this.failovers}` };
      await beginJournal(this.store, this.clock, this.#running);
    }
    this.executor = new SimulatedProcess();
    void this.#run(this.executor);
  }

  /** A person ends an execution that nobody runs, where it is. */
  async abort(): Promise<void> {
    if (this.#running === undefined || this.executor?.dead !== true) return;
    const { id } = this.#running;
    this.#running = undefined;
    this.aborted += 1;
    await appendTo(this.store, this.clock, id, [{ type: 'finished', data: { outcome: 'aborted', tookMs: 0, failedSteps: [] } }]);
  }

  get isChanging(): boolean {
    return this.#running !== undefined;
  }

  async #run(process: SimulatedProcess): Promise<void> {
    const running = this.#running;
    if (!running) return;
    const { from, to, epoch, id } = running;
    const parts = { store: this.store, host: { clock: this.clock } } as unknown as PlatformParts;
    const context = { executionId: id } as never;
    const step = async (work: () => Promise<unknown>) => {
      await process.gate();
      await work();
      await this.clock.sleep(20);
      await process.gate();
    };
    const until = async (holds: () => Promise<boolean>) => {
      while (!(await holds())) {
        await this.clock.sleep(100);
        await process.gate();
      }
    };
    const bar = this.#breaks.skipBar ? {} : { bar: from };
    const store = this.#breaks.ignoreReturn ? withoutMark(this.store) : this.store;
    await step(() => this.#ensure(process, advanceEpochVerb({ ...parts, store }), { epoch, from, to, ...bar }, context));
    await until(async () => {
      if (this.#breaks.promoteWithoutProof) return true;
      if (this.#breaks.skipBar) return (await this.store.readLease(primaryKeys.lease(from)))?.held !== true;
      // As hands do that reach it: seen stopped behind a bar of an execution, or as a standby; else made so.
      const { way, data } = this.regions[from];
      if (way.state === 'open' && data.looksFenced) return true;
      if (way.state === 'open' && !data.serving) {
        await data.seal();
        return true;
      }
      return 'proof' in (await readLeaseProof(this.store, { region: from, component: 'orders', epoch }, () => 0));
    });
    await step(() => appendTo(this.store, this.clock, id, [{ type: 'step-intent', stepId: 'promote', data: { want: {}, attempt: 1 } }]));
    await step(async () => {
      this.regions[to].serving = true;
    });
    await step(() => setActiveRegion(this.store, epoch, to, this.clock.nowMs()));
    await step(() => this.#ensure(process, unbarPrimary(parts), { region: to, epoch }, context));
    this.#running = undefined;
    await appendTo(this.store, this.clock, id, [{ type: 'finished', data: { outcome: 'done', tookMs: 0, failedSteps: [] } }]);
    process.kill();
  }

  async #ensure(process: SimulatedProcess, verb: Verb, want: JsonObject, context: never): Promise<void> {
    for (;;) {
      try {
        if ((await verb.inspect(want, context)).state === 'done') return;
        await verb.apply(want, context);
      } catch (thrown) {
        if (!(thrown instanceof HoldfastError) || !['REGION_RETURNING', 'STATE_CONFLICT'].includes(thrown.code)) throw thrown;
        await this.clock.sleep(50);
        await process.gate();
      }
    }
  }
}

/** Hides from whoever asks that the lease of a return is held. */
function withoutMark(store: StateStore): StateStore {
  return { ...store, readLease: async () => undefined };
}
