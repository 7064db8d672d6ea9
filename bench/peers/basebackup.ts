/** pg_basebackup with the server's own compression, and tar: what comes with PostgreSQL. */
import { join } from 'node:path';
import { asOwner, type BackupPeer, type PeerPlace } from './peer.ts';

export function baseBackup({ server, directory, timeoutMs }: PeerPlace): BackupPeer {
  const repository = join(directory, 'repository');
  let newest = '';
  let count = 0;
  return {
    name: 'basebackup',
    repository,
    archiveCommand: '/bin/true',
    prepare: async () => {
      await asOwner(['mkdir', '-p', repository], { timeoutMs });
    },
    backup: async () => {
      count += 1;
      await asOwner(['rm', '-rf', join(repository, String(count - 1))], { timeoutMs });
      newest = join(repository, String(count));
      const dbname = `host=${server.address} port=${server.port} user=replicator`;
      const how = ['-Ft', '--compress=server-zstd:level=3,workers=2', '-X', 'fetch', '-c', 'fast'];
      await asOwner([join(server.binDirectory, 'pg_basebackup'), '-d', dbname, '-D', newest, ...how], {
        timeoutMs,
        env: { PGPASSWORD: server.passwords.replicator },
      });
    },
    restore: async (into) => {
      await asOwner(['mkdir', '-m', '700', into], { timeoutMs });
      await asOwner(['tar', '-C', into, '--use-compress-program=zstd -d', '-xf', join(newest, 'base.tar.zst')], { timeoutMs });
    },
    close: async () => {},
  };
}
