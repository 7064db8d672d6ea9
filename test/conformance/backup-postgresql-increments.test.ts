/** Increments of a real PostgreSQL 17: taken, put together by pg_combinebackup, recovered, compared; and what must not pass: a link that is missing, damaged, or not one. */
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ProofRequest, proveBackup } from '../../src/backups/proof.ts';
import { parseExpectation } from '../../src/backups/proof-expectation.ts';
import type { CatalogueEntry } from '../../src/backups/records.ts';
import { type Damage, proveDamaged } from '../../src/backups/sabotage.ts';
import type { BackupReader, CheckResult, ProofLevel } from '../../src/contracts/backup.ts';
import { driver } from '../../src/drivers/postgresql/driver.ts';
import { askRestored } from '../systems/ask-restored.ts';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';
import { BackupWorld, component, host } from './postgresql-backup-world.ts';

const failed = (results: readonly CheckResult[]) => results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

describeSystem('postgresql-17', 'increments of PostgreSQL 17', () => {
  let world: BackupWorld;
  let scratch: string;
  let spaces: string;
  const chain: BackupReader[] = [];

  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 17, checksums: true, settings: { summarize_wal: 'on' } }));
    scratch = await temporaryDirectory('scratch');
    spaces = await temporaryDirectory('spaces');
    for (const name of ['one', 'two']) await mkdir(join(spaces, name));
    if (world.server.owner !== undefined) await runProgram(['chown', '-R', world.server.owner, spaces], { timeoutMs: 10_000 });
    await world.run(
      `CREATE TABLESPACE one LOCATION '${spaces}/one'`,
      'CREATE TABLE orders (id int PRIMARY KEY, note text)',
      'INSERT INTO orders SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 40000) n',
      'CREATE TABLE elsewhere TABLESPACE one AS SELECT n, md5(n::text) AS note FROM generate_series(1, 20000) n',
      'CREATE TABLE dropped AS SELECT 1 AS id',
    );
    chain.push(await world.backUp('base'));
    await world.run(
      "UPDATE orders SET note = 'changed' WHERE id = 7",
      'DROP TABLE dropped',
      `CREATE TABLESPACE two LOCATION '${spaces}/two'`,
      'CREATE TABLE later TABLESPACE two AS SELECT n FROM generate_series(1, 5000) n',
    );
    chain.push(await world.backUp('increment', { basis: chain[0] as BackupReader }));
    await world.run("UPDATE elsewhere SET note = 'changed too' WHERE n = 9", 'DELETE FROM later WHERE n > 4000');
    chain.push(await world.backUp('increment', { basis: chain[1] as BackupReader }));
  });
  afterAll(async () => {
    await world?.dispose();
    for (const directory of [scratch, spaces]) if (directory) await rm(directory, { recursive: true, force: true });
  });

  const link = (index: number): BackupReader => chain[index] as BackupReader;

  const prove = (backup: BackupReader, level: ProofLevel) => proveBackup(request(backup, level));

  function request(backup: BackupReader, level: ProofLevel): ProofRequest {
    const entry = { backup: { component, backupId: backup.backupId, what: backup.what, facts: backup.facts } } as unknown as CatalogueEntry;
    if (!driver.backups) throw new Error('nothing to prove');
    return {
      repository: world.repository,
      component,
      backups: driver.backups,
      options: driver.componentOptions.parse({ 'restore-bin-directory': world.server.binDirectory }),
      entry,
      level,
      target: { target: { kind: 'newest' }, text: 'newest' },
      userChecks: [{ ask: "SELECT count(*) FROM elsewhere WHERE note = 'changed too'", expect: parseExpectation('= 1') }],
      host,
      scratchDirectory: scratch,
      by: 'test',
      signal: new AbortController().signal,
      onProgress: () => {},
    };
  }

  it('an increment holds only what has changed, and names what it builds on', () => {
    expect(chain.map(({ facts }) => facts.needs)).toEqual([undefined, [link(0).backupId], [link(1).backupId]]);
    const bytesOf = ({ parts }: BackupReader) =>
      parts.filter(({ name }) => name.includes('.tar')).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(bytesOf(link(1))).toBeLessThan(bytesOf(link(0)) / 3);
    expect(link(2).facts.dataBytes).toBeGreaterThan(link(0).facts.dataBytes / 2);
  });

  it('put together it is sound, with every tablespace, and its content is what it was', async () => {
    const { position } = link(2).facts.fingerprint ?? {};
    const restored = await world.restore(link(2), { kind: 'position', text: position?.text ?? '' });
    expect(failed(await restored.checkStopped())).toEqual([]);
    const copy = await restored.start();
    try {
      expect(failed(await copy.check())).toEqual([]);
      expect(failed(await copy.compare(link(2).facts.fingerprint ?? { entries: [] }, link(2).fingerprintKey))).toEqual([]);
      expect(
        await copy.ask(
          "SELECT (SELECT note FROM orders WHERE id = 7) || (SELECT count(*) FROM later) || coalesce(to_regclass('dropped')::text, ' gone')",
        ),
      ).toBe('changed4000 gone');
      expect(await copy.ask("SELECT count(*) FROM pg_tablespace WHERE spcname IN ('one', 'two')")).toBe('2');
    } finally {
      await copy.stop();
    }
  });

  it('the stand-alone restorer puts the chain together where it finds the program, and else says exactly what to run', async () => {
    const restorer = resolve(import.meta.dirname, '../../restore/holdfast-restore.mjs');
    const repository = join(world.directory, 'repository');
    const run = async (into: string, ...more: string[]) => {
      const { stdout } = await runProgram(
        [process.execPath, restorer, 'restore', repository, component, link(2).backupId, '--into', into, '--json', ...more],
        { timeoutMs: 60_000 },
      );
      return JSON.parse(stdout) as { readonly notes: readonly string[]; readonly together: boolean; readonly links: readonly string[] };
    };
    // A directory without the program stands for a machine without it.
    const [together, apart] = [world.newDirectory(), world.newDirectory()];
    const said = await run(apart, '--bin-directory', scratch);
    expect(said).toMatchObject({ together: false, links: chain.map(({ backupId }) => backupId) });
    const [, command] = /: (pg_combinebackup .*)$/.exec(said.notes[0] ?? '') ?? [];
    await runProgram(['sh', '-c', `PATH=${world.server.binDirectory}:$PATH; ${command}`], { timeoutMs: 60_000 });
    expect(await run(together, '--bin-directory', world.server.binDirectory)).toMatchObject({ together: true });
    const rows =
      "SELECT (SELECT note FROM orders WHERE id = 7) AS note, (SELECT count(*)::int FROM later) AS later, (SELECT count(*)::int FROM elsewhere WHERE note = 'changed too') AS elsewhere";
    for (const into of [apart, together])
      expect(await askRestored(into, world.server, rows)).toEqual({ note: 'changed', later: 4000, elsewhere: 1 });
  });

  it('a proof of an increment goes through the whole chain, up to P5 with a log', async () => {
    const archiving = world.archive();
    const archived = await world.backUp('increment', { basis: link(2), archived: true });
    expect(archived.facts.needs).toEqual([link(2).backupId]);
    const record = await prove(archived, 'P5');
    expect(failed(record.checks)).toEqual([]);
    expect(record).toMatchObject({ ok: true, reached: 'P5' });
    expect(await host.files.list(scratch)).toEqual([]);
    await archiving.end();
  });

  it('damage to a link is caught, in the store and behind the digests, and named', async () => {
    // The full backup is the last of the chain; of its parts the files are struck, for its log is not read when it is put together.
    const { parts } = link(0);
    const at = parts.findIndex((part) => part.name.startsWith('base.tar'));
    const bytesOf = (some: typeof parts) => some.reduce((sum, { bytes }) => sum + bytes, 0);
    const inBase = (bytesOf(parts.slice(0, at)) + (parts[at]?.bytes ?? 0) / 2) / bytesOf(parts);
    const chanceOf = (...numbers: number[]) => {
      let drawn = 0;
      return () => numbers[drawn++] ?? 0.5;
    };
    for (const [name, strikes] of [
      ['flip a byte of a stored piece', 'stored'],
      ['cut the tail of the content', 'content'],
    ] as const) {
      const outcome = await proveDamaged({ ...request(link(2), 'P4'), store: world.store, chance: chanceOf(0.99, inBase, 0.5) }, {
        name,
        strikes,
      } as Damage);
      expect(outcome, name).toMatchObject({ result: 'caught' });
      expect(outcome.caughtBy, name).toContain(link(0).backupId);
    }
  });

  it('a link that is gone, or of which the digests are wrong, is an error that names it, before anything is written', async () => {
    const { repository } = world;
    const entry = (await repository.readCatalogue()).entries.find(({ backup }) => backup.backupId === link(1).backupId);
    await repository.removeBackup(entry as CatalogueEntry);
    const into = world.newDirectory();
    const { restorer } = await world.restorer();
    const message = new RegExp(`${link(2).backupId} builds on ${link(1).backupId}, and there is no backup ${link(1).backupId}`);
    const broken = await repository.openBackup(component, link(2).backupId);
    await expect(restorer.restore(broken, { kind: 'consistent' }, into)).rejects.toMatchObject({
      code: 'BACKUP_DAMAGED',
      message: expect.stringMatching(message),
    });
    expect(await host.files.list(into)).toEqual([]);
    expect((await restorer.preview(broken, { kind: 'consistent' })).problems[0]?.message).toMatch(message);
    expect((await prove(link(2), 'P1')).checks[0]).toMatchObject({ ok: false, detail: expect.stringMatching(message) });
  });

  it('where the server has no summaries any more all files are taken, and without any it is an error that says what to do', async () => {
    const basis = await world.backUp('base');
    // It has written its summaries up to the newest checkpoint, and goes on from there: what was before it does not write again.
    await world.run(
      "INSERT INTO orders SELECT n, 'more' FROM generate_series(50001, 50100) n ON CONFLICT DO NOTHING",
      'CHECKPOINT',
      'SELECT pg_switch_wal()',
      'CHECKPOINT',
    );
    const summaries = join(world.server.dataDirectory, 'pg_wal/summaries');
    const written = `SELECT count(*)::int AS number FROM pg_available_wal_summaries() WHERE end_lsn > '${basis.facts.more?.['startLsn']}'`;
    await expect.poll(async () => Number((await world.server.query(written))[0]?.['number']), { timeout: 20_000 }).toBeGreaterThan(0);
    for (const name of await host.files.list(summaries)) await rm(join(summaries, name));
    const full = await world.backUp('increment', { basis });
    expect(full.facts.needs).toBeUndefined();
    expect(full.facts.more?.['fullBecause']).toMatch(/summar/);
    await world.run("ALTER SYSTEM SET summarize_wal = 'off'", 'SELECT pg_reload_conf()');
    await expect(world.backUp('increment', { basis })).rejects.toMatchObject({ message: expect.stringContaining('summarize_wal is off') });
    await world.run('ALTER SYSTEM RESET summarize_wal', 'SELECT pg_reload_conf()');
  });
});

describeSystem('postgresql-15', 'increments of PostgreSQL 15', () => {
  it('are refused, with what would do', async () => {
    const world = await BackupWorld.open(await startPrimary({ version: 15 }));
    try {
      await expect(world.backUp('increment')).rejects.toMatchObject({
        code: 'BACKUP_INCOMPLETE',
        message: expect.stringContaining('17 can'),
      });
    } finally {
      await world.dispose();
    }
  });
});
