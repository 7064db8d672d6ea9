/** Follows the records under a prefix for as long as is wanted: a watch that is lost is opened anew, and what was put meanwhile is told then. */
import { asHoldfastError } from '../../base/errors.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Clock, Log } from '../../host/host.ts';

const reopenAfterMs = 1_000;

export interface KeepWatchingParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly prefix: string;
  /** Told of each record that is put, and after a gap of each that is there. */
  readonly onPut: (key: string, value: unknown) => void;
}

/** The returned function ends it. */
export function keepWatching(parts: KeepWatchingParts): () => void {
  const { store, clock, log, prefix, onPut } = parts;
  let over = false;
  let unwatch = () => {};
  let cancel = () => {};
  const lost = (error: unknown) => {
    if (over) return;
    unwatch();
    log.warn('fleet.watch-lost', { prefix, message: asHoldfastError(error).message });
    cancel();
    cancel = clock.after(reopenAfterMs, () => void open(true));
  };
  const open = async (again: boolean) => {
    try {
      unwatch = store.watch(prefix, (event) => event.kind === 'put' && onPut(event.key, event.value), { onError: lost });
      if (again) for (const entry of await store.range(prefix)) if (!over) onPut(entry.key, entry.value);
    } catch (thrown) {
      lost(thrown);
    }
  };
  void open(false);
  return () => {
    over = true;
    cancel();
    unwatch();
  };
}
