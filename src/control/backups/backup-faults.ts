/** What is wrong with the backups now: reads what the alarms are computed from (each repository, the state), and computes them. What can't be read is a fault, never silence. */

import { computeBackupFaults, lateAfterMs } from '../../backups/alarms.ts';
import type { AlarmInput, ArchiverState, BackupExpectation, BackupFault, KeyState, RunState } from '../../backups/alarms-input.ts';
import { backupLimitMs, proofLimitMs } from '../../backups/alarms-runs.ts';
import type { Catalogue } from '../../backups/records.ts';
import { computeRecoveryWindows, type RecoveryWindow } from '../../backups/recovery-points.ts';
import { asHoldfastError } from '../../base/errors.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import { findUnservedPurposes } from '../../spec/backup-purposes.ts';
import { longestPauseMs } from '../../spec/schedule-times.ts';
import type { ComponentSpec } from '../../spec/spec.ts';
import { loadExecution } from '../../state/journal.ts';
import type { BackupParts } from './backup-parts.ts';
import { type ArchiveStatus, readBackupStatus, type ScheduleStatus } from './backup-status.ts';
import { repositoriesOf } from './list-backups.ts';
import { readSince } from './run-records.ts';
import { scheduleId } from './schedules-of.ts';

/** Where no objective says how much may be lost. */
const lagMsDefault = 15 * 60_000;
/** @param served whether a process keeps the schedules and archives going now */
export async function readBackupFaults(parts: BackupParts, served: boolean): Promise<readonly BackupFault[]> {
  const input = await readAlarmInput(parts, served);
  return [...purposeFaults(parts.spec), ...(input === undefined ? [] : computeBackupFaults(input))];
}

/** A purpose without a policy: no backup that is taken makes up for it. */
function purposeFaults({ objectives, components }: BackupParts['spec']): readonly BackupFault[] {
  return findUnservedPurposes(objectives, components).map(({ component, purpose, message, hint }) => ({
    alarm: 'purpose-unserved',
    severity: 'problem',
    component,
    subject: purpose,
    message,
    hint,
  }));
}

/** Undefined: the spec has no backups. */
export async function readAlarmInput(parts: BackupParts, served: boolean): Promise<AlarmInput | undefined> {
  const { spec, store, host } = parts;
  const backedUp = [...spec.components.values()].filter((component) => (component.backup ?? []).length > 0);
  if (backedUp.length === 0) return undefined;
  const nowMs = host.clock.nowMs();
  const [status, since] = await Promise.all([readBackupStatus(spec, store, nowMs), readSince(store)]);
  const { catalogue, windows, keys } = await readRepositories(parts);
  const closed = new Set(keys.filter(({ reachable }) => !reachable).map(({ repository }) => repository));
  const rpoMs = new Map(
    backedUp.flatMap(({ name, rpoMs: own }) =>
      [own ?? spec.objectives.rpoMs].flatMap((ms) => (ms === undefined ? [] : [[name, ms] as const])),
    ),
  );
  const expectations: BackupExpectation[] = [];
  for (const component of backedUp)
    for (const expectation of await expectationsOf(component, status.schedules, closed, { store, since, nowMs }))
      expectations.push(expectation);
  // Of a repository that can't be read it is not known what is in it: only that is said.
  for (const component of backedUp) if ((component.backup ?? []).every(({ to }) => closed.has(to))) rpoMs.delete(component.name);
  const archivers = status.archives.map((archive) => archiverOf(archive, served, rpoMs.get(archive.component) ?? lagMsDefault));
  const runs = backedUp.flatMap((component) => runsOf(component, status.schedules, nowMs));
  return { catalogue, windows, expectations, rpoMs, archivers, keys, runs, nowMs };
}

