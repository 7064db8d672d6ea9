/**
 * restore-backup {component, backupId, repository, target, into, on?}: the directory holds the restored copy, recovered to the target and stopped. The recovery needs the repository and
 * its key, so it runs here, walled off; where it does not come to its target, there is no restored copy. With `on` (a region) it is recovered in scratch first, and then streamed to the
 * machine of that region's site by its hands: neither key nor repository is needed there.
 *
 * A marker beside the directory says which execution filled it, and is written last. Dying on the way leaves a directory without a marker; the note that was kept before the first byte
 * says that what lies there is ours, so the next attempt may clear it. A directory that was not empty before is never touched.
 */
import { holdLease } from '../../backups/proof-lease.ts';
import { fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import type { CanaryRow } from '../../contracts/canary.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import type { BackupParts } from '../backups/backup-parts.ts';
import { localPlace, type RestorePlace, remotePlace, stagingOf } from '../backups/restore-place.ts';
import { scratchPath, withScratch } from '../backups/scratch.ts';
import type { PlatformParts } from './platform-verb.ts';

export function placeOf(
  parts: BackupParts,
  want: { readonly component: string; readonly into: string; readonly on?: string },
): RestorePlace {
  const { component, into, on } = want;
  return on === undefined ? localPlace(parts.host, into) : remotePlace(parts.host, parts.handsAt(component, on), into);
}

export function restoreBackup({ backups: parts }: PlatformParts): Verb {
  const placeFor = (want: JsonObject) =>
    placeOf(parts, {
      component: String(want.component),
      into: String(want.into),
      ...(want.on === undefined ? {} : { on: String(want.on) }),
    });
  return {
    inspect: async (want, context) => {
      const marker = await placeFor(want).readMarker();
      if (marker?.execution === context.executionId) return { state: 'done', output: marker };
      return { state: 'absent', why: `${String(want.into)} is not restored yet` };
    },
    apply: async (want, context) => {
      const into = String(want.into);
      const place = placeFor(want);
      const begun = (context.note as JsonObject | undefined)?.into === into;
      if (begun) await place.clear();
      else await place.requireEmpty();
      await context.keepNote({ into });
      await restore(parts, want, place, context);
    },
  };
}

async function restore(parts: BackupParts, want: JsonObject, place: RestorePlace, context: StepContext): Promise<void> {
  const { host } = parts;
  const into = String(want.into);
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
    await withScratch(host, scratchPath(parts.scratchDirectory, parts.spec.name, executionId), async (scratch) => {
      const staging = stagingOf(scratch);
      const workDirectory = place.bring ? staging.work : scratch;
      const copyDirectory = place.bring ? staging.copy : into;
      if (place.bring) await host.files.makeDirectory(workDirectory, { mode: 0o711 });
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
      const copy = await restorer.restore(backup, target, copyDirectory);
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
      const recoveredMs = host.clock.monotonicMs();
      if (place.bring) context.progress(`unpacking in ${String(want.on)}`);
      await place.bring?.(copyDirectory, signal);
      const marker = {
        execution: executionId,
        component: component.name,
        backupId,
        target: want.target as Json,
        directory: into,
        startHint: copy.startHint.replaceAll(copyDirectory, into),
        reached: reached.detail,
        ...(reached.atMs === undefined ? {} : { reachedAtMs: reached.atMs }),
        ...(canary ? { canary: { ...canary } } : {}),
        fetchMs: Math.round(fetchedMs - startedMs),
        ...(place.bring ? { on: String(want.on), moveMs: Math.round(host.clock.monotonicMs() - recoveredMs) } : {}),
        tookMs: Math.round(host.clock.monotonicMs() - startedMs),
      };
      await place.writeMarker(marker);
    });
  } finally {
    await lease.release();
  }
}
