/**
 * The newest point that a component can be brought back to, for whoever has lost everything else. Reads the repositories.
 *
 * A backup that was proven is not preferred over a newer one that was not: the restore itself is the proof, and a recovery point that is older by a day costs a day. Where the newest one
 * turns out to be broken, the step fails, says so, and `holdfast restore` brings an older one.
 */
import { computeRecoveryWindows } from '../../backups/recovery-points.ts';
import { fail } from '../../base/errors.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import type { BackupParts } from './backup-parts.ts';
import { repositoriesOf } from './list-backups.ts';

export interface RecoveryChoice {
  readonly repository: string;
  readonly backupId: string;
  readonly target: RecoveryTarget;
  /** The instant of the backup itself; the log may lead further. */
  readonly consistentAtMs: number;
}

export async function chooseRecoveryPoint(parts: BackupParts, component: string): Promise<RecoveryChoice> {
  const found: (RecoveryChoice & { readonly reachesMs: number })[] = [];
  const troubles: string[] = [];
  for (const repository of repositoriesOf(parts, component)) {
    try {
      const catalogue = await (await parts.repository(repository)).readCatalogue(component);
      const { windows } = computeRecoveryWindows(catalogue, await parts.archiveExtents(repository, component));
      for (const window of windows) {
        const newest = window.backups.at(-1);
        if (newest === undefined) continue;
        const { backupId, atMs } = newest;
        const goesOn = window.endsAt === 'newest of the log';
        found.push({
          repository,
          backupId,
          target: { kind: goesOn ? 'newest' : 'consistent' },
          consistentAtMs: atMs,
          reachesMs: goesOn ? window.toMs : atMs,
        });
      }
    } catch (thrown) {
      // Another repository may be there: it is in another region for that.
      troubles.push(`${repository}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  }
  const best = found.sort((left, right) => right.reachesMs - left.reachesMs)[0];
  if (best) {
    const { reachesMs: _reaches, ...choice } = best;
    return choice;
  }
  throw fail('NOT_FOUND', {
    subject: component,
    message: `there is nothing that ${component} could be brought back from${troubles.length === 0 ? '' : `: ${troubles.join('; ')}`}`,
    hint:
      troubles.length === 0 ? `Take backups of it: holdfast backup ${component}` : 'Bring a repository within reach, then holdfast retry.',
  });
}
