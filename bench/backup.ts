/**
 * Full backup and full restore of PostgreSQL, Holdfast beside pgBackRest and pg_basebackup, in turns on one server, repository on the local disk, zstd level 3, encrypted where the tool can.
 * The data are pgbench's tables (compressible) and random bytes (not).
 *   backupSeconds   from the command to its end
 *   restoreSeconds  from the command until the restored server accepts connections
 * Medians over the rounds. `cpuSeconds` is what the tool's own processes and the server's have used; others on the machine do not count. Prints one JSON object as its last line.
 *
 *   node bench/backup.ts [--scale 100] [--random-mb 500] [--rounds 3] [--only NAME] [--json]
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../test/systems/ports.ts';
import { type RunningPostgres, startPrimary } from '../test/systems/postgresql.ts';
import { findClusterOwner, giveToOwner } from '../test/systems/postgresql-template.ts';
import { runProgram } from '../test/systems/run-program.ts';
import { temporaryDirectory } from '../test/systems/temporary-directory.ts';
import { baseBackup } from './peers/basebackup.ts';
import { holdfast } from './peers/holdfast.ts';
import { type BackupPeer, diskMb, endedSeconds, type PeerPlace, serverSeconds, startAndStop } from './peers/peer.ts';
import { pgBackRest } from './peers/pgbackrest.ts';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '100' },
    'random-mb': { type: 'string', default: '500' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const timeoutMs = 600_000;
const say = (text: string) => (values.json ? process.stderr : process.stdout).write(`${text}\n`);
const makers: Readonly<Record<string, (place: PeerPlace) => BackupPeer>> = { pgbackrest: pgBackRest, basebackup: baseBackup, holdfast };

interface Sample {
  readonly backupSeconds: number;
  readonly backupCpuSeconds: number;
  readonly restoreSeconds: number;
  readonly restoreCpuSeconds: number;
}

const median = (numbers: readonly number[]) => numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] as number;
const rounded = (number: number) => Number(number.toFixed(2));

async function fill(server: RunningPostgres): Promise<void> {
  say(`filling: pgbench scale ${values.scale} and ${values['random-mb']} MB of random bytes`);
  const pgbench = [
    'pgbench',
    '-i',
    '-q',
    '-s',
    values.scale,
    '-h',
    server.address,
    '-p',
    String(server.port),
    '-U',
    'holdfast',
    'postgres',
  ];
  await runProgram([join(server.binDirectory, 'pgbench'), ...pgbench.slice(1)], {
    timeoutMs,
    env: { PGPASSWORD: server.passwords.holdfast },
  });
  await server.query('CREATE EXTENSION IF NOT EXISTS pgcrypto');
  await server.query('CREATE TABLE noise (bytes bytea)');
  await server.query('ALTER TABLE noise ALTER bytes SET STORAGE EXTERNAL');
  // A megabyte a row, of pieces that pgcrypto gives at once.
  await server.query(
    `INSERT INTO noise SELECT (SELECT string_agg(gen_random_bytes(1024), '') FROM generate_series(1, 1000) WHERE row = row) FROM generate_series(1, ${Number(values['random-mb'])}) AS row`,
    { timeoutMs },
  );
  await server.query('VACUUM ANALYZE', { timeoutMs });
  await server.query('CHECKPOINT', { timeoutMs });
}

/** `work` says what was used by processes that nobody waits for. */
async function timed(server: RunningPostgres, work: () => Promise<number>): Promise<{ seconds: number; cpuSeconds: number }> {
  const used = async () => (await endedSeconds()) + (await serverSeconds(server.dataDirectory));
  const [startedMs, before] = [performance.now(), await used()];
  const more = await work();
  return { seconds: (performance.now() - startedMs) / 1_000, cpuSeconds: (await used()) - before + more };
}

async function measure(peer: BackupPeer, server: RunningPostgres, directory: string): Promise<Sample> {
  await server.query(`ALTER SYSTEM SET archive_command = '${peer.archiveCommand.replaceAll("'", "''")}'`);
  await server.query('SELECT pg_reload_conf()');
  await server.query('CHECKPOINT', { timeoutMs });
  const backup = await timed(server, async () => {
    await peer.backup();
    return 0;
  });
  const into = join(directory, 'restored');
  const port = await freePort('127.0.0.1');
  const restore = await timed(server, async () => {
    await peer.restore(into);
    return await startAndStop(server, into, port, timeoutMs);
  });
  await rm(into, { recursive: true, force: true });
  say(
    `${peer.name.padEnd(12)} backup ${backup.seconds.toFixed(2)} s (CPU ${backup.cpuSeconds.toFixed(2)})   restore ${restore.seconds.toFixed(2)} s (CPU ${restore.cpuSeconds.toFixed(2)})`,
  );
  return {
    backupSeconds: backup.seconds,
    backupCpuSeconds: backup.cpuSeconds,
    restoreSeconds: restore.seconds,
    restoreCpuSeconds: restore.cpuSeconds,
  };
}

const directory = await temporaryDirectory('bench-backup');
let server: RunningPostgres | undefined;
const peers: BackupPeer[] = [];
try {
  const owner = await findClusterOwner();
  await giveToOwner(directory, owner);
  server = await startPrimary({
    version: 15,
    fsync: true,
    settings: { archive_mode: 'on', archive_command: '/bin/true', shared_buffers: '256MB', max_wal_size: '4GB', wal_keep_size: 0 },
  });
  await fill(server);
  for (const [name, make] of Object.entries(makers)) {
    if (values.only !== undefined && values.only !== name) continue;
    const place = join(directory, name);
    await mkdir(place);
    await giveToOwner(place, owner);
    const peer = make({ server, directory: place, timeoutMs });
    peers.push(peer);
    await server.query(`ALTER SYSTEM SET archive_command = '${peer.archiveCommand.replaceAll("'", "''")}'`);
    await server.query('SELECT pg_reload_conf()');
    await peer.prepare();
  }
  const samples = new Map<string, Sample[]>(peers.map((peer) => [peer.name, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const peer of peers) samples.get(peer.name)?.push(await measure(peer, server, directory));
  const table: Record<string, Record<string, number>> = {};
  for (const peer of peers) {
    const all = samples.get(peer.name) ?? [];
    table[peer.name] = {
      backupSeconds: rounded(median(all.map((each) => each.backupSeconds))),
      restoreSeconds: rounded(median(all.map((each) => each.restoreSeconds))),
      backupCpuSeconds: rounded(median(all.map((each) => each.backupCpuSeconds))),
      restoreCpuSeconds: rounded(median(all.map((each) => each.restoreCpuSeconds))),
      repositoryMb: Math.round(await diskMb(peer.repository)),
      ...(peer.peakRssMb === undefined ? {} : { peakRssMb: Math.round(peer.peakRssMb) }),
    };
  }
  process.stdout.write(`${JSON.stringify({ ...table, rounds, scale: Number(values.scale), randomMb: Number(values['random-mb']) })}\n`);
} finally {
  for (const peer of peers) await peer.close();
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
}
