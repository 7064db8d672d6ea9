/**
 * How fast a recovering server gets its log: the same archived segments through Holdfast's restore and through pgBackRest's `archive-get`, each into the same base backup, in turns. The
 * log is of ordinary updates. `seconds` is what a restore takes until the server accepts connections, less what the same restore takes without that log (medians); `mbPerSecond` is the log
 * by that time, null where the machine was too busy to tell the two apart; `cpuSeconds` is what the tool's processes used, without the restored server's.
 *
 *   node bench/wal-replay.ts [--segments 40] [--rounds 3] [--json]
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../test/systems/ports.ts';
import { type RunningPostgres, startPrimary } from '../test/systems/postgresql.ts';
import { findClusterOwner, giveToOwner } from '../test/systems/postgresql-template.ts';
import { temporaryDirectory } from '../test/systems/temporary-directory.ts';
import { holdfast } from './peers/holdfast.ts';
import { type BackupPeer, endedSeconds, startAndStop } from './peers/peer.ts';
import { pgBackRest } from './peers/pgbackrest.ts';

const { values } = parseArgs({
  options: {
    segments: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const timeoutMs = 600_000;
const segmentMb = 16.777216;
const segments = Number(values.segments);
const rounds = Number(values.rounds);
const say = (text: string) => (values.json ? process.stderr : process.stdout).write(`${text}\n`);
const median = (numbers: readonly number[]) => numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] as number;

/** Pushed to the one and to the other: one `archive_command` that fails where either does. */
function bothCommands(peers: readonly BackupPeer[]): string {
  return peers.map((peer) => peer.archiveCommand).join(' && ');
}

async function archivedAll(server: RunningPostgres): Promise<void> {
  const [row] = await server.query('SELECT pg_walfile_name(pg_switch_wal()) AS name');
  for (const startedMs = performance.now(); ; ) {
    const [found] = await server.query('SELECT last_archived_wal AS name FROM pg_stat_archiver');
    if (String(found?.['name']) >= String(row?.['name'])) return;
    if (performance.now() - startedMs > timeoutMs) throw new Error('the log was not archived in time');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function writeLog(server: RunningPostgres): Promise<void> {
  const wal = async () => Number((await server.query("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS at"))[0]?.['at']);
  const until = (await wal()) + segments * 16 * 1024 * 1024;
  for (let round = 0; (await wal()) < until; round += 1)
    await server.query(`UPDATE orders SET note = md5(id::text || '${round}') || repeat('x', 60) WHERE id % 4 = ${round % 4}`, {
      timeoutMs,
    });
}

interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function measure(peer: BackupPeer, server: RunningPostgres, directory: string): Promise<Sample> {
  const into = join(directory, 'restored');
  const port = await freePort('127.0.0.1');
  const [startedMs, used] = [performance.now(), await endedSeconds()];
  await peer.restore(into);
  await startAndStop(server, into, port, timeoutMs);
  const sample = { seconds: (performance.now() - startedMs) / 1_000, cpuSeconds: (await endedSeconds()) - used };
  await rm(into, { recursive: true, force: true });
  say(`${peer.name.padEnd(12)} ${sample.seconds.toFixed(2)} s (CPU of the tool ${sample.cpuSeconds.toFixed(2)})`);
  return sample;
}

const directory = await temporaryDirectory('bench-wal-replay');
let server: RunningPostgres | undefined;
try {
  const owner = await findClusterOwner();
  await giveToOwner(directory, owner);
  server = await startPrimary({
    version: 15,
    // As where data counts, and as Holdfast recovers: a recovery that syncs nothing would be another race.
    fsync: true,
    settings: { archive_mode: 'on', archive_command: '/bin/true', shared_buffers: '128MB', max_wal_size: '8GB', wal_keep_size: 0 },
  });
  await server.query('CREATE TABLE orders (id int PRIMARY KEY, note text)');
  await server.query(`INSERT INTO orders SELECT n, md5(n::text) || repeat('x', 60) FROM generate_series(1, 200000) AS n`, { timeoutMs });
  await server.query('VACUUM ANALYZE');
  const peers: BackupPeer[] = [];
  for (const [name, make] of [
    ['pgbackrest', pgBackRest],
    ['holdfast', (place: Parameters<typeof holdfast>[0]) => holdfast({ ...place, archived: true, ownSession: true })],
  ] as const) {
    const place = join(directory, name);
    await mkdir(place);
    await giveToOwner(place, owner);
    peers.push(make({ server, directory: place, timeoutMs }));
  }
  for (const peer of peers) {
    await peer.prepare();
  }
  await server.query(`ALTER SYSTEM SET archive_command = '${bothCommands(peers).replaceAll("'", "''")}'`);
  await server.query('SELECT pg_reload_conf()');
  for (const peer of peers) await peer.backup();
  // Without any log to speak of: what a restore takes by itself is taken off.
  const empty = new Map<string, number[]>(peers.map((peer) => [peer.name, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const peer of peers) empty.get(peer.name)?.push((await measure(peer, server, directory)).seconds);
  say(`writing ${segments} segments`);
  await writeLog(server);
  await archivedAll(server);
  const samples = new Map<string, Sample[]>(peers.map((peer) => [peer.name, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const peer of peers) samples.get(peer.name)?.push(await measure(peer, server, directory));
  const table = Object.fromEntries(
    peers.map((peer) => {
      const all = samples.get(peer.name) ?? [];
      const seconds = median(all.map((each) => each.seconds)) - median(empty.get(peer.name) ?? []);
      return [
        peer.name,
        {
          seconds: Number(seconds.toFixed(2)),
          mbPerSecond: seconds > 0 ? Math.round((segments * segmentMb) / seconds) : null,
          cpuSeconds: Number(median(all.map((each) => each.cpuSeconds)).toFixed(2)),
        },
      ];
    }),
  );
  process.stdout.write(`${JSON.stringify({ ...table, segments, rounds })}\n`);
} finally {
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
}
