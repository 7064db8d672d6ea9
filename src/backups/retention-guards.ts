/** What stops a plan of removal, however right it looks: for each guard there is a way in which a sound policy over wrong facts deletes everything. Pure. */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import type { CatalogueEntry } from './records.ts';
import type { RetentionGroup, RetentionInput } from './retention-groups.ts';
import { retentionDefaults } from './retention-policy.ts';

function newestRecordMs(entry: CatalogueEntry): number {
  return Math.max(
    entry.backup.endedAtMs,
    entry.backup.facts.consistentAtMs,
    entry.tombstone?.atMs ?? 0,
    ...entry.proofs.map(({ atMs }) => atMs),
  );
}

/** What stops everything. */
export function computeRefusals(input: RetentionInput, groups: readonly RetentionGroup[]): readonly string[] {
  const { nowMs, previousNowMs, catalogue } = input;
  const found: string[] = [];
  const first = catalogue.unreadable[0];
  if (first)
    found.push(
      `${catalogue.unreadable.length === 1 ? 'an object' : `${catalogue.unreadable.length} objects`} of the repository can't be read: ${first.object}: ${first.why}`,
    );
  if (groups.length === 0) return found;
  const skewMs = Math.max(...groups.map(({ policy }) => policy.skewMaxMs), retentionDefaults.skewMaxMs);
  const leapMs = Math.max(...groups.map(({ policy }) => policy.leapMaxMs));
  const newestMs = catalogue.entries.reduce((newest, entry) => Math.max(newest, newestRecordMs(entry)), 0);
  if (nowMs + skewMs < newestMs)
    found.push(`the clock says ${formatInstant(nowMs)}, and the newest record is from ${formatInstant(newestMs)}: it has jumped back`);
  if (previousNowMs !== undefined && nowMs < previousNowMs - skewMs)
    found.push(`the clock says ${formatInstant(nowMs)}, and the last run was at ${formatInstant(previousNowMs)}: it has jumped back`);
  // Without a last run the newest record tells the time: backups that have stopped and a clock that leapt look the same, and neither is a time to remove what there is.
  const lastMs = Math.max(newestMs, previousNowMs ?? 0);
  if (lastMs > 0 && nowMs - lastMs > leapMs)
    found.push(
      `the clock says ${formatInstant(nowMs)}, ${formatDuration(nowMs - lastMs)} after the last run and the newest record: it has leapt, or nothing was backed up since`,
    );
  return found;
}

/**
 * Why nothing of a component goes, in view of its proofs: one failed, and none has passed since on a backup that is as new. A proof of an older backup says nothing of those that
 * are taken now.
 */
export function findFreeze(group: RetentionGroup): string | undefined {
  const proofs = group.entries
    .flatMap((entry) => entry.proofs.map((proof) => ({ proof, atMs: entry.backup.facts.consistentAtMs })))
    .filter(({ proof }) => proof.inconclusive === undefined);
  const open = proofs.find(
    (failed) => !failed.proof.ok && !proofs.some(({ proof, atMs }) => proof.ok && proof.atMs > failed.proof.atMs && atMs >= failed.atMs),
  );
  if (!open) return undefined;
  return `${group.component}: ${open.proof.backupId} did not pass its proof at ${formatInstant(open.proof.atMs)}, and no newer one has since`;
}
