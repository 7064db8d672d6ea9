/** The backups of a spec's repositories as people want to see them: what each leads back to, how far it is proven, what keeps it, and which instants can be reached. Reads only. */

import { type Catalogue, type CatalogueEntry, provenLevel } from '../../backups/records.ts';
import { computeRecoveryWindows, type RecoveryWindow } from '../../backups/recovery-points.ts';
import { asHoldfastError } from '../../base/errors.ts';
import type { ProofLevel } from '../../contracts/backup.ts';
import type { BackupParts } from './backup-parts.ts';
import { planRetention } from './plan-retention.ts';

export interface BackupRow {
  readonly repository: string;
  readonly component: string;
  readonly what: string;
  readonly backupId: string;
  /** The instant that it leads back to. */
  readonly atMs: number;
  readonly storedBytes: number;
  readonly dataBytes: number;
  readonly level: ProofLevel | 'none';
  /** When the newest proof that passed was made. */
  readonly provenAtMs?: number;
  readonly keptBy: readonly string[];
  /** Marked to go, or already counted as gone. */
  readonly going: boolean;
  readonly leased: boolean;
  readonly lockedUntilMs?: number;
}

export interface RepositoryTrouble {
  readonly repository: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export interface BackupListing {
  readonly backups: readonly BackupRow[];
  readonly windows: readonly (RecoveryWindow & { readonly repository: string })[];
  readonly gaps: Catalogue['gaps'];
  readonly unreadable: Catalogue['unreadable'];
  /** Repositories that could not be read: what is in them is not listed. */
  readonly troubles: readonly RepositoryTrouble[];
}

/** Names of the repositories that hold backups of the component, or of any. */
export function repositoriesOf(parts: BackupParts, component?: string): readonly string[] {
  const components = component === undefined ? [...parts.spec.components.values()] : [parts.component(component)];
  return [...new Set(components.flatMap((each) => (each.backup ?? []).map((backup) => backup.to)))];
}

export async function listBackups(parts: BackupParts, component?: string): Promise<BackupListing> {
  const listing = { backups: [], windows: [], gaps: [], unreadable: [], troubles: [] } as {
    -readonly [K in keyof BackupListing]: BackupListing[K][number][];
  };
  for (const repository of repositoriesOf(parts, component)) {
    try {
      const read = await readRepository(parts, repository, component);
      listing.backups.push(...read.backups);
      listing.windows.push(...read.windows);
      listing.gaps.push(...read.gaps);
      listing.unreadable.push(...read.unreadable);
    } catch (thrown) {
      const { code, message, hint } = asHoldfastError(thrown);
      listing.troubles.push({ repository, code, message, hint });
    }
  }
  return listing;
}

async function readRepository(
  parts: BackupParts,
  repository: string,
  component: string | undefined,
): Promise<Omit<BackupListing, 'troubles'>> {
  const catalogue = await (await parts.repository(repository)).readCatalogue(component);
  const { windows } = computeRecoveryWindows(catalogue, await parts.archiveExtents(repository, component));
  const plan = await planRetention(parts, repository, catalogue);
  const keptBy = new Map(plan.keep.map(({ entry, because }) => [entry.backup.backupId, because]));
  const nowMs = parts.host.clock.nowMs();
  return {
    backups: catalogue.entries.map((entry) => rowOf(repository, entry, keptBy.get(entry.backup.backupId) ?? [], nowMs)),
    windows: windows.map((window) => ({ ...window, repository })),
    gaps: catalogue.gaps,
    unreadable: catalogue.unreadable,
  };
}

function rowOf(repository: string, entry: CatalogueEntry, keptBy: readonly string[], nowMs: number): BackupRow {
  const { backup, proofs, leases, tombstone, lockedUntilMs } = entry;
  const provenAtMs = proofs.findLast((proof) => proof.ok)?.atMs;
  return {
    repository,
    component: backup.component,
    what: backup.what,
    backupId: backup.backupId,
    atMs: backup.facts.consistentAtMs,
    storedBytes: backup.storedBytes,
    dataBytes: backup.facts.dataBytes,
    level: provenLevel(entry),
    ...(provenAtMs === undefined ? {} : { provenAtMs }),
    keptBy,
    going: tombstone !== undefined,
    leased: leases.some((lease) => lease.untilMs > nowMs),
    ...(lockedUntilMs === undefined ? {} : { lockedUntilMs }),
  };
}

/** The backup of that id, with everything that is known of it, in whichever repository it is. */
export async function findBackup(
  parts: BackupParts,
  backupId: string,
): Promise<{ readonly repository: string; readonly entry: CatalogueEntry } | undefined> {
  for (const repository of repositoriesOf(parts)) {
    const catalogue = await (await parts.repository(repository)).readCatalogue();
    const entry = catalogue.entries.find(({ backup }) => backup.backupId === backupId);
    if (entry) return { repository, entry };
  }
  return undefined;
}
