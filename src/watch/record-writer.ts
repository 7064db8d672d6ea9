/**
 * Brings what a watch has to say into the state. Records go out in order, many in one commit. What can't be written goes with the next one, unless something newer has taken its place.
 *
 * Where several controllers share a state, it lies elsewhere and keeps a history: then commits come no faster than `pauseMs`, and none is larger than such a state takes.
 * When the process dies, what was not written is lost: the next watch sees for itself.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Change, StateStore } from '../contracts/state-store.ts';
import type { Host } from '../host/host.ts';

/** A shared state may refuse larger transactions: etcd takes 128 changes. */
const changesMost = 100;

export interface RecordWriterParts {
  readonly store: StateStore;
  readonly host: Pick<Host, 'clock' | 'log'>;
  /** Least time between two commits; 0: none, and no limit to their size. */
  readonly pauseMs: number;
}

export class RecordWriter {
  readonly #parts: RecordWriterParts;
  #pending = new Map<string, Change>();
  #writing: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #stopped = false;

  constructor(parts: RecordWriterParts) {
    this.#parts = parts;
  }

  put(change: Change): void {
    if (this.#stopped) return;
    // The newest of a key goes where the newest things are.
    this.#pending.delete(change.key);
    this.#pending.set(change.key, change);
    this.#writing ??= this.#flush().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Forgets what has not been written: it is for somebody else to write now. */
  drop(): void {
    this.#pending.clear();
  }

  /** Nothing more is taken; resolves when the commit under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#writing;
  }

  async #flush(): Promise<void> {
    const { store, host, pauseMs } = this.#parts;
    while (this.#pending.size > 0) {
      const batch = [...this.#pending.values()].slice(0, pauseMs === 0 ? undefined : changesMost);
      for (const change of batch) this.#pending.delete(change.key);
      try {
        await store.commit(batch);
      } catch (thrown) {
        host.log.warn('watch.records-not-written', { message: asHoldfastError(thrown).message, count: batch.length });
        this.#putBack(batch);
        return;
      }
      if (pauseMs > 0 && !this.#stopped) await this.#pause(pauseMs);
    }
  }

  #putBack(batch: readonly Change[]): void {
    const newer = this.#pending;
    this.#pending = new Map(batch.map((change) => [change.key, change]));
    for (const [key, change] of newer) this.#pending.set(key, change);
  }

  async #pause(durationMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#parts.host.clock.after(durationMs, resolve);
    this.#wake = resolve;
    await promise;
    cancel();
  }
}
