/**
 * Plans that take a backup, prove one, restore one, or prune a repository: one step each, with everything that it needs to find its own effect again. Ids are drawn before, so that
 * whoever goes on after a crash looks for the very same backup, proof or copy. Pure.
 *
 * A failed one ends as failed, and nobody is waited for: the schedule begins the next one, and a slot that is held would keep all later ones from running.
 */
import type { JsonObject } from '../base/json.ts';
import type { BackupPlanKind, Plan, PlatformVerb } from './plan.ts';
import type { VerbTiming } from './situation.ts';

/** A step that hangs must end some day; what is large may take long. */
const timeoutMs = 3 * 86_400_000;

export interface BackupPlanFrame {
  readonly platform: string;
  /** The region that is active when the plan is made; the step itself goes by the one that is active then. */
  readonly activeRegion: string;
  readonly epoch: number;
  readonly nowMs: number;
  readonly because: string;
  readonly expected: VerbTiming;
}

function planOfOne(kind: BackupPlanKind, frame: BackupPlanFrame, verb: PlatformVerb, id: string, want: JsonObject, why: string): Plan {
  const { platform, activeRegion, epoch, nowMs, because, expected } = frame;
  return {
    kind,
    platform,
    from: activeRegion,
    to: activeRegion,
    epoch,
    parallel: 1,
    expectedMs: expected.ms,
    madeAtMs: nowMs,
    madeBecause: because,
    steps: [{ id, verb, want, after: [], why, timeoutMs, expectedMs: expected.ms, expectedFrom: expected.from, onFailure: 'give-up' }],
  };
}

export interface TakeBackupWant extends JsonObject {
  readonly component: string;
  readonly what: string;
  readonly repository: string;
  readonly backupId: string;
}

export function compileBackup(frame: BackupPlanFrame, want: TakeBackupWant): Plan {
  const { component, what, repository } = want;
  return planOfOne(
    'backup',
    frame,
    'take-backup',
    `take-backup ${component} ${what}`,
    want,
    `${what} of ${component} is committed to ${repository}`,
  );
}

export interface ProveBackupWant extends JsonObject {
  readonly component: string;
  readonly repository: string;
  /** Which of its kinds of backups. */
  readonly what: string;
  /** Undefined: drawn by the target when the proof begins. */
  readonly backupId?: string;
  readonly level: string;
  /** `newest`, `oldest`, `random`, or an instant. */
  readonly target: string;
  readonly checks: readonly { readonly ask: string; readonly expect: string }[];
  readonly withinMs?: number;
  /** What is damaged on purpose before: then the proof must fail. */
  readonly sabotage?: string;
}

export function compileProof(frame: BackupPlanFrame, want: ProveBackupWant): Plan {
  const { component, level, target, backupId, sabotage } = want;
  const which = backupId ?? target;
  const why =
    sabotage === undefined
      ? `${component} is restored beside (${which}) and checked up to ${level}`
      : `a copy of ${component} (${which}) is damaged, and its proof must fail`;
  return planOfOne('proof', frame, 'prove-backup', `prove-backup ${component}`, want, why);
}

export interface RestoreBackupWant extends JsonObject {
  readonly component: string;
  readonly repository: string;
  readonly backupId: string;
  readonly target: JsonObject;
  readonly into: string;
  /** The region of the site on whose machine it is to lie; undefined: on this one. */
  readonly on?: string;
}

export function compileRestore(frame: BackupPlanFrame, want: RestoreBackupWant): Plan {
  const { component, backupId, into, on } = want;
  const where = on === undefined ? into : `${into} in ${on}`;
  return planOfOne('restore', frame, 'restore-backup', `restore-backup ${component}`, want, `${where} holds ${component} from ${backupId}`);
}

export interface PruneBackupsWant extends JsonObject {
  readonly repository: string;
}

export function compilePrune(frame: BackupPlanFrame, want: PruneBackupsWant): Plan {
  const { repository } = want;
  return planOfOne('prune', frame, 'prune-backups', `prune-backups ${repository}`, want, `what nothing keeps goes from ${repository}`);
}
