/**
 * Hands over the requests of an execution, each once, oldest first: those that were put before it opened and those put later. When the watch on the store is lost it opens
 * another and reads again, so a request may come late but is not missed.
 */
import type { StateStore } from '../contracts/state-store.ts';
import type { Clock, Log } from '../host/host.ts';
import { journalKeys } from '../state/journal.ts';
import { type PendingRequest, readRequests } from '../state/requests.ts';

const reopenAfterMs = 250;

interface InboxParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly id: string;
  readonly onRequests: (requests: readonly PendingRequest[]) => void;
}

export class RequestInbox {
  readonly #parts: InboxParts;
  readonly #seen = new Set<string>();
  #closed = false;
  #unwatch = () => {};
  #cancel = () => {};

  constructor(parts: InboxParts) {
    this.#parts = parts;
  }

  /** Resolves once those already there have been handed over. Rejects when the store can't be read. */
  async open(): Promise<void> {
    const { store, id } = this.#parts;
    const prefix = journalKeys.requests(id);
    this.#unwatch = store.watch(
      prefix,
      (change) => {
        if (change.kind === 'put')
          this.#hand([{ requestId: change.key.slice(prefix.length), ...(change.value as unknown as Omit<PendingRequest, 'requestId'>) }]);
      },
      { onError: (error) => this.#reopen(error) },
    );
    this.#hand(await readRequests(store, id));
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#unwatch();
  }

  #hand(requests: readonly PendingRequest[]): void {
    if (this.#closed) return;
    const fresh = requests.filter((one) => !this.#seen.has(one.requestId));
    for (const one of fresh) this.#seen.add(one.requestId);
    if (fresh.length > 0) this.#parts.onRequests(fresh);
  }

  #reopen(error: unknown): void {
    if (this.#closed) return;
    this.#unwatch();
    this.#parts.log.warn('request watch lost', {
      execution: this.#parts.id,
      error: error instanceof Error ? error.message : String(error),
    });
    this.#cancel();
    this.#cancel = this.#parts.clock.after(reopenAfterMs, () => {
      this.open().catch((again: unknown) => this.#reopen(again));
    });
  }
}
