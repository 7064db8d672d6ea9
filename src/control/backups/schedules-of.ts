/** Everything in a spec that has a schedule: backups and their proofs. Pure. */
import type { BackupSpec, ScheduleSpec } from '../../spec/backup-section.ts';
import type { Spec } from '../../spec/spec.ts';

export type PlannedRun =
  | {
      readonly kind: 'backup';
      readonly id: string;
      readonly component: string;
      readonly backup: BackupSpec;
      readonly schedule: ScheduleSpec;
    }
  | {
      readonly kind: 'proof';
      readonly id: string;
      readonly component: string;
      readonly backup: BackupSpec;
      readonly schedule: ScheduleSpec;
      /** The run that must have been done before there is anything to prove. */
      readonly after: string;
    };

export function plannedRuns(spec: Spec): readonly PlannedRun[] {
  const runs: PlannedRun[] = [];
  for (const component of spec.components.values()) {
    for (const backup of component.backup ?? []) {
      if (backup.schedule === undefined) continue;
      const id = scheduleId(component.name, backup);
      runs.push({ kind: 'backup', id, component: component.name, backup, schedule: backup.schedule });
      if (backup.prove)
        runs.push({ kind: 'proof', id: `${id}#proof`, component: component.name, backup, schedule: backup.prove.schedule, after: id });
    }
  }
  return runs;
}

export const scheduleId = (component: string, backup: Pick<BackupSpec, 'what' | 'to'>): string =>
  `${component}/${backup.what}@${backup.to}`;
