/**
 * Watches: every change under a prefix, in order, each once, whoever made it.
 *
 * Invariant: a watch has its own position in the log of changes and moves only forward; it never skips one: when the log no longer goes back to its position, the
 * watch is lost and says so. Changes of this process are delivered right after their commit; those of others are found by `PRAGMA data_version`, a few
 * microseconds every `pollMs` while anybody watches. Nothing to lose when the process dies: who resumes names the revision that it had seen.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { fail } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { StoreEvent } from '../../contracts/state-store.ts';
import type { Host } from '../../host/host.ts';
import { isBusy, stateError } from './sqlite-errors.ts';

const pollMs = 15;

interface Watch {
  readonly prefix: string;
  readonly listener: (event: StoreEvent) => void;
  readonly onError: ((error: Error) => void) | undefined;
  seenRevision: number;
}

interface ChangeRow {
  readonly revision: number;
  readonly key: string;
  /** Null for a deletion. */
  readonly value: string | null;
}

export class Watches {
  readonly #database: DatabaseSync;
  readonly #host: Host;
  readonly #path: string;
  readonly #dataVersion: StatementSync;
  readonly #position: StatementSync;
  readonly #changesAfter: StatementSync;
  readonly #watches = new Set<Watch>();
  #lastDataVersion = -1;
  #cancelPoll: (() => void) | undefined;
  #pumping = false;

  constructor(database: DatabaseSync, host: Host, path: string) {
    this.#database = database;
    this.#host = host;
    this.#path = path;
    this.#dataVersion = database.prepare('PRAGMA data_version');
    this.#position = database.prepare('SELECT revision, pruned_revision FROM store');
    this.#changesAfter = database.prepare('SELECT revision, key, value FROM changes WHERE revision > ? ORDER BY revision, place');
  }

  add(
    prefix: string,
    listener: Watch['listener'],
    options: { readonly afterRevision?: number; readonly onError?: (error: Error) => void } = {},
  ): () => void {
    const { revision } = this.#readPosition();
    const watch: Watch = { prefix, listener, onError: options.onError, seenRevision: options.afterRevision ?? revision };
    this.#watches.add(watch);
    if (watch.seenRevision < revision) this.notice();
    this.#poll();
    return () => {
      this.#watches.delete(watch);
      if (this.#watches.size === 0) this.#stopPolling();
    };
  }

  /** Something was committed here. Delivers after the caller has gone on. */
  notice(): void {
    if (this.#pumping || this.#watches.size === 0) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#deliver();
    });
  }

  close(): void {
    this.#watches.clear();
    this.#stopPolling();
  }

  #stopPolling(): void {
    this.#cancelPoll?.();
    this.#cancelPoll = undefined;
  }

  #poll(): void {
    this.#cancelPoll ??= this.#host.clock.after(pollMs, () => {
      this.#cancelPoll = undefined;
      if (this.#othersHaveCommitted()) this.#deliver();
      if (this.#watches.size > 0) this.#poll();
    });
  }

  #othersHaveCommitted(): boolean {
    try {
      const version = Number(this.#dataVersion.get()?.data_version);
      if (version === this.#lastDataVersion) return false;
      this.#lastDataVersion = version;
      return true;
    } catch (error) {
      this.#loseAll(error);
      return false;
    }
  }

  #deliver(): void {
    if (this.#watches.size === 0) return;
    const watches = [...this.#watches];
    try {
      const { revision, pruned, rows } = this.#readAfter(Math.min(...watches.map((watch) => watch.seenRevision)));
      for (const watch of watches) if (watch.seenRevision < pruned) this.#lose(watch, tooLate(watch, pruned));
      for (const row of rows) for (const watch of watches) this.#deliverTo(watch, row);
      // Only now: one commit may have made several changes under one revision.
      for (const watch of watches) watch.seenRevision = Math.max(watch.seenRevision, revision);
    } catch (error) {
      this.#loseAll(error);
    }
  }

  /** One view of position and log: between two, another process could shorten the log. */
  #readAfter(from: number): { revision: number; pruned: number; rows: ChangeRow[] } {
    this.#database.exec('BEGIN');
    try {
      return { ...this.#readPosition(), rows: this.#changesAfter.all(from) as unknown as ChangeRow[] };
    } finally {
      this.#database.exec('COMMIT');
    }
  }

  #deliverTo(watch: Watch, row: ChangeRow): void {
    if (row.revision <= watch.seenRevision || !row.key.startsWith(watch.prefix) || !this.#watches.has(watch)) return;
    const event: StoreEvent = {
      kind: row.value === null ? 'delete' : 'put',
      key: row.key,
      value: row.value === null ? undefined : (JSON.parse(row.value) as Json),
      revision: row.revision,
    };
    try {
      watch.listener(event);
    } catch (error) {
      this.#lose(watch, error instanceof Error ? error : new Error(String(error)));
    }
  }

  #readPosition(): { revision: number; pruned: number } {
    const row = this.#position.get();
    return { revision: Number(row?.revision), pruned: Number(row?.pruned_revision) };
  }

  #loseAll(error: unknown): void {
    if (isBusy(error)) {
      this.#lastDataVersion = -1; // the next poll looks again
      return;
    }
    const mapped = stateError(error, this.#path);
    for (const watch of this.#watches) this.#lose(watch, mapped);
  }

  #lose(watch: Watch, error: Error): void {
    if (!this.#watches.delete(watch)) return;
    if (watch.onError === undefined) this.#host.log.error('state-watch-lost', { prefix: watch.prefix, message: error.message });
    else watch.onError(error);
  }
}

function tooLate(watch: Watch, pruned: number): Error {
  return fail('STATE_CONFLICT', {
    message: `changes after revision ${watch.seenRevision} are no longer kept (only those after ${pruned})`,
    subject: watch.prefix,
    hint: 'Read everything again and watch from the revision read.',
    details: { prunedRevision: pruned },
  });
}
