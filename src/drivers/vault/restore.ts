/**
 * Puts a snapshot of Vault back as a file, checked: what `vault operator raft snapshot restore -force` takes. It is opened by a cluster and the original unseal keys only, so no copy runs here.
 *
 * Invariant: nothing that exists is written over, and a file that is not whole is not left for anybody to use.
 */
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { BackupReader, RecoveryTarget, RestoredCopy, RestorePreview, Restorer, RestorerContext } from '../../contracts/backup.ts';
import { makeRestoreTarget, writePartToFile } from '../../contracts/restore-files.ts';
import { snapshotPart } from './backup-source.ts';
import type { VaultOptions } from './options.ts';
import { checkedSnapshot, type SnapshotMeta } from './snapshot-archive.ts';

type Context = RestorerContext<VaultOptions>;

export const isOwnInstant = ({ kind }: RecoveryTarget): boolean => kind === 'newest' || kind === 'consistent';

export const otherInstant = ({ facts }: BackupReader) => ({
  message: `a snapshot of Vault comes back to its own instant only, ${formatInstant(facts.consistentAtMs)}`,
  hint: 'Take the newest backup before the instant that is wanted: holdfast backups lists them.',
});

export function openRestorer(context: Context): Restorer {
  return {
    preview: async (backup, target) => preview(context, backup, target),
    restore: async (backup, target, into) => {
      if (!isOwnInstant(target)) throw fail('RESTORE_TARGET_UNREACHABLE', otherInstant(backup));
      await makeRestoreTarget(context.host, into);
      const file = `${into}/${snapshotPart}`;
      await writePartToFile(context.host, backup, snapshotPart, file, context.signal);
      try {
        await readWhole(context.host.fileStreams.read(file, { signal: context.signal }));
      } catch (error) {
        await context.host.files.remove(file);
        throw error;
      }
      return restoredCopy(context, backup, into);
    },
  };
}

/** Reads to the end; throws where it is no whole snapshot. */
export async function readWhole(bytes: AsyncIterable<Uint8Array>): Promise<SnapshotMeta> {
  let meta: SnapshotMeta | undefined;
  for await (const piece of checkedSnapshot(bytes, (found) => {
    meta = found;
  }))
    void piece;
  if (meta === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'a snapshot came to its end and was not found whole' });
  return meta;
}

function preview({ options }: Context, backup: BackupReader, target: RecoveryTarget): RestorePreview {
  const { facts } = backup;
  const problems: { message: string; hint: string }[] = [];
  if (options['key-escrow'] === undefined)
    problems.push({
      message: 'nobody says where the unseal keys of that time are kept, and without them nothing in it can be read',
      hint: 'Find the shares first; say where they are in key-escrow.',
    });
  if (!isOwnInstant(target)) problems.push(otherInstant(backup));
  return {
    target: `${facts.position?.text ?? 'the snapshot'} of ${formatInstant(facts.consistentAtMs)}`,
    newestMs: facts.consistentAtMs,
    bytes: backup.parts.reduce((sum, { bytes }) => sum + bytes, 0),
    problems,
  };
}

function restoredCopy({ host, signal, options }: Context, { facts }: BackupReader, directory: string): RestoredCopy {
  const file = `${directory}/${snapshotPart}`;
  const keys = options['key-escrow']?.kept;
  return {
    directory,
    checkStopped: async () => {
      const { id, index, term } = await readWhole(host.fileStreams.read(file, { signal }));
      const ok = index === facts.more?.raftIndex && term === facts.more.raftTerm && id === facts.more.snapshot;
      return [
        {
          name: 'the snapshot has its digests',
          level: 'P3',
          ok: true,
          detail: 'all members are there, SHA-256 of meta.json and state.bin are right',
        },
        {
          name: 'the snapshot is the one that was backed up',
          level: 'P3',
          ok,
          detail: `${id}, index ${index}; ${String(facts.more?.snapshot)} was backed up`,
        },
      ];
    },
    start: async () => {
      throw fail('NO_SUCH_VERB', {
        message: 'a snapshot of Vault is not started here: only a cluster that is unsealed with the original keys can read it',
        hint: 'Prove it to P1 here; beyond that by a restore into an empty node (a failover of this component, or a drill) with the shares from escrow.',
      });
    },
    startHint: `on a single, empty, unsealed node: vault operator raft snapshot restore -force ${file}; then unseal it with the original keys${keys === undefined ? '' : ` (${keys})`}, and let fresh nodes join`,
  };
}
