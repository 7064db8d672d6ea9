/**
 * Restores a backup on this machine, walled off, recovers it to the target and stops it; then hands it to whoever wants it, while the backup is held by a lease and the scratch directory is
 * there. What comes of it is told: where the recovery ended, which canary was in it, how long each part took. Dying on the way leaves a scratch directory, which is swept.
 */
import { holdLease } from '../../backups/proof-lease.ts';
import { fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { RecoveryTarget, RunningCopy } from '../../contracts/backup.ts';
import type { CanaryRow } from '../../contracts/canary.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import type { BackupParts } from './backup-parts.ts';
import { stagingOf } from './restore-place.ts';
import { scratchPath, withScratch } from './scratch.ts';

export interface RecoverWish {
  readonly component: string;
  readonly repository: string;
  readonly backupId: string;
  readonly target: RecoveryTarget;
  /** Where the copy is made; undefined: in scratch, and gone once it was used. */
  readonly into?: string;
  /** Default: the execution's id. */
  readonly scratchName?: string;
}

export interface RecoveredCopy extends JsonObject {
  readonly component: string;
  readonly backupId: string;
  readonly target: Json;
  readonly startHint: string;
  readonly reached: string;
  readonly reachedAtMs?: number;
  readonly canary?: CanaryRow & JsonObject;
  readonly fetchMs: number;
}

/** @param use gets the directory of the copy, which is stopped */
export async function recoverCopy<T>(
  parts: BackupParts,
  wish: RecoverWish,
  context: StepContext,
  use: (copy: RecoveredCopy, directory: string, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { host } = parts;
  const { executionId } = context;
  const component = parts.component(wish.component);
  const { backupId, target } = wish;
  const repository = await parts.repository(wish.repository);
  const startedMs = host.clock.monotonicMs();
  const lease = await holdLease({
    repository,
    component: component.name,
    backupId,
    holder: executionId,
    what: 'restore',
    host,
    signal: context.signal,
  });
  const { signal } = lease;
  try {
    return await withScratch(
      host,
      scratchPath(parts.scratchDirectory, parts.spec.name, wish.scratchName ?? executionId),
      async (scratch) => {
        const staging = stagingOf(scratch);
        const workDirectory = wish.into === undefined ? staging.work : scratch;
        const directory = wish.into ?? staging.copy;
        if (wish.into === undefined) await host.files.makeDirectory(workDirectory, { mode: 0o711 });
        const restorer = parts.openRestorer(component, workDirectory, {
          signal,
          log: context.log,
          progress: (message) => context.progress(message),
        });
        const backup = await repository.openBackup(component.name, backupId);
        const [problem] = (await restorer.preview(backup, target)).problems;
        if (problem) throw fail('RESTORE_TARGET_UNREACHABLE', { subject: component.name, message: problem.message, hint: problem.hint });
        context.progress('fetching');
        const copy = await restorer.restore(backup, target, directory);
        signal.throwIfAborted();
        const fetchMs = Math.round(host.clock.monotonicMs() - startedMs);
        context.progress('recovering');
        const { reached, canary } = await recover(await copy.start());
        signal.throwIfAborted();
        return use(
          {
            component: component.name,
            backupId,
            target: target as unknown as Json,
            startHint: copy.startHint,
            reached: reached.detail,
            ...(reached.atMs === undefined ? {} : { reachedAtMs: reached.atMs }),
            ...(canary ? { canary: { ...canary } } : {}),
            fetchMs,
          },
          directory,
          signal,
        );
      },
    );
  } finally {
    await lease.release();
  }
}

async function recover(running: RunningCopy): Promise<{ reached: RunningCopy['reached']; canary: CanaryRow | undefined }> {
  try {
    return { reached: running.reached, canary: await running.readCanary() };
  } finally {
    await running.stop();
  }
}
