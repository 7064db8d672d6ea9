/**
 * Stands in for a state that can't be reached: what was last known of it can be read, and nothing can be written, awaited or led.
 */
import { fail } from '../../base/errors.ts';
import type { Entry, StateStore } from '../../contracts/state-store.ts';

export function cutOffStore(entries: readonly Entry[], reason: string): StateStore {
  const known = new Map(entries.map((entry) => [entry.key, entry]));
  const refuse = async (): Promise<never> => {
    throw fail('STATE_UNREACHABLE', { message: reason });
  };
  return {
    get: async (key) => known.get(key),
    range: async (prefix, { limit, after, reverse } = {}) => {
      const keys = [...known.keys()].filter((key) => key.startsWith(prefix)).sort();
      if (reverse) keys.reverse();
      const rest = after === undefined ? keys : keys.filter((key) => (reverse ? key < after : key > after));
      return rest.slice(0, limit).map((key) => known.get(key) as Entry);
    },
    commit: refuse,
    watch: () => () => {},
    acquireLease: refuse,
    renewLease: refuse,
    releaseLease: async () => {},
    readLease: async () => undefined,
    close: async () => {},
  };
}
