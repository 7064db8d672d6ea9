/**
 * The backup that a new one builds on: the newest that is fit for it, with a lease for as long as the new one is taken, so that retention does not take it away in between. From its
 * commit on the new one says itself what it needs. Dying on the way leaves a lease that ends by itself.
 */
import { chooseBasis } from '../../backups/chain.ts';
import { holdLease, type LeaseHold } from '../../backups/proof-lease.ts';
import type { BackupReader } from '../../contracts/backup.ts';
import type { ComponentSpec } from '../../spec/spec.ts';
import type { BackupParts } from './backup-parts.ts';

export interface HeldBasis extends LeaseHold {
  readonly reader: BackupReader;
}

/** A restore reads every link: with more of them it takes longer, and more could be damaged. From here on the new one builds on an older backup, in the end on the full one. */
const linksMost = 32;

/** Undefined where the kind stands alone, or there is nothing yet that it could build on. */
export async function holdBasis(
  parts: BackupParts,
  component: ComponentSpec,
  { what, repository: repositoryName, backupId }: { readonly what: string; readonly repository: string; readonly backupId: string },
  holder: string,
  signal: AbortSignal,
): Promise<HeldBasis | undefined> {
  const kinds = parts.kindOf(component, what)?.buildsOn;
  if (kinds === undefined) return undefined;
  const repository = await parts.repository(repositoryName);
  const read = async () => (await repository.readCatalogue(component.name)).entries.filter(({ backup }) => backup.backupId !== backupId);
  const chosen = chooseBasis(await read(), kinds, linksMost);
  if (chosen === undefined) return undefined;
  const id = chosen.backup.backupId;
  const lease = await holdLease({
    repository,
    component: component.name,
    backupId: id,
    holder,
    what: `the basis of ${backupId}`,
    host: parts.host,
    signal,
  });
  try {
    // Whoever removes looks for leases after its tombstone: one of the two sees the other.
    const still = (await read()).find(({ backup }) => backup.backupId === id);
    if (still === undefined || still.tombstone !== undefined) {
      await lease.release();
      return undefined;
    }
    return { ...lease, reader: await repository.openBackup(component.name, id) };
  } catch (error) {
    await lease.release();
    throw error;
  }
}
