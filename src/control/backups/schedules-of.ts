/** Everything in a spec that has a schedule: backups, their proofs, and the pruning of repositories. Pure. */
import type { BackupSpec } from '../../spec/backup-section.ts';
import type { ScheduleSpec } from '../../spec/schedule-spec.ts';
import type { Spec } from '../../spec/spec.ts';

export type PlannedRun =
  | {
      readonly kind: 'backup';
      readonly id: string;
      readonly component: string;
      readonly backup: BackupSpec;
      readonly schedule: ScheduleSpec;
      /** Runs of which one must have been done before there is anything to build on; undefined: it stands alone. */
      readonly afterAny?: readonly string[];
    }
  | {
      readonly kind: 'proof';
      readonly id: string;
      readonly component: string;
      readonly backup: BackupSpec;
      readonly schedule: ScheduleSpec;
      /** The run that must have been done before there is anything to prove. */
      readonly after: string;
    }
  | {
      readonly kind: 'prune';
      readonly id: string;
      readonly repository: string;
      readonly schedule: ScheduleSpec;
      /** Runs of which one must have been done before there can be anything to remove. */
      readonly afterAny: readonly string[];
    };

export function plannedRuns(spec: Spec): readonly PlannedRun[] {
  const runs: PlannedRun[] = [];
  for (const component of spec.components.values()) {
    for (const backup of component.backup ?? []) {
      if (backup.schedule === undefined) continue;
      const id = scheduleId(component.name, backup);
      const bases = (component.backup ?? []).filter(
        ({ what, to }) => what !== backup.what && to === backup.to && backup.buildsOn?.includes(what),
      );
      const afterAny = bases.map((base) => scheduleId(component.name, base));
      runs.push({
        kind: 'backup',
        id,
        component: component.name,
        backup,
        schedule: backup.schedule,
        ...(afterAny.length === 0 ? {} : { afterAny }),
      });
      if (backup.prove)
        runs.push({ kind: 'proof', id: `${id}#proof`, component: component.name, backup, schedule: backup.prove.schedule, after: id });
    }
  }
  for (const { name, prune } of spec.repositories?.values() ?? []) {
    if (prune === undefined) continue;
    const afterAny = runs.flatMap((run) => (run.kind === 'backup' && run.backup.to === name ? [run.id] : []));
    runs.push({ kind: 'prune', id: `${name}#prune`, repository: name, schedule: prune, afterAny });
  }
  return runs;
}

export const scheduleId = (component: string, backup: Pick<BackupSpec, 'what' | 'to'>): string =>
  `${component}/${backup.what}@${backup.to}`;

/** Whether there is what it works on: something to build on, something to prove, something that may have to go. `wasDone`: whether a run of that id has ever ended well. */
export function hasGround(run: PlannedRun, wasDone: (id: string) => boolean): boolean {
  if (run.kind === 'proof') return wasDone(run.after);
  return run.kind === 'backup' && run.afterAny === undefined ? true : (run.afterAny ?? []).some(wasDone);
}
