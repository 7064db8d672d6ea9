/**
 * restore-backup {component, backupId, repository, target, into, on?}: the directory holds the restored copy, recovered to the target and stopped. The recovery needs the repository and
 * its key, so it runs here, walled off; where it does not come to its target, there is no restored copy. With `on` (a region) it is recovered in scratch first, and then streamed to the
 * machine of that region's site by its hands: neither key nor repository is needed there.
 *
 * A marker beside the directory says which execution filled it, and is written last. Dying on the way leaves a directory without a marker; the note that was kept before the first byte
 * says that what lies there is ours, so the next attempt may clear it. A directory that was not empty before is never touched.
 */
import type { JsonObject } from '../../base/json.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import type { BackupParts } from '../backups/backup-parts.ts';
import { recoverCopy } from '../backups/recover-copy.ts';
import { localPlace, type RestorePlace, remotePlace } from '../backups/restore-place.ts';
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
  const { clock } = parts.host;
  const into = String(want.into);
  const startedMs = clock.monotonicMs();
  const wish = {
    component: String(want.component),
    repository: String(want.repository),
    backupId: String(want.backupId),
    target: want.target as unknown as RecoveryTarget,
    ...(place.bring ? {} : { into }),
  };
  await recoverCopy(parts, wish, context, async (copy, directory, signal) => {
    const recoveredMs = clock.monotonicMs();
    if (place.bring) context.progress(`unpacking in ${String(want.on)}`);
    await place.bring?.(directory, signal);
    await place.writeMarker({
      execution: context.executionId,
      ...copy,
      directory: into,
      startHint: copy.startHint.replaceAll(directory, into),
      ...(place.bring ? { on: String(want.on), moveMs: Math.round(clock.monotonicMs() - recoveredMs) } : {}),
      tookMs: Math.round(clock.monotonicMs() - startedMs),
    });
  });
}
