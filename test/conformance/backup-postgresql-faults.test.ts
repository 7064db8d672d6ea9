/** What can go wrong with backups of PostgreSQL, and what must not be left behind. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { BackupReader, CheckResult } from '../../src/contracts/backup.ts';
import { openPrograms } from '../../src/drivers/postgresql/backups/programs.ts';
import { type RunningPostgres, startPrimary, startStandby } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { BackupWorld, host } from './postgresql-backup-world.ts';
import { WriteLoad } from './postgresql-write-load.ts';

const failed = (results: readonly CheckResult[]) => results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

/** The command lines of all processes of the machine. */
function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        return []; // ended meanwhile
      }
    });
}

describeSystem('postgresql-15', 'backups of PostgreSQL 15 that are in trouble', () => {
  let world: BackupWorld;
  let others: RunningPostgres[] = [];
  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 15, checksums: true }));
    await world.run('CREATE TABLE public.orders (id int PRIMARY KEY)', 'INSERT INTO public.orders SELECT generate_series(1, 1000)');
  });
  afterEach(async () => {
    for (const other of others) await other.stop();
    others = [];
  });
  afterAll(() => world?.dispose());

  it('several tablespaces come back inside of the copy, whole and sound', async () => {
    const place = `${world.server.dir}/spaces`;
    for (const name of ['one', 'two']) await mkdir(`${place}/${name}`, { recursive: true });
    if (world.server.owner !== undefined) await runProgram(['chown', '-R', `${world.server.owner}:`, place]);
    await world.run(
      `CREATE TABLESPACE one LOCATION '${place}/one'`,
      `CREATE TABLESPACE two LOCATION '${place}/two'`,
      'CREATE TABLE public.first TABLESPACE one AS SELECT generate_series(1, 5000) AS n',
      'CREATE TABLE public.second TABLESPACE two AS SELECT generate_series(1, 7000) AS n',
    );
    const backup = await world.backUp('base');
    expect(backup.parts.filter(({ name }) => /^\d+\.tar\.zst$/.test(name))).toHaveLength(2);
    const restored = await world.restore(backup, { kind: 'position', text: backup.facts.fingerprint?.position?.text ?? '' });
    expect(failed(await restored.checkStopped())).toEqual([]);
    const copy = await restored.start();
    try {
      expect(failed(await copy.compare(backup.facts.fingerprint ?? { entries: [] }, backup.fingerprintKey))).toEqual([]);
      expect(await copy.ask("SELECT count(*) FROM pg_tablespace WHERE pg_tablespace_location(oid) LIKE '%/copy%/tablespaces/%'")).toBe('2');
    } finally {
      await copy.stop();
    }
    await world.run('DROP TABLE public.first, public.second', 'DROP TABLESPACE one', 'DROP TABLESPACE two');
  });

  it('no password is ever in a command line, and nothing is left running', async () => {
    const { holdfast, replicator } = world.server.passwords;
    const seen: string[] = [];
    const look = setInterval(() => seen.push(...commandLines()), 20);
    let directory = '';
    try {
      const backup = await world.backUp('base');
      const restored = await world.restore(backup, { kind: 'newest' });
      directory = restored.directory;
      await restored.checkStopped();
      const copy = await restored.start();
      expect(commandLines().filter((line) => line.includes(directory)).length).toBeGreaterThan(0);
      await copy.check();
      await copy.stop();
    } finally {
      clearInterval(look);
    }
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter((line) => line.includes(holdfast) || line.includes(replicator))).toEqual([]);
    expect(commandLines().filter((line) => line.includes(directory))).toEqual([]);
  });

  it('a copy that does not start is BACKUP_TOOL_FAILED with the words of the server, and nothing is left running', async () => {
    const backup = await world.backUp('base');
    const restored = await world.restore(backup, { kind: 'newest' });
    await runProgram(['rm', `${restored.directory}/global/pg_control`]);
    const failure = await failureOf(restored.start());
    expect(failure.code).toBe('BACKUP_TOOL_FAILED');
    expect(failure.message).toMatch(/pg_control/);
    expect(commandLines().filter((line) => line.includes(restored.directory))).toEqual([]);
  });

  it('a file of which one byte was turned over is found', async () => {
    const backup = await world.backUp('base');
    const restored = await world.restore(backup, { kind: 'newest' });
    const [row] = await world.server.query("SELECT pg_relation_filepath('public.orders') AS path");
    const path = `${restored.directory}/${row?.['path']}`;
    await runProgram(['sh', '-c', 'printf "\\377" | dd of="$1" bs=1 seek=8150 conv=notrunc', 'sh', path]);
    expect(failed(await restored.checkStopped())).toEqual([expect.stringMatching(/^pg_verifybackup: .*checksum mismatch/s)]);
  });

  it('a backup that is interrupted rejects, and leaves nothing at the server', async () => {
    const load = await WriteLoad.start(world.server);
    try {
      const stop = new AbortController();
      const taking = failureOf(world.backUp('base', { signal: stop.signal }));
      const walsenders = async () =>
        (await world.server.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'walsender'"))[0]?.['n'];
      await expect.poll(walsenders, { timeout: 15_000, interval: 5 }).toBeGreaterThan(0);
      stop.abort();
      expect((await taking).code).toBe('INTERRUPTED');
      await expect.poll(walsenders, { timeout: 15_000 }).toBe(0);
      expect(await world.server.query('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
    } finally {
      await load.stop();
    }
  });

  it('a server that dies in the middle of a backup, a wrong password and a missing archive are errors of their own', async () => {
    expect((await failureOf(world.backUp('base', { password: 'wrong' }))).code).toBe('SYSTEM_WRONG_CREDENTIALS');
    const missing = await failureOf(world.backUp('base', { archived: true, options: { 'archive-wait': '1s' } }));
    expect(missing.code).toBe('BACKUP_INCOMPLETE');
    const other = await startPrimary({ version: 15 });
    others.push(other);
    const taking = failureOf(world.backUp('base', { server: other }));
    await host.clock.sleep(60);
    await other.kill();
    expect((await taking).code).toMatch(/^(SYSTEM_UNREACHABLE|INTERRUPTED)$/);
  });

  it('[S4-49] many writers at once: the place is told under short locks, a part of the tables is digested, and the copy equals it', async () => {
    const { server } = world;
    const bench = (...args: string[]) =>
      runProgram([`${server.binDirectory}/pgbench`, '-h', server.address, '-p', String(server.port), '-U', 'holdfast', ...args, 'app'], {
        env: { PGPASSWORD: server.passwords.holdfast },
        timeoutMs: 60_000,
      });
    await bench('--initialize', '--quiet', '--scale=2');
    const running = bench('--no-vacuum', '--client=6', '--time=12');
    await host.clock.sleep(500);
    const backup = await world.backUp('base', { options: { fingerprint: '4MiB' } });
    await running;
    const { fingerprint } = backup.facts;
    expect(fingerprint?.position).toBeDefined();
    expect(fingerprint?.entries.find(({ name }) => name === 'app/public.pgbench_accounts')?.sample).toMatch(/^blocks \d+-\d+, /);
    expect(fingerprint?.limits?.join()).toMatch(/1 of \d+ tables were digested in part/);
    const copy = await world.start(backup, { kind: 'position', text: fingerprint?.position?.text ?? '' });
    try {
      expect(failed(await copy.compare(fingerprint ?? { entries: [] }, backup.fingerprintKey))).toEqual([]);
    } finally {
      await copy.stop();
    }
  });

  it('[S4-49] of a large table whose rows lie out of line rows are sampled: one of them that is changed, and one that is gone, are noticed', async () => {
    await world.run(
      'DROP TABLE IF EXISTS public.documents',
      'CREATE TABLE public.documents (id int PRIMARY KEY, body text)',
      'ALTER TABLE public.documents ALTER body SET STORAGE EXTERNAL',
      'INSERT INTO public.documents SELECT n, repeat(md5(n::text), 2500) FROM generate_series(1, 500) AS n',
      'ANALYZE public.documents',
    );
    const backup = await world.backUp('base', { options: { fingerprint: '2MiB' } });
    const fingerprint = backup.facts.fingerprint ?? { entries: [] };
    const entry = fingerprint.entries.find(({ name }) => name.endsWith('public.documents'));
    const [, stripes = '', perBlock] = /^blocks (0-0, .*) of \d+, rows 1-(\d+) of each$/.exec(entry?.sample ?? '') ?? [];
    // It says of itself that it is a part, and of how many rows.
    expect(entry?.count, entry?.sample).toBe(stripes.split(', ').length * Number(perBlock));
    expect(entry?.count).toBeLessThan(500);
    expect(fingerprint.limits?.join()).toMatch(/tables were digested in part/);
    const copy = await world.start(backup, { kind: 'position', text: fingerprint.position?.text ?? '' });
    const differences = async () => failed(await copy.compare(fingerprint, backup.fingerprintKey));
    try {
      expect(await differences()).toEqual([]);
      // One letter of eighty thousand.
      await world.tamper(copy, "UPDATE public.documents SET body = overlay(body placing 'z' from 40000) WHERE ctid = '(0,1)'");
      expect(await differences()).toEqual([expect.stringContaining('public.documents')]);
      await world.tamper(copy, "DELETE FROM public.documents WHERE ctid = '(0,2)'");
      expect(await differences()).toEqual([expect.stringMatching(new RegExp(`public\\.documents.*${(entry?.count ?? 0) - 2}`))]);
    } finally {
      await copy.stop();
      await world.run('DROP TABLE public.documents');
    }
  });

  it('a commit that waits for its synchronous standby is in the log and not in the snapshot: no place is told then', async () => {
    // A table of its own: other tests count the rows of orders.
    await world.run(
      'CREATE TABLE public.unconfirmed (id int)',
      "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
      'SELECT pg_reload_conf()',
    );
    const waiting = world.run('INSERT INTO public.unconfirmed VALUES (1)');
    try {
      await expect
        .poll(() => world.server.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), { timeout: 10_000 })
        .toHaveLength(1);
      const backup = await world.backUp('base');
      expect(backup.facts.fingerprint?.position).toBeUndefined();
      expect(backup.facts.fingerprint?.limits?.join('; ')).toMatch(/place/);
    } finally {
      await world.run("ALTER SYSTEM SET synchronous_standby_names = ''", 'SELECT pg_reload_conf()');
      await waiting;
    }
  });

  it('tables that come, go and are emptied while a backup runs make neither the backup nor its proof fail', async () => {
    let over = false;
    const churning = (async () => {
      for (let number = 0; !over; number += 1) {
        await world.run(
          `CREATE TABLE public.passing_${number} AS SELECT generate_series(1, 50) AS n`,
          'CREATE TABLE IF NOT EXISTS public.emptied (n int)',
          'TRUNCATE public.emptied',
          'INSERT INTO public.emptied SELECT generate_series(1, 100)',
          `DROP TABLE public.passing_${number}`,
        );
      }
    })();
    try {
      for (let tries = 0; tries < 3; tries += 1) {
        const backup = await world.backUp('base');
        const { fingerprint } = backup.facts;
        expect(fingerprint?.position, fingerprint?.limits?.join()).toBeDefined();
        const copy = await world.start(backup, { kind: 'position', text: fingerprint?.position?.text ?? '' });
        try {
          expect(failed(await copy.compare(fingerprint ?? { entries: [] }, backup.fingerprintKey))).toEqual([]);
        } finally {
          await copy.stop();
        }
      }
    } finally {
      over = true;
      await churning;
    }
  });

  it('a standby can be backed up too: its log is not finished, and the copy is consistent', async () => {
    const standby = await startStandby(world.server);
    others.push(standby);
    const load = await WriteLoad.start(world.server);
    try {
      const backup = await world.backUp('base', { server: standby });
      expect(backup.facts.more?.['takenFrom']).toBe('standby');
      const copy = await world.start(backup, { kind: 'consistent' });
      expect(await copy.ask('SELECT count(*) FROM public.orders')).toBe('1000');
      await copy.stop();
    } finally {
      await load.stop();
    }
  });

  it.runIf(process.getuid?.() === 0)(
    'a place that the user of the server can not reach is refused before anything is unpacked',
    async () => {
      const backup = await world.backUp('base');
      const closed = world.newDirectory();
      await mkdir(`${closed}/copy`, { recursive: true });
      await chmod(closed, 0o700);
      const { restorer } = await world.restorer();
      const failure = await failureOf(restorer.restore(backup, { kind: 'newest' }, `${closed}/copy`));
      expect(failure.code).toBe('HANDS_WRONG_USER');
      expect(await host.files.list(`${closed}/copy`)).toEqual([]);
    },
  );

  it('what runs for a copy ends when the process that started it is killed', async () => {
    const { prefix } = await openPrograms(host, 15, undefined);
    const [program, ...args] = prefix;
    const parent = spawn(process.execPath, [
      '-e',
      'const { spawn } = require("node:child_process"); const [program, ...args] = JSON.parse(process.argv[1]); console.log(spawn(program, args, { detached: true, stdio: "ignore" }).pid); setInterval(() => {}, 1000);',
      JSON.stringify([program, ...args, 'sleep', '300']),
    ]);
    const pid = await new Promise<string>((resolve) => parent.stdout.once('data', (text) => resolve(String(text).trim())));
    const runs = () => existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep');
    await expect.poll(runs, { timeout: 5_000 }).toBe(true);
    parent.kill('SIGKILL');
    await expect.poll(runs, { timeout: 5_000 }).toBe(false);
  });

  it('a backup of a version whose programs are not here says so before anything is written', async () => {
    const backup = await world.backUp('base');
    const older: BackupReader = {
      ...backup,
      readPart: (name) => backup.readPart(name),
      facts: { ...backup.facts, more: { ...backup.facts.more, major: 16 } },
    };
    const { restorer } = await world.restorer();
    const preview = await restorer.preview(older, { kind: 'newest' });
    expect(preview.problems[0]?.message).toMatch(/PostgreSQL 16 is not installed/);
    const into = world.newDirectory();
    expect((await failureOf(restorer.restore(older, { kind: 'newest' }, into))).code).toBe('HANDS_NO_PROGRAM');
    expect(await host.files.list(into)).toEqual([]);
  });
});
