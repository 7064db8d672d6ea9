/**
 * Begins what is due: backups, proofs and prunes, each as an execution; and lets old executions out of the state. It decides with `computeDue` from the state alone, so whoever serves next goes on from there.
 *
 * Invariants: nothing is begun while a change of the platform is under way (the source may be about to change, and its machine has better things to do), nor without the lease of the
 * process that serves; never two of one kind and component, which the slot in the state sees to. What is under way is not touched here: the engine runs and resumes it.
 */
import { asHoldfastError, HoldfastError } from '../../base/errors.ts';
import type { Control } from '../control.ts';
import { executionUnderWay } from '../executions.ts';
import { Trimmer } from '../trimmer.ts';
import { beginBackup, beginProof, beginPrune } from './begin.ts';
import { computeDue, type Due, type LastRun, type Scheduled } from './compute-due.ts';
import { type RunRecord, readLastRun, readRunRecords, readSince, rememberSince, runRecordChange, wasEverDone } from './run-records.ts';
import { hasGround, type PlannedRun, plannedRuns } from './schedules-of.ts';

const lookEveryMs = 1_000;

export interface SchedulerListeners {
  /** An execution was begun: somebody has to run it. */
  onBegun(execution: string): void;
}

export class BackupScheduler {
  readonly #control: Control;
  readonly #listeners: SchedulerListeners;
  readonly #runs: readonly PlannedRun[];
  readonly #ended = new Map<string, LastRun>();
  readonly #trimmer: Trimmer;
  #lookedAtMonotonicMs: number | undefined;

  constructor(control: Control, listeners: SchedulerListeners) {
    this.#control = control;
    this.#listeners = listeners;
    this.#runs = plannedRuns(control.parts.spec);
    this.#trimmer = new Trimmer(control);
  }

  /** Looks once a second at the most; cheap to call more often. */
  async turn(mayAct: () => boolean): Promise<void> {
    const { clock } = this.#control.parts.host;
    this.#trimmer.turn(mayAct);
    if (this.#runs.length === 0) return;
    if (this.#lookedAtMonotonicMs !== undefined && clock.monotonicMs() - this.#lookedAtMonotonicMs < lookEveryMs) return;
    if (this.#lookedAtMonotonicMs === undefined)
      await rememberSince(
        this.#runs.map(({ id }) => id),
        this.#control.parts.store,
        clock.nowMs(),
      );
    this.#lookedAtMonotonicMs = clock.monotonicMs();
    const records = await readRunRecords(this.#control.parts.store);
    const due = computeDue(...(await this.#situation(records)), clock.nowMs());
    if (due.length === 0 || (await executionUnderWay(this.#control)) !== undefined) return;
    for (const one of due) {
      if (!mayAct()) return;
      await this.#begin(one, records.get(one.id));
    }
  }

  async #situation(records: ReadonlyMap<string, RunRecord>): Promise<[Scheduled[], Map<string, LastRun>]> {
    const lastRuns = new Map<string, LastRun>();
    for (const { id } of this.#runs) {
      const record = records.get(id);
      if (record) lastRuns.set(id, await readLastRun(this.#control.parts.store, record, this.#ended));
    }
    const since = await readSince(this.#control.parts.store);
    const nowMs = this.#control.parts.host.clock.nowMs();
    const scheduled: Scheduled[] = [];
    for (const run of this.#runs) {
      const { id, schedule } = run;
      // Before the first backup there is nothing to build on, to prove, or to remove.
      if (!hasGround(run, (other) => wasEverDone(records.get(other), lastRuns.get(other)))) continue;
      if (run.kind === 'backup' && run.afterAny === undefined) scheduled.push({ id, schedule, first: 'at-once', retries: true });
      else scheduled.push({ id, schedule, first: { afterMs: since.get(id) ?? nowMs }, retries: run.kind === 'backup' });
    }
    return [scheduled, lastRuns];
  }

  async #begin(due: Due, before: RunRecord | undefined): Promise<void> {
    const { host } = this.#control.parts;
    const run = this.#runs.find(({ id }) => id === due.id);
    if (!run) return;
    try {
      this.#listeners.onBegun(await this.#beginRun(run, due, (before?.count ?? 0) + 1));
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      // One that somebody else began is as good: the schedule goes by its own next time.
      if (error instanceof HoldfastError && error.code === 'EXECUTION_RUNNING') return;
      host.log.error('backups.not-begun', { schedule: due.id, code: error.code, message: error.message });
    }
  }

  async #beginRun(run: PlannedRun, due: Due, count: number): Promise<string> {
    const { host, controller } = this.#control.parts;
    const { schedule } = run;
    const id = this.#control.newExecutionId(run.kind);
    const alongside = [runRecordChange(run.id, { beganMs: host.clock.nowMs(), execution: id, count })];
    const by = { by: controller, alongside, id };
    const bySchedule = `every ${schedule.written}`;
    if (run.kind === 'prune') return beginPrune(this.#control, run.repository, { ...by, because: bySchedule });
    const { component, backup } = run;
    if (run.kind === 'backup') {
      const because = { first: 'there is none yet', retry: 'the one before failed', schedule: bySchedule }[due.because];
      return (await beginBackup(this.#control, { ...by, component, what: backup.what, repository: backup.to, because })).execution;
    }
    const { prove } = backup;
    const target = prove?.targets[(count - 1) % prove.targets.length] ?? 'newest';
    const want = {
      component,
      what: backup.what,
      repository: backup.to,
      level: prove?.level ?? 'P4',
      target,
      checks: prove?.checks.map((check) => ({ ...check })) ?? [],
      ...(prove?.withinMs === undefined ? {} : { withinMs: prove.withinMs }),
    };
    return beginProof(this.#control, want, { ...by, because: bySchedule });
  }
}
