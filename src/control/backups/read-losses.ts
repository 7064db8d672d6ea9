/** What was taken away from a component, by its archived log: which backup the search begins with, and what it finds. Reads only. */
import type { CatalogueEntry } from '../../backups/records.ts';
import { fail } from '../../base/errors.ts';
import type { BackupContext, LossRecord } from '../../contracts/backup.ts';
import type { BackupParts } from './backup-parts.ts';
import { repositoriesOf } from './list-backups.ts';
import { scratchPath, withScratch } from './scratch.ts';

export interface LossRequest {
  readonly component: string;
  readonly repository?: string;
  readonly sinceMs: number;
  /** Smaller ones are left out, unless something was dropped. */
  readonly rowsMin: number;
}

export interface LossSearchResult {
  readonly repository: string;
  /** A restore from it leads to just before each of them. */
  readonly backupId: string;
  /** From where on the log was looked through. */
  readonly fromMs: number;
  /** Newest last. */
  readonly losses: readonly LossRecord[];
}

/** Of a log that loses rows all day, so many of the newest are kept. */
const lossesMost = 1_000;

export async function readLosses(
  parts: BackupParts,
  request: LossRequest,
  context: BackupContext,
  workId: string,
): Promise<LossSearchResult> {
  const component = parts.component(request.component);
  const repositoryName = request.repository ?? (repositoriesOf(parts, component.name)[0] as string);
  const repository = await parts.repository(repositoryName);
  const { entries } = await repository.readCatalogue(component.name);
  const entry = chooseStart(component.name, entries, request.sinceMs);
  const losses = await withScratch(parts.host, scratchPath(parts.scratchDirectory, parts.spec.name, workId), async (workDirectory) => {
    const restorer = parts.openRestorer(component, workDirectory, context);
    if (!restorer.findLosses)
      throw fail('NO_SUCH_VERB', {
        subject: component.name,
        message: `the ${component.driver} driver can't tell from a log what was taken away`,
        hint: 'Restore to an instant instead: holdfast restore --to.',
      });
    const found: LossRecord[] = [];
    for await (const loss of restorer.findLosses(await repository.openBackup(component.name, entry.backup.backupId))) {
      if (loss.atMs < request.sinceMs || (loss.dropped === 0 && loss.rows < request.rowsMin)) continue;
      found.push(loss);
      if (found.length > lossesMost) found.shift();
    }
    return found;
  });
  return { repository: repositoryName, backupId: entry.backup.backupId, fromMs: entry.backup.facts.consistentAtMs, losses };
}

/** The newest backup from before the time looked at; where all are younger, the oldest. */
function chooseStart(component: string, all: readonly CatalogueEntry[], sinceMs: number): CatalogueEntry {
  const entries = all.filter((entry) => entry.tombstone === undefined && entry.backup.facts.archive !== undefined);
  const entry = entries.findLast(({ backup }) => backup.facts.consistentAtMs <= sinceMs) ?? entries[0];
  if (entry) return entry;
  throw fail('RESTORE_TARGET_UNREACHABLE', {
    subject: component,
    message: `there is no backup of ${component} with an archived log`,
    hint: 'Archive its log continuously, and take a backup: holdfast backup.',
  });
}