async function readRepositories(
  parts: BackupParts,
): Promise<{ catalogue: Catalogue; windows: readonly RecoveryWindow[]; keys: readonly KeyState[] }> {
  const windows: RecoveryWindow[] = [];
  const keys: KeyState[] = [];
  const all = { entries: [], gaps: [], sabotaged: [], unreadable: [] } as { -readonly [K in keyof Catalogue]: Catalogue[K][number][] };
  for (const name of repositoriesOf(parts)) {
    try {
      const repository = await parts.repository(name);
      // It was opened once, and what opened it may be gone by now: then the next process can't.
      await repository.checkKey?.();
      const catalogue = await repository.readCatalogue();
      windows.push(...computeRecoveryWindows(catalogue, await parts.archiveExtents(name)).windows);
      all.entries.push(...catalogue.entries);
      all.gaps.push(...catalogue.gaps);
      all.sabotaged.push(...catalogue.sabotaged);
      all.unreadable.push(...catalogue.unreadable);
      keys.push({ repository: name, reachable: true });
    } catch (thrown) {
      const { code, message } = asHoldfastError(thrown);
      keys.push({ repository: name, reachable: false, why: message, ...(code.startsWith('KEY_') ? {} : { isStore: true }) });
    }
  }
  return { catalogue: all, windows, keys };
}

async function expectationsOf(
  component: ComponentSpec,
  schedules: readonly ScheduleStatus[],
  closed: ReadonlySet<string>,
  { store, since, nowMs }: { readonly store: StateStore; readonly since: ReadonlyMap<string, number>; readonly nowMs: number },
): Promise<readonly BackupExpectation[]> {
  const found: BackupExpectation[] = [];
  for (const backup of component.backup ?? []) {
    if (closed.has(backup.to)) continue;
    const id = scheduleId(component.name, backup);
    const { what, schedule, prove } = backup;
    const everyMs = schedule && longestPauseMs(schedule, nowMs);
    const last = schedules.find((one) => one.id === id)?.last;
    found.push({
      component: component.name,
      what,
      // Nobody ever served this spec: nothing was ever going to be taken, which is as bad as being late.
      sinceMs: since.get(id) ?? nowMs - lateAfterMs(everyMs ?? 0) - 1,
      ...(everyMs === undefined ? {} : { everyMs }),
      ...(prove ? { prove: { level: prove.level, everyMs: longestPauseMs(prove.schedule, nowMs) } } : {}),
      ...(last?.state === 'failed'
        ? { failure: { atMs: last.endedMs ?? last.beganMs, message: await failureOf(store, last.execution) } }
        : {}),
    });
  }
  return found;
}

/** What was begun by schedule and has not ended. */
function runsOf(
  { name: component, backup: backups = [] }: ComponentSpec,
  schedules: readonly ScheduleStatus[],
  nowMs: number,
): readonly RunState[] {
  const found: RunState[] = [];
  for (const backup of backups) {
    const { what, to: repository, schedule, prove } = backup;
    const id = scheduleId(component, backup);
    const add = (kind: RunState['kind'], of: string, limitMs: number): void => {
      const last = schedules.find((one) => one.id === of)?.last;
      if (last?.state === 'running')
        found.push({ kind, component, what, repository, execution: last.execution, beganMs: last.beganMs, limitMs });
    };
    if (schedule) add('backup', id, backupLimitMs(longestPauseMs(schedule, nowMs)));
    if (prove) add('proof', `${id}#proof`, proofLimitMs(longestPauseMs(prove.schedule, nowMs), prove.withinMs));
  }
  return found;
}

async function failureOf(store: StateStore, execution: string): Promise<string> {
  const { state } = await loadExecution(store, execution);
  return state.steps.find((step) => step.error)?.error?.message ?? `${execution} ended as ${state.outcome ?? state.status}`;
}

function archiverOf(archive: ArchiveStatus, served: boolean, lagMaxMs: number): ArchiverState {
  const { component, state, archivedAtMs, sinceMs, error } = archive;
  const trouble = served ? (error as { readonly message?: string } | undefined)?.message : 'no holdfast serve runs';
  return {
    component,
    running: served && (state === 'archiving' || state === 'starting'),
    sinceMs,
    lagMaxMs,
    ...(archivedAtMs === undefined ? {} : { safeMs: archivedAtMs }),
    ...(trouble === undefined ? {} : { error: trouble }),
  };
}
