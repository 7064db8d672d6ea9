/** How backups stand, from the state alone: what ran last of each schedule, what comes next, how far each archive has come. Needs no repository, so it answers at once. */
import type { StateStore } from '../../contracts/state-store.ts';
import type { Spec } from '../../spec/spec.ts';
import { type ArchiverRecord, readArchiverRecords } from './archiver-records.ts';
import { computeNext, type LastRun, type Scheduled } from './compute-due.ts';
import { readLastRun, readRunRecords, readSince, wasEverDone } from './run-records.ts';
import { hasGround, type PlannedRun, plannedRuns, scheduleId } from './schedules-of.ts';

export interface ScheduleStatus {
  readonly id: string;
  readonly kind: PlannedRun['kind'];
  /** Or the repository that is pruned. */
  readonly component: string;
  readonly every: string;
  readonly last?: LastRun & { readonly execution: string };
  /** Absent while it runs, and of a proof before there is a backup. */
  readonly nextMs?: number;
}

export interface ArchiveStatus
  extends Pick<
    ArchiverRecord,
    'component' | 'what' | 'repository' | 'region' | 'sinceMs' | 'atMs' | 'archivedAtMs' | 'position' | 'error' | 'failures'
  > {
  readonly id: string;
  /** `silent`: whoever kept it going does not write any more. */
  readonly state: ArchiverRecord['state'] | 'silent' | 'never';
  /** How long ago what is safe was written: what would be lost now. */
  readonly lagMs?: number;
}

export interface BackupStatus {
  readonly schedules: readonly ScheduleStatus[];
  readonly archives: readonly ArchiveStatus[];
}

/** An archiver writes whenever something has been archived, and an idle log is quiet for a while. */
const silentMs = 10 * 60_000;

export async function readBackupStatus(spec: Spec, store: StateStore, nowMs: number): Promise<BackupStatus> {
  return { schedules: await readSchedules(spec, store, nowMs), archives: await readArchives(spec, store, nowMs) };
}

async function readSchedules(spec: Spec, store: StateStore, nowMs: number): Promise<readonly ScheduleStatus[]> {
  const runs = plannedRuns(spec);
  if (runs.length === 0) return [];
  const [records, firsts] = await Promise.all([readRunRecords(store), readSince(store)]);
  const lasts = new Map<string, LastRun>();
  const ended = new Map<string, LastRun>();
  for (const { id } of runs) {
    const record = records.get(id);
    if (record) lasts.set(id, await readLastRun(store, record, ended));
  }
  return runs.map((run) => {
    const { id, kind, schedule } = run;
    const component = run.kind === 'prune' ? run.repository : run.component;
    const last = lasts.get(id);
    const record = records.get(id);
    const alone = run.kind === 'backup' && run.afterAny === undefined;
    const since = alone ? undefined : firsts.get(id);
    const scheduled: Scheduled = { id, schedule, first: since === undefined ? 'at-once' : { afterMs: since }, retries: kind === 'backup' };
    const waits =
      last?.state === 'running' ||
      (since === undefined && !alone) ||
      !hasGround(run, (other) => wasEverDone(records.get(other), lasts.get(other)));
    return {
      id,
      kind,
      component,
      every: schedule.written,
      ...(last && record ? { last: { ...last, execution: record.execution } } : {}),
      ...(waits ? {} : { nextMs: computeNext(scheduled, last, nowMs).dueMs }),
    };
  });
}

async function readArchives(spec: Spec, store: StateStore, nowMs: number): Promise<readonly ArchiveStatus[]> {
  const records = await readArchiverRecords(store);
  return [...spec.components.values()].flatMap((component) =>
    (component.backup ?? [])
      .filter((backup) => backup.schedule === undefined)
      .map((backup): ArchiveStatus => {
        const id = scheduleId(component.name, backup);
        const record = records.get(id);
        const { what, to: repository } = backup;
        if (!record)
          return { id, component: component.name, what, repository, region: '', sinceMs: nowMs, atMs: nowMs, failures: 0, state: 'never' };
        const silent = record.state === 'archiving' && nowMs - record.atMs > silentMs;
        return {
          ...record,
          id,
          ...(silent ? { state: 'silent' as const } : {}),
          ...(record.archivedAtMs === undefined ? {} : { lagMs: Math.max(0, nowMs - record.archivedAtMs) }),
        };
      }),
  );
}
