/**
 * The state of three controllers as etcd keeps it: a member in each region, linearizable, answering only where a member can be reached that has a leader with a majority behind it. When the
 * leader is lost, another one is elected after a while, and gives every lease its whole time again. A question whose answer is lost has had its effect. A watch that breaks is resumed
 * where it broke, and misses nothing.
 */
import { fail } from '../../src/base/errors.ts';
import type { StateStore, StoreEvent } from '../../src/contracts/state-store.ts';
import type { MemoryState } from '../fakes/memory-store.ts';
import type { Chance } from './chance.ts';
import type { Network, Place } from './network.ts';
import type { StoreWeather } from './shaky-store.ts';
import { never, type SimulatedProcess } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';

export const stateTimeoutMs = 1_000;
const lookEveryMs = 100;
const resumeEveryMs = 250;

export interface FleetStateParts {
  readonly time: VirtualTime;
  readonly network: Network;
  readonly state: MemoryState;
  readonly weather: StoreWeather;
  readonly chance: Chance;
  readonly places: readonly Place[];
}

export class FleetState {
  readonly #parts: FleetStateParts;
  readonly #electionMs: number;
  #leader: Place;
  /** Who asked for leases under that name. */
  readonly #holders = new Map<string, SimulatedProcess>();
  #leaderlessSinceMs: number | undefined;
  /** How often the leader has changed. */
  elections = 0;

  constructor(parts: FleetStateParts) {
    this.#parts = parts;
    this.#electionMs = parts.chance.between(300, 1_500);
    this.#leader = parts.chance.pick(parts.places);
  }

  /** The state as that process reaches it from where it stands. */
  open(process: SimulatedProcess, from: Place, chance: Chance): StateStore {
    const store = this.#parts.state.open(process.clock);
    const ask = <T>(act: () => Promise<T>, changes: boolean) => process.call(() => this.#ask(process, from, chance, act, changes));
    return {
      get: (key) => ask(() => store.get(key), false),
      range: (prefix, options) => ask(() => store.range(prefix, options), false),
      commit: (changes) => ask(() => store.commit(changes), true),
      watch: (prefix, listener, options) => this.#watch(store, process, from, prefix, listener, options),
      acquireLease: async (name, holder, ttlMs) => {
        this.#holders.set(holder, process);
        const askedMs = process.clock.monotonicMs();
        const lease = await ask(() => store.acquireLease(name, holder, ttlMs), false);
        return { ...lease, validUntilMonotonicMs: askedMs + ttlMs };
      },
      renewLease: async (lease) => {
        const askedMs = process.clock.monotonicMs();
        const renewed = await ask(() => store.renewLease(lease), false);
        return { ...renewed, validUntilMonotonicMs: askedMs + lease.ttlMs };
      },
      releaseLease: (lease) => ask(() => store.releaseLease(lease), false),
      readLease: (name) => ask(() => store.readLease(name), false),
      close: async () => {},
    };
  }

  /** Whether the process lives that holds leases under that name. */
  isAlive(holder: string): boolean {
    return this.#holders.get(holder)?.isDead === false;
  }

  async #ask<T>(process: SimulatedProcess, from: Place, chance: Chance, act: () => Promise<T>, changes: boolean): Promise<T> {
    const { time, weather } = this.#parts;
    const untilMs = time.nowMs + stateTimeoutMs;
    const takesMs = Math.max(weather.pauseUntilMs - time.nowMs, changes ? 1 : 0, Math.floor(chance.between(0, weather.usualMs)));
    if (takesMs > 0) await time.sleep(Math.min(takesMs, stateTimeoutMs));
    while (takesMs >= stateTimeoutMs || !this.#hears(from)) {
      // A request that has not come through has had no effect.
      if (time.nowMs >= untilMs) throw fail('STATE_UNREACHABLE', { message: 'no member of the state store answers' });
      await time.sleep(Math.min(lookEveryMs, untilMs - time.nowMs));
    }
    if (process.isDead) return never();
    if (chance.happens(weather.errorShare)) {
      if (!changes || chance.happens(0.5)) throw fail('STATE_UNREACHABLE', { message: 'the member has refused' });
      if (chance.happens(0.5)) await act();
      throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: 'the state did not say whether the change was made' });
    }
    const answer = await act();
    if (this.#answers(from)) return answer;
    await time.sleep(Math.max(0, untilMs - time.nowMs));
    throw changes
      ? fail('SYSTEM_OUTCOME_UNKNOWN', { message: 'the state did not say whether the change was made' })
      : fail('STATE_UNREACHABLE', { message: 'no member of the state store answers' });
  }

  #follows(member: Place, leader: Place): boolean {
    return member === leader ? !this.#parts.network.dark.has(member) : this.#parts.network.isReachable('state', member, leader);
  }

  #canLead(member: Place): boolean {
    const { places } = this.#parts;
    return places.filter((each) => this.#follows(each, member)).length > places.length / 2;
  }

  /** The leader that serves now; an election that is due is held. */
  #serving(): Place | undefined {
    const { places, time, state, network } = this.#parts;
    if (network.isWhole || this.#canLead(this.#leader)) {
      this.#leaderlessSinceMs = undefined;
      return this.#leader;
    }
    this.#leaderlessSinceMs ??= time.nowMs;
    const next = places.find((place) => this.#canLead(place));
    if (next === undefined || time.nowMs - this.#leaderlessSinceMs < this.#electionMs) return undefined;
    this.#leader = next;
    this.#leaderlessSinceMs = undefined;
    this.elections += 1;
    state.lengthenLeases();
    return next;
  }

  /** A question gets to a member that follows the leader. */
  #hears(from: Place): boolean {
    const { places, network } = this.#parts;
    const leader = this.#serving();
    if (network.isWhole) return true;
    return leader !== undefined && places.some((member) => network.isOpen('state', from, member) && this.#follows(member, leader));
  }

  /** And its answer comes back. */
  #answers(from: Place): boolean {
    const { places, network } = this.#parts;
    const leader = this.#serving();
    if (network.isWhole) return true;
    return leader !== undefined && places.some((member) => network.isReachable('state', from, member) && this.#follows(member, leader));
  }

  #watch(
    store: StateStore,
    process: SimulatedProcess,
    from: Place,
    prefix: string,
    listener: (event: StoreEvent) => void,
    options: Parameters<StateStore['watch']>[2],
  ): () => void {
    const waiting: StoreEvent[] = [];
    let over = false;
    let resuming = false;
    const deliver = () => {
      resuming = false;
      if (over || process.isDead) return;
      if (!this.#answers(from)) {
        resuming = true;
        this.#parts.time.after(resumeEveryMs, deliver);
        return;
      }
      for (const event of waiting.splice(0)) process.deliver(() => over || listener(event));
    };
    const end = store.watch(
      prefix,
      (event) => {
        waiting.push(event);
        if (!resuming) deliver();
      },
      options,
    );
    return () => {
      over = true;
      end();
    };
  }
}
