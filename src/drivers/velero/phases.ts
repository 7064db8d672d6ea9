/**
 * What the phases and counts of Velero mean. Pure.
 *
 * Only Completed with all items and no error is a success: PartiallyFailed is a failure, and a phase that nobody knows is still under way.
 */
import { countAt, type KubeObject, textAt, valueAt } from '../kubernetes-api/objects.ts';

export type Outcome = 'running' | 'completed' | 'failed';

const failures = new Set([
  'PartiallyFailed',
  'Failed',
  'FailedValidation',
  'FinalizingPartiallyFailed',
  'WaitingForPluginOperationsPartiallyFailed',
]);
const ended = new Set(['Completed', 'PartiallyFailed', 'Failed', 'FailedValidation']);

export interface Judged {
  readonly outcome: Outcome;
  readonly phase: string;
  readonly itemsTotal: number;
  readonly itemsDone: number;
  readonly warnings: number;
  /** In words; empty where nothing is wrong. */
  readonly why: string;
}

export function judge(object: KubeObject, what: 'backup' | 'restore'): Judged {
  const phase = textAt(object.status, 'phase') ?? 'New';
  const itemsTotal = countAt(object.status, 'progress', 'totalItems');
  const itemsDone = countAt(object.status, 'progress', what === 'backup' ? 'itemsBackedUp' : 'itemsRestored');
  const seen = { phase, itemsTotal, itemsDone, warnings: countAt(object.status, 'warnings') };
  if (!ended.has(phase)) return { ...seen, outcome: 'running', why: failures.has(phase) ? 'parts of it have failed already' : '' };
  const faults = faultsOf(object, seen);
  return { ...seen, outcome: faults.length === 0 ? 'completed' : 'failed', why: faults.join('; ') };
}

function faultsOf(
  object: KubeObject,
  { phase, itemsTotal, itemsDone }: { readonly phase: string; readonly itemsTotal: number; readonly itemsDone: number },
): string[] {
  const { status } = object;
  const faults: string[] = [];
  const validation = valueAt(status, 'validationErrors');
  if (phase !== 'Completed') faults.push(`it ended ${phase}`);
  if (Array.isArray(validation)) faults.push(...validation.map(String));
  const reason = textAt(status, 'failureReason');
  if (reason) faults.push(reason);
  const errors = countAt(status, 'errors');
  if (errors > 0) faults.push(`${errors} errors`);
  if (phase !== 'FailedValidation' && itemsDone !== itemsTotal) faults.push(`${itemsDone} of ${itemsTotal} items`);
  const [attempted, completed] = [countAt(status, 'csiVolumeSnapshotsAttempted'), countAt(status, 'csiVolumeSnapshotsCompleted')];
  if (attempted !== completed) faults.push(`${completed} of ${attempted} volume snapshots`);
  const [operations, hooks] = [countAt(status, 'backupItemOperationsFailed'), countAt(status, 'hookStatus', 'hooksFailed')];
  if (operations > 0) faults.push(`${operations} item operations failed`);
  if (hooks > 0) faults.push(`${hooks} hooks failed`);
  return faults;
}

/** `720h0m0s` in milliseconds; undefined where it is nothing of the kind. */
export function parseTtlMs(text: string | undefined): number | undefined {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text ?? '');
  if (!match || text === '' || text === undefined) return undefined;
  const [hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number];
  return ((hours * 60 + minutes) * 60 + seconds) * 1_000;
}

export function formatTtl(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  return `${Math.floor(seconds / 3_600)}h${Math.floor((seconds % 3_600) / 60)}m${seconds % 60}s`;
}

/** What Velero keeps a backup for where nothing is said. */
export const defaultTtlMs = 720 * 3_600_000;
