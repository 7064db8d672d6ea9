/**
 * restore-backup {component, backupId, repository, target, into}: the directory holds the restored copy, recovered to the target and stopped. The recovery needs the repository, so it
 * runs here, walled off; where it does not come to its target, the directory is no restored copy.
 *
 * A marker beside the directory (`<into>.holdfast-restore.json`) says which execution filled it, and is written last. Dying on the way leaves a directory without a marker; the note
 * that was kept before the first byte says that what lies there is ours, so the next attempt may clear it. A directory that was not empty before is never touched.
 */
import { holdLease } from '../../backups/proof-lease.ts';
import { fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import type { CanaryRow } from '../../contracts/canary.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import type { BackupParts } from '../backups/backup-parts.ts';
import { scratchPath, withScratch } from '../backups/scratch.ts';
import type { PlatformParts } from './platform-verb.ts';

export const restoreMarkerPath = (into: string): string => `${into.replace(/\/+$/, '')}.holdfast-restore.json`;

export function restoreBackup({ backups: parts }: PlatformParts): Verb {
  return {
    inspect: async (want, context) => {
      const marker = await readMarker(parts, String(want.into));
      if (marker?.execution === context.executionId) return { state: 'done', output: marker };
      return { state: 'absent', why: `${String(want.into)} is not restored yet` };
    },
    apply: async (want, context) => {
      const into = String(want.into);
      const begun = (context.note as JsonObject | undefined)?.into === into;
      if (begun) await parts.host.files.remove(into);
      else await requireEmpty(parts, into);
      await context.keepNote({ into });
      await restore(parts, want, into, context);
    },
  };
}

async function readMarker({ host }: BackupParts, into: string): Promise<JsonObject | undefined> {
  const path = restoreMarkerPath(into);
  if (!(await host.files.exists(path))) return undefined;
  const marker = JSON.parse(await host.files.readText(path)) as Json;
  return marker !== null && typeof marker === 'object' && !Array.isArray(marker) ? (marker as JsonObject) : undefined;
}

export async function requireEmpty({ host }: Pick<BackupParts, 'host'>, into: string): Promise<void> {
  if (!(await host.files.exists(into))) return;
  const content = await host.files.list(into).catch(() => ['a file of that name']);
  if (content.length === 0) return;
  throw fail('RESTORE_TARGET_NOT_EMPTY', {
    subject: into,
    message: `${into} is not empty: ${content.slice(0, 3).join(', ')}${content.length > 3 ? ` and ${content.length - 3} more` : ''}`,
  });
}

async function restore(parts: BackupParts, want: JsonObject, into: string, context: StepContext): Promise<void> {
  const { host } = parts;
  const component = parts.component(String(want.component));
  const backupId = String(want.backupId);
  const repository = await parts.repository(String(want.repository));
  const startedMs = host.clock.monotonicMs();
  const { executionId } = context;
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
    await withScratch(host, scratchPath(parts.scratchDirectory, parts.spec.name, executionId), async (workDirectory) => {
      const restorer = parts.openRestorer(component, workDirectory, {
        signal,
        log: context.log,
        progress: (message) => context.progress(message),
      });
      const backup = await repository.openBackup(component.name, backupId);
      const target = want.target as unknown as RecoveryTarget;
      const [problem] = (await restorer.preview(backup, target)).problems;
      if (problem) throw fail('RESTORE_TARGET_UNREACHABLE', { subject: component.name, message: problem.message, hint: problem.hint });
      context.progress('fetching');
      const copy = await restorer.restore(backup, target, into);
      signal.throwIfAborted();
      const fetchedMs = host.clock.monotonicMs();
      context.progress('recovering');
      const running = await copy.start();
      const reached = running.reached;
      let canary: CanaryRow | undefined;
      try {
        canary = await running.readCanary();
      } finally {
        await running.stop();
      }
      signal.throwIfAborted();
      const marker = {
        execution: executionId,
        component: component.name,
        backupId,
        target: want.target as Json,
        directory: copy.directory,
        startHint: copy.startHint,
        reached: reached.detail,
        ...(reached.atMs === undefined ? {} : { reachedAtMs: reached.atMs }),
        ...(canary ? { canary: { ...canary } } : {}),
        fetchMs: Math.round(fetchedMs - startedMs),
        tookMs: Math.round(host.clock.monotonicMs() - startedMs),
      };
      await host.files.writeAtomically(restoreMarkerPath(into), `${JSON.stringify(marker, null, 2)}\n`);
    });
  } finally {
    await lease.release();
  }
}
