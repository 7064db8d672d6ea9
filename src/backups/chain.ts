/**
 * Backups that build on others: what one of them can't be restored without, link by link. Reads only.
 *
 * Invariant: a link that is missing or damaged is told by its name, and by the name of the backup that needs it.
 */
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import type { BackupReader } from '../contracts/backup.ts';
import type { Manifest } from './manifest.ts';
import type { CatalogueEntry } from './records.ts';

export const inLink = (problem: string, backupId: string, link: string): string => `${link}, which ${backupId} builds on: ${problem}`;

const linkMissing = (component: string, backupId: string, link: string): HoldfastError =>
  fail('BACKUP_DAMAGED', {
    message: `${backupId} builds on ${link}, and there is no backup ${link} of ${component}`,
    hint: 'Nothing can be restored from it. Take a full backup now; holdfast backups lists those that stand alone.',
    subject: `${component} ${link}`,
  });

/** Its own manifest first, then those of everything that it needs; a link that can't be read is a problem, and ends its branch. */
export async function findChain(
  read: (backupId: string) => Promise<Manifest | undefined>,
  component: string,
  backupId: string,
): Promise<{ readonly manifests: readonly Manifest[]; readonly problems: readonly string[] }> {
  const own = await read(backupId);
  if (own === undefined) throw fail('NOT_FOUND', { message: `there is no backup "${backupId}" of ${component}`, subject: component });
  const manifests = [own];
  const problems: string[] = [];
  const seen = new Set([backupId]);
  for (const { facts, head } of manifests)
    for (const link of facts.needs ?? []) {
      if (seen.has(link)) continue;
      seen.add(link);
      try {
        const found = await read(link);
        if (found === undefined) throw linkMissing(component, head.backup, link);
        manifests.push(found);
      } catch (thrown) {
        const error = asHoldfastError(thrown, link);
        if (error.code !== 'BACKUP_DAMAGED') throw error;
        problems.push(error.message);
      }
    }
  return { manifests, problems };
}

interface Opener {
  openBackup(component: string, backupId: string): Promise<BackupReader>;
}

export async function openNeeded(
  repository: Opener,
  of: { readonly component: string; readonly backupId: string; readonly needs: readonly string[] | undefined },
  link: string,
): Promise<BackupReader> {
  const { component, backupId, needs } = of;
  if (needs?.includes(link) !== true) throw fail('BUG_BROKEN_BELIEF', { message: `${backupId} does not build on ${link}` });
  try {
    return await repository.openBackup(component, link);
  } catch (thrown) {
    const error = asHoldfastError(thrown, link);
    if (error.code === 'NOT_FOUND') throw linkMissing(component, backupId, link);
    if (error.code !== 'BACKUP_DAMAGED') throw error;
    throw fail('BACKUP_DAMAGED', { message: inLink(error.message, backupId, link), subject: `${component} ${link}`, cause: error });
  }
}

/** The ids of all backups that a restore of this one reads, its own first; those that are not there any more among them. */
export function chainOf(entries: readonly CatalogueEntry[], component: string, backupId: string): readonly string[] {
  const byId = new Map(entries.filter(({ backup }) => backup.component === component).map(({ backup }) => [backup.backupId, backup]));
  const seen = new Set([backupId]);
  // What is added while going through is gone through too.
  for (const id of seen) for (const needed of byId.get(id)?.facts.needs ?? []) seen.add(needed);
  return [...seen];
}

/** How many backups a restore of this one reads, itself included; undefined where one of them is not there any more. */
export function chainLength(entries: readonly CatalogueEntry[], { backup }: CatalogueEntry): number | undefined {
  if (backup.facts.needs === undefined) return 1;
  const there = new Set(entries.filter((entry) => entry.backup.component === backup.component).map((entry) => entry.backup.backupId));
  const ids = chainOf(entries, backup.component, backup.backupId);
  return ids.every((id) => there.has(id)) ? ids.length : undefined;
}

/** The newest backup that a new one may build on: of the right kinds, not removed, whole, and with not too much below it. */
export function chooseBasis(entries: readonly CatalogueEntry[], kinds: readonly string[], linksMost: number): CatalogueEntry | undefined {
  return entries
    .filter(({ backup, tombstone }) => tombstone === undefined && kinds.includes(backup.what))
    .toSorted((left, right) => left.backup.facts.consistentAtMs - right.backup.facts.consistentAtMs)
    .findLast((entry) => (chainLength(entries, entry) ?? Number.POSITIVE_INFINITY) < linksMost);
}
