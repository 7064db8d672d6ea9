/**
 * The catalogue: every backup with its proofs, tombstone and leases, and every gap, read from the repository alone. Reads only.
 *
 * Invariant: an object that can't be read as what its name says is listed as unreadable and hides no other. Only a store that does not answer, or a repository that a newer Holdfast
 * has written to, ends the reading.
 */
import { asHoldfastError } from '../base/errors.ts';
import { describeBackup } from './describe-backup.ts';
import { mergeGaps } from './gaps.ts';
import { inOrder } from './lanes.ts';
import { type FoundPrefix, listBackups } from './list-backups.ts';
import { backupsPrefix, encodeName, manifestObject, type RecordFolder } from './object-names.ts';
import { readManifest } from './read-manifest.ts';
import { readRecord } from './record-objects.ts';
import type { BackupRecord, Catalogue, CatalogueEntry, GapRecord, LeaseRecord, ProofRecord, TombstoneRecord } from './records.ts';
import type { RepositoryParts } from './repository-parts.ts';

const readsAhead = 8;

type Unreadable = { readonly object: string; readonly why: string };

/** Faults of one object, as against those of the store or of the whole repository. */
const ofOneObject = new Set(['REPOSITORY_DAMAGED', 'BACKUP_DAMAGED', 'REPOSITORY_OTHER_PLATFORM', 'REPOSITORY_NEWER_FORMAT']);

export async function readCatalogue(parts: RepositoryParts, component?: string): Promise<Catalogue> {
  const unreadable: Unreadable[] = [];
  const backups = await readBackups(parts, component, unreadable);
  const folder = async <R>(name: RecordFolder) => (await readFolder(parts, name, component, unreadable)) as readonly R[];
  const proofs = await folder<ProofRecord>('proofs');
  const tombstones = await folder<TombstoneRecord>('tombstones');
  const leases = await folder<LeaseRecord>('leases');
  const nowMs = parts.store.host.clock.nowMs();
  const of = <R extends { readonly component: string; readonly backupId: string }>(records: readonly R[], backup: BackupRecord) =>
    records.filter((record) => record.backupId === backup.backupId && record.component === backup.component);
  const oldestFirst = proofs.toSorted((a, b) => a.atMs - b.atMs);
  const entries = backups.map(({ backup, lockedUntilMs }): CatalogueEntry => {
    const tombstone = of(tombstones, backup).toSorted((a, b) => a.atMs - b.atMs)[0];
    return {
      backup,
      proofs: of(oldestFirst, backup).filter((proof) => proof.sabotage === undefined),
      ...(tombstone === undefined ? {} : { tombstone }),
      leases: of(leases, backup).filter((lease) => lease.untilMs > nowMs),
      ...(lockedUntilMs === undefined ? {} : { lockedUntilMs }),
    };
  });
  return {
    entries: entries.toSorted((a, b) => byInstant(a.backup, b.backup)),
    gaps: mergeGaps(await folder<GapRecord>('gaps')),
    sabotaged: oldestFirst.filter((proof) => proof.sabotage !== undefined),
    unreadable,
  };
}

function byInstant(a: BackupRecord, b: BackupRecord): number {
  return a.facts.consistentAtMs - b.facts.consistentAtMs || a.endedAtMs - b.endedAtMs || (a.backupId < b.backupId ? -1 : 1);
}

interface FoundBackup {
  readonly backup: BackupRecord;
  readonly lockedUntilMs: number | undefined;
}

async function readBackups(parts: RepositoryParts, component: string | undefined, unreadable: Unreadable[]): Promise<FoundBackup[]> {
  const prefix = component === undefined ? backupsPrefix : `${backupsPrefix}${encodeName(component)}/`;
  const read = async (found: FoundPrefix): Promise<FoundBackup | undefined> => {
    const object = manifestObject(found.component, found.backupId);
    try {
      const manifest = await readManifest(parts, found.component, found.backupId);
      // An attempt that is under way, or that never committed.
      if (manifest === undefined) return undefined;
      const lockedUntilMs = parts.store.lockMs === undefined ? undefined : (await parts.store.backend.head(object))?.lockedUntilMs;
      return { backup: describeBackup(manifest), lockedUntilMs };
    } catch (error) {
      return noteUnreadable(error, object, unreadable);
    }
  };
  const backups: FoundBackup[] = [];
  for await (const found of inOrder(listBackups(parts.store, prefix), readsAhead, read)) if (found !== undefined) backups.push(found);
  return backups;
}

async function readFolder(
  parts: RepositoryParts,
  folder: RecordFolder,
  component: string | undefined,
  unreadable: Unreadable[],
): Promise<unknown[]> {
  const prefix = component === undefined ? `${folder}/` : `${folder}/${encodeName(component)}/`;
  const read = async ({ name }: { readonly name: string }) => {
    try {
      return await readRecord(parts, folder, name);
    } catch (error) {
      // A lease that was renewed or released between the listing and the reading.
      if (asHoldfastError(error).code === 'STORE_NO_OBJECT') return undefined;
      return noteUnreadable(error, name, unreadable);
    }
  };
  const records: unknown[] = [];
  for await (const record of inOrder(parts.store.backend.list(prefix), readsAhead, read)) if (record !== undefined) records.push(record);
  return records;
}

function noteUnreadable(error: unknown, object: string, unreadable: Unreadable[]): undefined {
  const known = asHoldfastError(error, object);
  if (!ofOneObject.has(known.code)) throw error;
  unreadable.push({ object, why: known.message });
  return undefined;
}
