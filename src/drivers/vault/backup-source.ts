/**
 * Takes a snapshot of Vault's integrated storage from the active node, checked while it streams.
 *
 * Invariant: resolves only once the whole archive has arrived with the digests that it holds itself. What it holds stays encrypted under Vault's own keys, and is not looked into. Nothing is
 * written to the cluster; when this process dies, the node notices the closed connection.
 */
import { fail } from '../../base/errors.ts';
import type { BackupContext, BackupFacts, BackupSink, BackupSource } from '../../contracts/backup.ts';
import { openNodes, requireActive } from './nodes.ts';
import { positionOf, type VaultContext } from './observe.ts';
import { checkedSnapshot, type SnapshotMeta } from './snapshot-archive.ts';

export const snapshotPart = 'vault.snap';
const progressEveryBytes = 64 * 1_048_576;

export function openBackupSource(context: VaultContext): BackupSource {
  return {
    take: async (what, sink, _options, backup) => {
      if (what !== 'snapshot') throw fail('USAGE', { message: `Vault has no backup of the kind ${what}`, hint: 'Its kind is snapshot.' });
      return takeSnapshot(context, sink, backup);
    },
    close: async () => {},
  };
}

async function takeSnapshot({ host, site, options }: VaultContext, sink: BackupSink, backup: BackupContext): Promise<BackupFacts> {
  const call = { timeoutMs: options['call-timeout'], signal: backup.signal, token: options.token };
  if (options.token === undefined)
    throw fail('SYSTEM_WRONG_CREDENTIALS', {
      message: 'a snapshot of Vault needs a token',
      hint: 'Give token, with a policy that reads sys/storage/raft/snapshot.',
    });
  const active = await requireActive(openNodes(host, site), site, call);
  const consistentAtMs = host.clock.nowMs();
  let meta: SnapshotMeta | undefined;
  let sizeBytes = 0;
  let saidAtBytes = 0;
  const part = sink.openPart(snapshotPart, { compressed: true });
  const whole = (found: SnapshotMeta): void => {
    meta = found;
  };
  for await (const piece of checkedSnapshot(await active.node.openSnapshot(call), whole)) {
    await part.write(piece);
    sizeBytes += piece.length;
    if (sizeBytes - saidAtBytes < progressEveryBytes) continue;
    saidAtBytes = sizeBytes;
    backup.progress(`${Math.round(sizeBytes / 1_048_576)} MiB of the snapshot`);
  }
  await part.end();
  if (meta === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'a snapshot came to its end and was not found whole' });
  const position = positionOf(active.clusterId, meta.index);
  return {
    engine: 'vault',
    engineVersion: active.version,
    identity: active.clusterId,
    consistentAtMs,
    position,
    dataBytes: meta.sizeBytes,
    fingerprint: {
      position,
      entries: [],
      limits: ['secrets are encrypted under the keys of Vault itself: what the snapshot holds was compared with its digests only'],
    },
    more: { node: active.node.name, raftIndex: meta.index, raftTerm: meta.term, snapshot: meta.id },
  };
}
