/**
 * Appends events under the execution's lease, many at once where they come at once.
 *
 * Events become durable strictly in the order of `append`, so whoever awaits one knows that all before it are durable too. `state` is ahead of the store by what is on its
 * way: effects must wait for the promise of `append`. While a commit is under way further events gather and go in the next one.
 *
 * An append expects its number to be free and the lease to be ours; if either is not so, somebody else runs the execution: the writer breaks for good and tells it once.
 * When a commit's outcome is unknown it reads back what is there and repeats only what is absent. A death between two commits loses only events that nobody acted on.
 */
import { assert } from '../base/assert.ts';
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { Change, Lease, StateStore } from '../contracts/state-store.ts';
import type { Clock } from '../host/host.ts';
import { ExecutionFolder, type ExecutionState, type StepState } from './execution-state.ts';
import { type Execution, eventChange, journalKeys } from './journal.ts';
import { type EventBody, type JournalEvent, sealEvent } from './journal-events.ts';

export interface JournalWriterParts {
  readonly store: StateStore;
  readonly clock: Clock;
  /** What is durable so far. */
  readonly execution: Execution;
  /** The lease as last renewed. */
  readonly lease: () => Lease;
  readonly onDurable: (event: JournalEvent, state: ExecutionState) => void;
  readonly onBroken: (error: HoldfastError) => void;
}

interface Waiting {
  readonly event: JournalEvent;
  readonly state: ExecutionState;
}
interface Batch {
  readonly events: Waiting[];
  readonly alongside: Change[];
  readonly durable: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: HoldfastError) => void;
}

const soonMs = 20;
const retryPauseMs = 5;
const retryPauseMaxMs = 200;

export class JournalWriter {
  readonly #parts: JournalWriterParts;
  readonly #folder: ExecutionFolder;
  #gathering: Batch | undefined;
  #committing: Batch | undefined;
  #pumping = false;
  #cancelSoon = () => {};
  #broken: HoldfastError | undefined;

  constructor(parts: JournalWriterParts) {
    this.#parts = parts;
    this.#folder = new ExecutionFolder(parts.execution.header);
    for (const event of parts.execution.events) this.#folder.apply(event);
  }

  /** With everything that was appended, durable or on its way. */
  get state(): ExecutionState {
    return this.#folder.state;
  }

  step(stepId: string): StepState | undefined {
    return this.#folder.step(stepId);
  }

  /**
   * Appends in one commit, with the other changes. Resolves once durable; rejects when the writer is broken. A rejection need not be handled: `onBroken` tells it.
   * Throws at once when an event can not follow.
   */
  append(bodies: readonly EventBody[], alongside: readonly Change[] = []): Promise<void> {
    if (this.#broken) return unhandled(Promise.reject(this.#broken));
    const batch = this.#gather(bodies);
    batch.alongside.push(...alongside);
    this.#startPump();
    return batch.durable;
  }

  /**
   * Appends what nothing waits for: it goes with whatever is appended next, or by itself soon. A commit of its own would only keep the next one waiting. Lost in a death
   * before that, like anything not yet durable.
   */
  appendSoon(bodies: readonly EventBody[]): void {
    if (this.#broken) return;
    this.#gather(bodies);
    this.#cancelSoon();
    this.#cancelSoon = this.#parts.clock.after(soonMs, () => this.#startPump());
  }

  /** Resolves once everything appended so far is durable. */
  async flush(): Promise<void> {
    this.#startPump();
    while (this.#pumping) {
      if (this.#broken) throw this.#broken;
      await (this.#gathering ?? this.#committing)?.durable;
    }
    if (this.#broken) throw this.#broken;
  }

  /** Nothing more is written; whatever is still waiting is rejected. */
  break(error: HoldfastError): void {
    if (this.#broken) return;
    this.#broken = error;
    this.#cancelSoon();
    // The one under way may never come back, and nobody may act on it any more.
    this.#committing?.reject(error);
    this.#gathering?.reject(error);
    this.#gathering = undefined;
    this.#parts.onBroken(error);
  }

  #gather(bodies: readonly EventBody[]): Batch {
    assert(bodies.length > 0, 'other changes ride along with events: these carry the lease');
    const batch = this.#gathering ?? newBatch();
    this.#gathering = batch;
    for (const body of bodies) {
      const { lastSeq, lastHash } = this.#folder.state;
      const event = sealEvent(body, { seq: lastSeq, hash: lastHash }, this.#parts.clock.nowMs());
      batch.events.push({ event, state: this.#folder.apply(event) });
    }
    return batch;
  }

  #startPump(): void {
    this.#cancelSoon();
    if (this.#pumping || this.#broken || !this.#gathering) return;
    this.#pumping = true;
    // After the current turn, so that what belongs together goes together.
    queueMicrotask(() => void this.#pump());
  }

  async #pump(): Promise<void> {
    for (let batch = this.#gathering; batch !== undefined; batch = this.#gathering) {
      this.#gathering = undefined;
      this.#committing = batch;
      try {
        await this.#commit(batch);
      } catch (error) {
        const broken = asHoldfastError(error);
        batch.reject(broken);
        this.break(broken);
        break;
      }
      // Before the promises: listeners see an event before anything that waited for it goes on.
      for (const { event, state } of batch.events) this.#parts.onDurable(event, state);
      batch.resolve();
      // What waited for the batch may append now, and should not have to wait for the next but one.
      await Promise.resolve();
    }
    this.#pumping = false;
  }

  async #commit(batch: Batch): Promise<void> {
    const { store, clock, lease } = this.#parts;
    for (let pauseMs = retryPauseMs; ; pauseMs = Math.min(pauseMs * 2, retryPauseMaxMs)) {
      if (this.#broken) throw this.#broken;
      const held = lease();
      // All changes or none: the lease on one of them guards them all.
      const changes = batch.events.map(({ event }, place) => eventChange(this.state.id, event, place === 0 ? held : undefined));
      try {
        await store.commit([...changes, ...batch.alongside]);
        return;
      } catch (thrown) {
        const error = asHoldfastError(thrown, `execution ${this.state.id}`);
        if (error.code === 'STATE_CONFLICT' || error.kind === 'unknown-outcome') {
          const found = await this.#readBack(batch);
          if (found === 'ours') return;
          if (found === 'theirs')
            throw fail('STATE_LEASE_LOST', {
              subject: `execution ${this.state.id}`,
              message: 'somebody else has appended to the journal',
              cause: error,
            });
        } else if (error.kind !== 'transient') throw error;
        if (clock.monotonicMs() + pauseMs >= held.validUntilMonotonicMs) throw error;
        await clock.sleep(pauseMs);
      }
    }
  }

  /** What stands at the number of the batch's first event. */
  async #readBack(batch: Batch): Promise<'ours' | 'theirs' | 'nothing' | 'unreadable'> {
    const first = batch.events[0]?.event;
    assert(first, 'a batch has at least one event');
    try {
      const entry = await this.#parts.store.get(journalKeys.event(this.state.id, first.seq));
      if (!entry) return 'nothing';
      return (entry.value as JsonObject).hash === first.hash ? 'ours' : 'theirs';
    } catch (error) {
      if (asHoldfastError(error).kind === 'transient') return 'unreadable';
      throw error;
    }
  }
}

function newBatch(): Batch {
  let resolve = () => {};
  let reject: (error: HoldfastError) => void = () => {};
  const durable = new Promise<void>((onDone, onError) => {
    resolve = onDone;
    reject = onError;
  });
  return { events: [], alongside: [], durable: unhandled(durable), resolve, reject };
}

/** A promise whose rejection is told in another way too. */
function unhandled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
