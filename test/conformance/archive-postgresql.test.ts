/** Continuous archiving of real PostgreSQL servers: nothing skipped, nothing twice, every hole written down and none crossed. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { computeRecoveryWindows } from '../../src/backups/recovery-points.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { ArchiveReader, BackupReader } from '../../src/contracts/backup.ts';
import { identifyLog } from '../../src/drivers/postgresql/backups/identify-log.ts';
import { type RunningPostgres, startPrimary, startStandby } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { BackupWorld, host } from './postgresql-backup-world.ts';

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

const until = (check: () => unknown, timeout = 20_000) => expect.poll(check, { timeout, interval: 50 }).toBeTruthy();

async function namesOf(archive: ArchiveReader): Promise<string[]> {
  const names: string[] = [];
  for await (const name of archive.list()) names.push(name);
  return names;
}

describeSystem('postgresql-15', 'archives of PostgreSQL 15', () => {
  let world: BackupWorld;
  let backup: BackupReader;
  let archiving: ReturnType<BackupWorld['archive']>;
  const others: RunningPostgres[] = [];
  let number = 0;

  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 15, freshIdentity: true, settings: { restart_after_crash: 'on' } }));
    await world.run('CREATE TABLE public.orders (id int PRIMARY KEY)');
    archiving = world.archive();
    backup = await world.backUp('base', { archived: true });
  });
  afterEach(async () => {
    for (const other of others.splice(0)) await other.stop();
  });
  afterAll(() => world?.dispose());

  /** A row in a segment of its own. */
  async function writeSegment(server = world.server): Promise<number> {
    number += 1;
    await server.query(`INSERT INTO public.orders VALUES (${number})`);
    await server.query('SELECT pg_switch_wal()');
    return number;
  }

  const archived = async (afterMs = Date.now()) => until(() => (archiving.seen.at(-1)?.atMs ?? 0) > afterMs);
  const archive = () => world.openArchive(backup.facts.identity);
  /** The same backup with an archive that was tampered with. */
  const withArchive = async (change: (archive: ArchiveReader) => Partial<ArchiveReader>): Promise<BackupReader> => {
    const real = await archive();
    const plain: ArchiveReader = { list: (from) => real.list(from), fetch: (name) => real.fetch(name), gaps: () => real.gaps() };
    return { ...backup, readPart: (name) => backup.readPart(name), archive: { ...plain, ...change(plain) } };
  };
  const rowsOf = async (reader: BackupReader, target: Parameters<BackupWorld['start']>[1]) => {
    const copy = await world.start(reader, target);
    try {
      return await copy.ask("SELECT string_agg(id::text, ',' ORDER BY id) FROM public.orders");
    } finally {
      await copy.stop();
    }
  };

  it('[S4-06] [S5-25] recovers to an instant between two inserts: the first is in, the second is not', async () => {
    const first = await writeSegment();
    await host.clock.sleep(50);
    const betweenMs = Date.now();
    await host.clock.sleep(50);
    await writeSegment();
    await archived();
    const reader = await world.repository.openBackup('orders', backup.backupId);
    const copy = await world.start(reader, { kind: 'time', atMs: betweenMs });
    expect(await copy.ask('SELECT max(id) FROM public.orders')).toBe(String(first));
    expect(copy.reached.atMs).toBeLessThanOrEqual(betweenMs);
    await copy.stop();
  });

  it('[S5-25] says beforehand which instants can be reached, and refuses the others', async () => {
    const { restorer } = await world.restorer();
    const reader = await world.repository.openBackup('orders', backup.backupId);
    const beforeMs = backup.facts.consistentAtMs - 60_000;
    const before = await restorer.preview(reader, { kind: 'time', atMs: beforeMs });
    expect(before.problems[0]?.message).toMatch(/before this backup became consistent/);
    const after = await restorer.preview(reader, { kind: 'time', atMs: Date.now() + 3_600_000 });
    expect(after.problems[0]?.message).toMatch(/no transaction after/);
    const [row] = await world.server.query('SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at_ms');
    expect(after.newestMs).toBeGreaterThan(Number(row?.['at_ms']) - 60_000);
    expect(after.problems[0]?.hint).toContain(new Date(after.newestMs ?? 0).toISOString());
    expect((await failureOf(restorer.restore(reader, { kind: 'time', atMs: beforeMs }, world.newDirectory()))).code).toBe(
      'RESTORE_TARGET_UNREACHABLE',
    );
    const far = await restorer.preview(reader, { kind: 'position', text: 'FF/0' });
    expect(far.problems[0]?.message).toMatch(/the archive ends at/);
  });

  it('refuses a directory that holds something', async () => {
    const into = world.newDirectory();
    await host.files.makeDirectory(`${into}/precious`);
    const { restorer } = await world.restorer();
    const reader = await world.repository.openBackup('orders', backup.backupId);
    expect((await failureOf(restorer.restore(reader, { kind: 'newest' }, into))).code).toBe('RESTORE_TARGET_NOT_EMPTY');
    expect(await host.files.list(into)).toEqual(['precious']);
  });

  it('[S5-07] a segment that is missing in the middle is a hole: nothing is restored across it, and up to it everything is', async () => {
    const firstKept = await writeSegment();
    await host.clock.sleep(30);
    const beforeMs = Date.now();
    for (let count = 0; count < 4; count += 1) await writeSegment();
    await archived();
    const segments = (await namesOf(await archive())).filter((name) => /^[0-9A-F]{24}$/.test(name));
    const missing = segments.at(-3) as string;
    const holed = await withArchive((real) => ({
      async *list(from) {
        for await (const name of real.list(from)) if (name !== missing) yield name;
      },
      fetch: async (name) => (name === missing ? undefined : real.fetch(name)),
    }));
    const failure = await failureOf(world.restore(holed, { kind: 'newest' }));
    expect(failure.code).toBe('ARCHIVE_GAP');
    expect(failure.message).toContain(missing);
    expect((await failureOf(world.restore(holed, { kind: 'time', atMs: Date.now() - 1 }))).code).toBe('ARCHIVE_GAP');
    expect(await rowsOf(holed, { kind: 'time', atMs: beforeMs })).toMatch(new RegExp(`(^|,)${firstKept}$`));
  });

  it('a recorded hole is not crossed either, also where files lie in it', async () => {
    const segments = (await namesOf(await archive())).filter((name) => /^[0-9A-F]{24}$/.test(name));
    const [from, to] = [segments.at(-3) as string, segments.at(-3) as string];
    const holed = await withArchive(() => ({ gaps: async () => [{ from, to, why: 'lost on the way' }] }));
    const failure = await failureOf(world.restore(holed, { kind: 'newest' }));
    expect(failure.code).toBe('ARCHIVE_GAP');
    expect(failure.message).toContain('lost on the way');
  });

  it('a segment that ends early ends in RECOVERY_FELL_SHORT, never in a copy that looks right', async () => {
    await writeSegment();
    await writeSegment();
    await archived();
    const segments = (await namesOf(await archive())).filter((name) => /^[0-9A-F]{24}$/.test(name));
    const cut = segments.at(-3) as string;
    const damaged = await withArchive((real) => ({
      fetch: async (name) => {
        const found = await real.fetch(name);
        return found && name === cut ? { ...found, bytes: found.bytes.subarray(0, 48) } : found;
      },
    }));
    const copy = await world.restore(damaged, { kind: 'newest' });
    expect((await failureOf(copy.start())).code).toBe('RECOVERY_FELL_SHORT');
    const atEnd = await world.restore(damaged, { kind: 'transaction', id: '4000000000' });
    expect((await failureOf(atEnd.start())).code).toBe('RECOVERY_FELL_SHORT');
  });

  it('goes on after its connection was killed, the server restarted, and itself too: no hole, nothing twice', async () => {
    await writeSegment();
    const killed = await world.server.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active');
    expect(killed).toHaveLength(1);
    await writeSegment();
    await archived();
    await world.server.stop({ keepDirectory: true });
    await world.server.start();
    await writeSegment();
    await archived();
    await archiving.end();
    await writeSegment();
    await writeSegment();
    archiving = world.archive();
    const last = await writeSegment();
    await archived();
    const reader = await world.repository.openBackup('orders', backup.backupId);
    expect(await rowsOf(reader, { kind: 'newest' })).toBe(Array.from({ length: last }, (_, index) => index + 1).join(','));
  });

  it('[S4-10] archive_command: the same again is ok; another content, another server and a cut file are errors', async () => {
    await archived();
    const name = (await namesOf(await archive())).filter((each) => /^[0-9A-F]{24}$/.test(each)).at(-2) as string;
    const { bytes } = (await (await archive()).fetch(name)) ?? { bytes: new Uint8Array() };
    const directory = world.newDirectory();
    const path = `${directory}/pg_wal/${name}`;
    await host.files.makeDirectory(`${directory}/pg_wal`);
    await writeFile(path, bytes);
    const push = async () => {
      const identity = await identifyLog(host, path);
      return (await world.openArchive(identity)).push(name, await readFile(path));
    };
    expect(await identifyLog(host, path)).toBe(backup.facts.identity);
    expect(await push()).toBe('same');
    const changed = Buffer.from(bytes);
    changed[5_000] = (changed[5_000] as number) ^ 1;
    await writeFile(path, changed);
    expect((await failureOf(push())).code).toBe('ARCHIVE_CONFLICT');
    await writeFile(path, bytes.subarray(0, 65_536));
    expect((await failureOf(push())).message).toMatch(/65536 bytes/);
    await writeFile(path, Buffer.alloc(bytes.length, 7));
    expect((await failureOf(push())).message).toMatch(/is not a log segment/);
    const own = `${world.server.dataDirectory}/pg_wal/${name}`;
    if (await host.files.exists(own)) expect(await identifyLog(host, own)).toBe(backup.facts.identity);
    // Another server's file, in the directory of this one.
    await host.files.makeDirectory(`${directory}/global`);
    await writeFile(`${directory}/global/pg_control`, Buffer.alloc(8_192, 1));
    await writeFile(path, bytes);
    expect((await failureOf(push())).code).toBe('SYSTEM_WRONG_IDENTITY');
    expect((await readFile(path)).length).toBe(bytes.length);
    await rm(path);
  });

  it('[S5-07] what the server has thrown away before it was archived is written down as a hole, and archiving goes on behind it', async () => {
    await archiving.end();
    await world.server.query("SELECT pg_drop_replication_slot('holdfast_archive_orders')");
    await world.server.query("ALTER SYSTEM SET wal_keep_size = '0'");
    await world.server.query('SELECT pg_reload_conf()');
    for (let count = 0; count < 4; count += 1) await writeSegment();
    await world.server.query('CHECKPOINT');
    await writeSegment();
    await world.server.query('CHECKPOINT');
    const broken = world.archive();
    const failure = await failureOf(broken.ended);
    expect(failure.code).toBe('ARCHIVE_GAP');
    const gaps = await (await archive()).gaps();
    expect(gaps.map(({ from, to }) => `${from} ${to}`)).toEqual([`${failure.details['from']} ${failure.details['to']}`]);
    archiving = world.archive();
    await writeSegment();
    await archived();
    const reader = await world.repository.openBackup('orders', backup.backupId);
    expect((await failureOf(world.restore(reader, { kind: 'newest' }))).code).toBe('ARCHIVE_GAP');
    const newer = await world.backUp('base', { archived: true });
    expect(await rowsOf(newer, { kind: 'newest' })).toBe(Array.from({ length: number }, (_, index) => index + 1).join(','));
  });

  it('[S4-07] where retention has taken the log between two backups, each of them still comes back, and none goes across', async () => {
    const older = await world.backUp('base', { archived: true });
    for (let count = 0; count < 3; count += 1) await writeSegment();
    const newer = await world.backUp('base', { archived: true });
    await writeSegment();
    await archived();
    const cut = { after: older.facts.archive?.last ?? '', before: newer.facts.archive?.first ?? '' };
    const removed = await world.repository.removeArchive('orders', older.facts.identity, cut);
    expect(removed.objects).toBeGreaterThan(0);
    const { catalogue, extents } = await world.catalogue();
    const { windows, broken } = computeRecoveryWindows(catalogue, extents);
    expect(broken.map(({ backupId }) => backupId)).not.toContain(older.backupId);
    const windowOf = ({ backupId }: BackupReader) => windows.find(({ backups }) => backups.some((each) => each.backupId === backupId));
    expect(windowOf(older)).toMatchObject({ endsAt: 'gap', toMs: older.facts.consistentAtMs });
    expect(windowOf(newer)).toMatchObject({ endsAt: 'newest of the log' });
    const old = await world.repository.openBackup('orders', older.backupId);
    const across = await failureOf(world.restore(old, { kind: 'newest' }));
    expect(across).toMatchObject({ code: 'ARCHIVE_GAP', message: expect.stringContaining('no backup that was kept needed it any more') });
    const { position } = old.facts.fingerprint ?? {};
    const copy = await world.start(old, { kind: 'position', text: position?.text ?? '' });
    expect((await copy.compare(old.facts.fingerprint ?? { entries: [] }, old.fingerprintKey)).filter(({ ok }) => !ok)).toEqual([]);
    await copy.stop();
    expect(await rowsOf(await world.repository.openBackup('orders', newer.backupId), { kind: 'newest' })).toBe(
      Array.from({ length: number }, (_, index) => index + 1).join(','),
    );
  });

  it('follows a promotion onto the new timeline, and a copy goes the same way', async () => {
    const before = await world.backUp('base', { archived: true });
    const standby = await startStandby(world.server);
    others.push(standby);
    number += 1;
    await world.server.query(`INSERT INTO public.orders VALUES (${number})`);
    await archived();
    const [row] = await world.server.query('SELECT pg_current_wal_lsn()::text AS lsn');
    await until(async () => (await standby.query(`SELECT pg_last_wal_replay_lsn() >= '${row?.['lsn']}' AS there`))[0]?.['there']);
    await archiving.end();
    await standby.query('SELECT pg_promote()');
    archiving = world.archive({ server: standby });
    const last = await writeSegment(standby);
    await archived();
    expect(await namesOf(await archive())).toEqual(expect.arrayContaining(['00000002.history']));
    const reader = await world.repository.openBackup('orders', before.backupId);
    const copy = await world.start(reader, { kind: 'newest' });
    expect(await copy.ask('SELECT max(id) FROM public.orders')).toBe(String(last));
    expect(copy.reached.position?.timeline).toBe(2);
    await copy.stop();
    await archiving.end();
  });
});
