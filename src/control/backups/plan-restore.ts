/** What a restore would do, before anything is touched: which backup it begins from, where it ends, how long it should take, and everything that stands in its way. Reads only. */

import type { CatalogueEntry } from '../../backups/records.ts';
import { computeRecoveryWindows, type RecoveryWindow } from '../../backups/recovery-points.ts';
import { fail } from '../../base/errors.ts';
import type { BackupContext, RecoveryTarget, RestorePreview } from '../../contracts/backup.ts';
import type { VerbTiming } from '../../plans/situation.ts';
import type { BackupParts } from './backup-parts.ts';
import { expectedRestoreMs } from './begin.ts';
import { findEntryFor } from './choose-proof.ts';
import { repositoriesOf } from './list-backups.ts';
import { scratchPath, withScratch } from './scratch.ts';

export interface RestoreRequest {
  readonly component: string;
  /** Undefined: as far as the newest backup leads. */
  readonly target?: RecoveryTarget;
  readonly backupId?: string;
  readonly repository?: string;
}

export interface RestorePlan {
  readonly component: string;
  readonly repository: string;
  readonly entry: CatalogueEntry;
  readonly target: RecoveryTarget;
  readonly preview: RestorePreview;
  readonly windows: readonly RecoveryWindow[];
  readonly expected: VerbTiming;
}

/** Nothing was ever measured: a modest disk, so that the first guess is not too hopeful. */
const guessBytesPerMs = 50_000;

export async function planRestore(
  parts: BackupParts,
  request: RestoreRequest,
  context: BackupContext,
  workId: string,
): Promise<RestorePlan> {
  const component = parts.component(request.component);
  const repositoryName = request.repository ?? (repositoriesOf(parts, component.name)[0] as string);
  const repository = await parts.repository(repositoryName);
  const catalogue = await repository.readCatalogue(component.name);
  const entries = catalogue.entries.filter((entry) => entry.tombstone === undefined);
  const { windows } = computeRecoveryWindows(catalogue, await parts.archiveExtents(repositoryName, component.name));
  const entry = chooseEntry(request, entries, windows);
  const target =
    request.target ?? (request.backupId === undefined && entry.backup.facts.archive ? { kind: 'newest' } : { kind: 'consistent' });
  const preview = await withScratch(parts.host, scratchPath(parts.scratchDirectory, parts.spec.name, workId), async (workDirectory) =>
    parts
      .openRestorer(component, workDirectory, context)
      .preview(await repository.openBackup(component.name, entry.backup.backupId), target),
  );
  const measuredMs = expectedRestoreMs(catalogue, component.name, preview.bytes);
  const expected: VerbTiming =
    measuredMs === undefined
      ? { ms: Math.ceil(preview.bytes / guessBytesPerMs) + 1_000, from: 'guess' }
      : { ms: measuredMs, from: 'measured' };
  return { component: component.name, repository: repositoryName, entry, target, preview, windows, expected };
}

function chooseEntry(request: RestoreRequest, entries: readonly CatalogueEntry[], windows: readonly RecoveryWindow[]): CatalogueEntry {
  const { component, backupId, target } = request;
  if (backupId === undefined) return findEntryFor(component, target ?? { kind: 'newest' }, entries, windows);
  const entry = entries.find(({ backup }) => backup.backupId === backupId);
  if (entry) return entry;
  throw fail('NOT_FOUND', {
    subject: backupId,
    message: `there is no backup ${backupId} of ${component}`,
    hint: `holdfast backups ${component} lists them.`,
  });
}
