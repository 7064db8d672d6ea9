/** pgBackRest with two processes, zstd and its cipher, as its guide sets it up; the archive goes through its own archive-push. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asOwner, type BackupPeer, type PeerPlace } from './peer.ts';

const stanza = 'bench';

export function pgBackRest({ server, directory, timeoutMs }: PeerPlace): BackupPeer {
  const file = join(directory, 'pgbackrest.conf');
  const repository = join(directory, 'repository');
  const command = (...words: string[]) =>
    asOwner(['pgbackrest', `--config=${file}`, `--stanza=${stanza}`, ...words], {
      timeoutMs,
      env: { PGPASSWORD: server.passwords.holdfast },
    });
  const configuration = [
    '[global]',
    `repo1-path=${repository}`,
    'repo1-cipher-type=aes-256-cbc',
    'repo1-cipher-pass=of-no-importance-it-only-costs-time',
    'repo1-retention-full=2',
    'compress-type=zst',
    'compress-level=3',
    'process-max=2',
    'start-fast=y',
    'log-level-console=warn',
    'log-level-file=off',
    `log-path=${directory}`,
    `lock-path=${directory}`,
    `spool-path=${directory}`,
    `[${stanza}]`,
    `pg1-path=${server.dataDirectory}`,
    `pg1-port=${server.port}`,
    `pg1-socket-path=${server.dir}`,
    'pg1-user=holdfast',
    '',
  ];
  return {
    name: 'pgbackrest',
    repository,
    archiveCommand: `pgbackrest --config=${file} --stanza=${stanza} archive-push %p`,
    prepare: async () => {
      await writeFile(file, configuration.join('\n'), { mode: 0o644 });
      await command('stanza-create');
    },
    backup: async () => void (await command('backup', '--type=full')),
    restore: async (into) => void (await command('restore', `--pg1-path=${into}`)),
    close: async () => {},
  };
}
