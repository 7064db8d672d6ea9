/**
 * All writes, in the order in which they were asked for. Those asked for in one tick share one transaction, and so one wait for the disk.
 *
 * Invariant: a job's promise resolves only after the COMMIT that holds it; jobs take effect in order. A job checks everything before it writes anything, so that
 * a refusal needs no undoing: it ends that job alone, with no savepoint around each. An error of SQLite itself undoes the whole transaction; then each of its jobs is
 * tried once more in a transaction of its own, so that one that does not fit on the disk does not take others with it. Dying inside leaves whole transactions only.
 *
 * While another process holds the lock, jobs wait without blocking this one, up to `lockedMaxMs`.
 */
import type { DatabaseSync } from 'node:sqlite';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import { isBusy, stateError } from './sqlite-errors.ts';

interface Job {
  readonly run: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly deadlineMs: number;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

const retryEveryMs = 3;

export class WriteQueue {
  readonly #database: DatabaseSync;
  readonly #host: Host;
  readonly #path: string;
  readonly #lockedMaxMs: number;
  readonly #onCommitted: () => void;
  #jobs: Job[] = [];
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(database: DatabaseSync, host: Host, path: string, lockedMaxMs: number, onCommitted: () => void) {
    this.#database = database;
    this.#host = host;
    this.#path = path;
    this.#lockedMaxMs = lockedMaxMs;
    this.#onCommitted = onCommitted;
  }

  /** `run` is called inside a transaction, perhaps twice (the first one undone). It throws a HoldfastError before it writes, or not at all. */
  write<T>(run: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(fail('INTERRUPTED', { message: 'the state is closed', subject: this.#path }));
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ run, resolve: resolve as Job['resolve'], reject, deadlineMs: this.#host.clock.monotonicMs() + this.#lockedMaxMs });
      this.#working ??= Promise.resolve().then(() => this.#work());
    });
  }

  /** Ends what was asked for, and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#jobs.length > 0) {
      const jobs = this.#jobs;
      this.#jobs = [];
      if (this.#attempt(jobs)) continue;
      const nowMs = this.#host.clock.monotonicMs();
      const late = jobs.filter((job) => job.deadlineMs <= nowMs);
      for (const job of late) {
        job.reject(fail('STATE_LOCKED', { message: `${this.#path} was locked for ${this.#lockedMaxMs} ms`, subject: this.#path }));
      }
      this.#jobs = [...jobs.filter((job) => job.deadlineMs > nowMs), ...this.#jobs];
      await this.#host.clock.sleep(retryEveryMs * (0.5 + this.#host.random.next()));
    }
    this.#working = undefined;
  }

  /** False when another process holds the lock: nothing was done. */
  #attempt(jobs: readonly Job[]): boolean {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
    } catch (error) {
      if (isBusy(error)) return false;
      for (const job of jobs) job.reject(stateError(error, this.#path));
      return true;
    }
    let committing = false;
    try {
      const outcomes = jobs.map(runJob);
      committing = true;
      this.#database.exec('COMMIT');
      settle(jobs, outcomes);
      this.#onCommitted();
    } catch (error) {
      const mapped = this.#undo(stateError(error, this.#path, committing));
      if (jobs.length === 1 || mapped.kind === 'unknown-outcome') for (const job of jobs) job.reject(mapped);
      else this.#attemptEach(jobs);
    }
    return true;
  }

  #attemptEach(jobs: readonly Job[]): void {
    for (const [index, job] of jobs.entries()) {
      if (this.#attempt([job])) continue;
      this.#jobs = [...jobs.slice(index), ...this.#jobs];
      return;
    }
  }

  /** SQLite undoes by itself after some errors, and not after others. */
  #undo(cause: HoldfastError): HoldfastError {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      return cause;
    } catch (error) {
      return fail('STATE_DAMAGED', {
        message: `${cause.message}; and it can not be undone: ${String(error)}`,
        subject: this.#path,
        cause: error,
      });
    }
  }
}

function runJob(job: Job): Outcome {
  try {
    return { value: job.run() };
  } catch (error) {
    if (error instanceof HoldfastError) return { error };
    throw error;
  }
}

function settle(jobs: readonly Job[], outcomes: readonly Outcome[]): void {
  for (const [index, job] of jobs.entries()) {
    const outcome = outcomes[index] as Outcome;
    if ('error' in outcome) job.reject(outcome.error);
    else job.resolve(outcome.value);
  }
}
