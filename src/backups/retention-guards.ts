/** What stops a plan of removal, however right it looks: for each guard there is a way in which a sound policy over wrong facts deletes everything. Pure. */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import type { CatalogueEntry } from './records.ts';
import type { RetentionGroup, RetentionInput } from './retention-groups.ts';
import { retentionDefaults } from './retention-policy.ts';

function recordInstants({ backup, tombstone, proofs }: CatalogueEntry): readonly number[] {
  return [backup.endedAtMs, backup.facts.consistentAtMs, ...(tombstone ? [tombstone.atMs] : []), ...proofs.map(({ atMs }) => atMs)];
}

/**
 * A stretch of time of which there is no trace, since the last run. A clock that leapt and backups that have stopped look the same, and neither is a time to remove what there is. A
 * backup that was taken by the leapt clock does not heal it; time that has passed steadily since does, for nobody can leap through that.
 */
function findLeap({ nowMs, previousNowMs, catalogue }: RetentionInput, leapMs: number): { fromMs: number; toMs: number } | undefined {
  const records = catalogue.entries.flatMap(recordInstants).filter((atMs) => atMs <= nowMs);
  const newestMs = records.reduce((newest, atMs) => Math.max(newest, atMs), 0);
  const fromMs = previousNowMs ?? newestMs;
  if (fromMs === 0) return undefined;
  const instants = [fromMs, ...records.filter((atMs) => atMs > fromMs), nowMs].toSorted((left, right) => left - right);
  for (let index = instants.length - 1; index > 0; index -= 1) {
    const [before, after] = [instants[index - 1] as number, instants[index] as number];
    if (after < nowMs - leapMs) return undefined;
    if (after - before > leapMs) return { fromMs: before, toMs: after };
  }
  return undefined;
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
  const newestMs = catalogue.entries.flatMap(recordInstants).reduce((newest, atMs) => Math.max(newest, atMs), 0);
  if (nowMs + skewMs < newestMs)
    found.push(`the clock says ${formatInstant(nowMs)}, and the newest record is from ${formatInstant(newestMs)}: it has jumped back`);
  if (previousNowMs !== undefined && nowMs < previousNowMs - skewMs)
    found.push(`the clock says ${formatInstant(nowMs)}, and the last run was at ${formatInstant(previousNowMs)}: it has jumped back`);
  // A clock that went back explains a missing stretch by itself.
  const leap = found.some((message) => message.endsWith('it has jumped back')) ? undefined : findLeap(input, leapMs);
  if (leap)
    found.push(
      `the clock says ${formatInstant(nowMs)}, and nothing is known of the ${formatDuration(leap.toMs - leap.fromMs)} from ${formatInstant(leap.fromMs)} on: it has leapt, or nothing was backed up; that is believed once it has gone on steadily for ${formatDuration(leapMs)}`,
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
