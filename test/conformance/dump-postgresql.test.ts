/** Logical dumps of real PostgreSQL servers: loaded into a new one, with the same content; one that fails half way is no backup. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { CheckResult } from '../../src/contracts/backup.ts';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { BackupWorld, host } from './postgresql-backup-world.ts';
import { WriteLoad } from './postgresql-write-load.ts';

const failed = (results: readonly CheckResult[]) => results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

describeSystem('postgresql-15', 'dumps of PostgreSQL 15', () => {
  let world: BackupWorld;
  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 15 }));
    await world.run(
      'CREATE ROLE reporter',
      'CREATE TABLE public.orders (id int PRIMARY KEY, note text, paid boolean DEFAULT false)',
      "INSERT INTO public.orders SELECT n, 'note ' || n FROM generate_series(1, 20000) n",
      'DELETE FROM public.orders WHERE id % 7 = 0',
      'GRANT SELECT ON public.orders TO reporter',
    );
  });
  afterAll(() => world?.dispose());

  it('[S4-08] [S4-49] taken under write load, loaded into a new server: the same content, roles and rights', async () => {
    const load = await WriteLoad.start(world.server);
    const backup = await world.backUp('dump').finally(() => load.stop());
    expect(backup.parts.map(({ name }) => name).sort()).toEqual(['app.dump', 'globals.sql', 'postgres.dump']);
    const restored = await world.restore(backup, { kind: 'newest' });
    expect(failed(await restored.checkStopped())).toEqual([]);
    const copy = await restored.start();
    try {
      const fingerprint = backup.facts.fingerprint ?? { entries: [] };
      expect(fingerprint.entries.map(({ name }) => name)).toEqual(expect.arrayContaining(['public.orders', 'public.load']));
      expect(failed(await copy.compare(fingerprint, backup.fingerprintKey))).toEqual([]);
      expect(await copy.ask("SELECT has_table_privilege('reporter', 'public.orders', 'SELECT')")).toBe('true');
      expect(failed(await copy.check())).toEqual([]);
      await world.tamper(copy, 'UPDATE public.orders SET paid = true WHERE id = 1');
      expect(failed(await copy.compare(fingerprint, backup.fingerprintKey))).toEqual([expect.stringContaining('public.orders')]);
    } finally {
      await copy.stop();
    }
  });

  it('a dump is not recovered to another instant than its own', async () => {
    const backup = await world.backUp('dump');
    const { restorer } = await world.restorer();
    expect((await restorer.preview(backup, { kind: 'time', atMs: Date.now() })).problems[0]?.message).toMatch(/its own instant only/);
    await expect(restorer.restore(backup, { kind: 'time', atMs: Date.now() }, world.newDirectory())).rejects.toThrow(
      /its own instant only/,
    );
  });

  it('[S4-08] a pg_dump that fails half way is a failed backup, and nothing of it is listed', async () => {
    await world.run('CREATE TABLE public.large AS SELECT n, repeat(md5(n::text), 30) AS filling FROM generate_series(1, 150000) n');
    const before = (await world.repository.readCatalogue()).entries.length;
    let killed = 0;
    let over = false;
    const killing = (async () => {
      while (!over && killed === 0) {
        const rows = await world.server.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump for holdfast' AND query LIKE 'COPY%large%'",
        );
        killed += rows.length;
        await host.clock.sleep(5);
      }
    })();
    const failure = await world.backUp('dump').then(
      () => undefined,
      (error: unknown) => error as HoldfastError,
    );
    over = true;
    await killing;
    expect(killed).toBeGreaterThan(0);
    expect(failure).toBeInstanceOf(HoldfastError);
    expect(failure?.code).toBe('BACKUP_TOOL_FAILED');
    expect(failure?.message).toMatch(/pg_dump of postgres ended with/);
    expect((await world.repository.readCatalogue()).entries).toHaveLength(before);
  });
});
