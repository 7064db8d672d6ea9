/**
 * Holdfast as it is installed: an encrypted repository in a directory, `holdfast backup` and `holdfast restore` as a person would run them. The server's log is part of the backup, as
 * with pg_basebackup.
 */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findClusterOwner, giveToOwner } from '../../test/systems/postgresql-template.ts';
import { findProgram, programEnvironment } from '../program.ts';
import type { BackupPeer, PeerPlace } from './peer.ts';

const pollMs = 50;

/** With `archived` the log goes into the repository by our own archive command; without it it is part of each backup. */
export interface HoldfastPlace extends PeerPlace {
  readonly archived?: boolean;
  /** Linux shares a busy machine out by sessions: a server that pg_ctl starts has one of its own, and what is compared with it needs one too. */
  readonly ownSession?: boolean;
}

function specText({ server, directory, archived = false }: HoldfastPlace): string {
  return [
    'holdfast: v1',
    'name: bench',
    'regions: { here: { role: active } }',
    'repositories:',
    `  main: { driver: filesystem, path: ${join(directory, 'repository')}, encryption: { passphrase: { env: BENCH_PASSPHRASE } } }`,
    'components:',
    '  db:',
    '    driver: postgresql',
    `    backup: [{ what: base, every: daily, to: main }${archived ? ', { what: wal, continuous: true, keep: 7d, to: main }' : ''}]`,
    '    sites:',
    `      here: { url: "postgresql://holdfast@${server.address}:${server.port}/postgres", password: { env: BENCH_PASSWORD } }`,
    '',
  ].join('\n');
}

export function holdfast(place: HoldfastPlace): BackupPeer & { peakRssMb: number } {
  const { server, directory, timeoutMs } = place;
  const env = { ...programEnvironment, BENCH_PASSPHRASE: 'of-no-importance', BENCH_PASSWORD: server.passwords.holdfast };
  let program = '';
  const run = async (...words: string[]): Promise<void> => {
    const common = ['--spec', join(directory, 'holdfast.yaml'), '--state', join(directory, 'state')];
    const child = spawn(program, [...words, ...common], {
      env,
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      detached: place.ownSession === true,
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said = `${said}${text}`.slice(-4_000);
      });
    const watching = setInterval(() => void look(child.pid as number), pollMs);
    try {
      const code = await new Promise((resolve) => child.once('close', resolve));
      if (code !== 0) throw new Error(`holdfast ${words.join(' ')} ended with ${code}: ${said}`);
    } finally {
      clearInterval(watching);
    }
  };
  const peer = {
    name: 'holdfast',
    repository: join(directory, 'repository'),
    get archiveCommand() {
      if (place.archived !== true) return '/bin/true';
      const settings = {
        BENCH_PASSPHRASE: env.BENCH_PASSPHRASE,
        BENCH_PASSWORD: env.BENCH_PASSWORD,
        HOLDFAST_SPEC: join(directory, 'holdfast.yaml'),
        HOLDFAST_STATE: join(directory, 'nobody'),
        XDG_CACHE_HOME: join(directory, 'cache'),
        PATH: env.PATH ?? '',
      };
      const words = Object.entries(settings).map(([name, value]) => `${name}="${value}"`);
      return `${words.join(' ')} ${program}-wal-push %p --component db`;
    },
    peakRssMb: 0,
    prepare: async () => {
      program = await findProgram(true, directory);
      await writeFile(join(directory, 'holdfast.yaml'), specText(place));
      await run('repository', 'create', 'main', '--recovery-key-file', join(directory, 'recovery-key'));
      // The server's own user writes into it too.
      await giveToOwner(directory, await findClusterOwner());
    },
    backup: () => run('backup', 'db', '--what', 'base'),
    restore: (into: string) => run('restore', 'db', '--into', into, '--yes'),
    close: async () => {},
  };
  const look = async (pid: number): Promise<void> => {
    // The process may have ended a moment ago.
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const peakMb = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024;
    peer.peakRssMb = Math.max(peer.peakRssMb, peakMb);
  };
  return peer;
}
