/** The state as one process reaches it: calls take time, fail now and then, may have had their effect although they failed; and nothing of a dead process reaches it. */
import { fail } from '../../src/base/errors.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { Chance } from './chance.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';

/** How the state is at the moment: changed by faults, shared by all processes. */
export interface StoreWeather {
  errorShare: number;
  pauseUntilMs: number;
  usualMs: number;
}

export function shakyStore(
  store: StateStore,
  process: SimulatedProcess,
  time: VirtualTime,
  weather: StoreWeather,
  chance: Chance,
): StateStore {
  const call = <T>(act: () => Promise<T>, changes: boolean): Promise<T> =>
    process.call(async () => {
      // A change always takes some time: a controller that changes things without end must not stop the clock.
      const waitMs = Math.max(weather.pauseUntilMs - time.nowMs, changes ? 1 : 0, Math.floor(chance.between(0, weather.usualMs)));
      if (waitMs > 0) await time.sleep(waitMs);
      // The store is a library in the process: one that is dead or stands still commits nothing.
      await process.awake();
      if (!chance.happens(weather.errorShare)) return act();
      if (!changes || chance.happens(0.5)) throw fail('STATE_LOCKED', { message: 'the state is locked' });
      if (chance.happens(0.5)) await act();
      throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: 'the state did not say whether the change was made' });
    });
  return {
    get: (key) => call(() => store.get(key), false),
    range: (prefix, options) => call(() => store.range(prefix, options), false),
    commit: (changes) => call(() => store.commit(changes), true),
    watch: (prefix, listener, options) => store.watch(prefix, (event) => process.deliver(() => listener(event)), options),
    acquireLease: (name, holder, ttlMs) => call(() => store.acquireLease(name, holder, ttlMs), false),
    renewLease: (lease) => call(() => store.renewLease(lease), false),
    releaseLease: (lease) => call(() => store.releaseLease(lease), false),
    readLease: (name) => call(() => store.readLease(name), false),
    close: async () => {},
  };
}
