/** Base backups of real PostgreSQL servers: taken, restored, recovered, checked and compared. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BackupReader, CheckResult, RunningCopy } from '../../src/contracts/backup.ts';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { BackupWorld, host } from './postgresql-backup-world.ts';
import { WriteLoad } from './postgresql-write-load.ts';

const failed = (results: readonly CheckResult[]) => results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

/** Brings a copy to where the backup's fingerprint was taken. */
async function startAtFingerprint(world: BackupWorld, backup: BackupReader): Promise<RunningCopy> {
  const { position } = backup.facts.fingerprint ?? {};
  if (!position) throw new Error(`no position: ${backup.facts.fingerprint?.limits?.join('; ')}`);
  return world.start(backup, { kind: 'position', text: position.text });
}

for (const version of [15, 17] as const) {
  describeSystem(`postgresql-${version}`, `backups of PostgreSQL ${version}`, () => {
    let world: BackupWorld;
    beforeAll(async () => {
      world = await BackupWorld.open(await startPrimary({ version, checksums: true }));
      await world.run(
        'CREATE TABLE orders (id int PRIMARY KEY, note text)',
        "INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 20000) n",
        'CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS number FROM orders',
        'CREATE SCHEMA holdfast',
        'CREATE TABLE holdfast.canary (component text PRIMARY KEY, number bigint NOT NULL, at_ms bigint NOT NULL, epoch bigint NOT NULL)',
        "INSERT INTO holdfast.canary VALUES ('orders', 41, 1000, 3)",
      );
    });
    afterAll(() => world?.dispose());

    it('[S4-42] [S4-49] [S5-06] a backup of an idle database needs nothing but itself, is sound, and has the same content', async () => {
      const backup = await world.backUp('base');
      expect(backup.parts.map(({ name }) => name)).toEqual(expect.arrayContaining(['base.tar.zst', 'backup_manifest']));
      expect(backup.facts).toMatchObject({ engine: 'postgresql', canary: { number: 41, epoch: 3 } });
      expect(backup.facts.fingerprint?.entries.map(({ name, count }) => [name, count])).toEqual(
        expect.arrayContaining([
          ['public.orders', 20_000],
          ['public.totals', 1],
          ['holdfast.canary', 1],
        ]),
      );
      const { position } = backup.facts.fingerprint ?? {};
      const restored = await world.restore(backup, { kind: 'position', text: position?.text ?? '' });
      expect(failed(await restored.checkStopped())).toEqual([]);
      const copy = await restored.start();
      try {
        expect(failed(await copy.check())).toEqual([]);
        expect(failed(await copy.compare(backup.facts.fingerprint ?? { entries: [] }, backup.fingerprintKey))).toEqual([]);
        expect(await copy.ask('SELECT count(*) FROM orders')).toBe('20000');
        expect(await copy.readCanary()).toEqual({ number: 41, atMs: 1000, epoch: 3 });
        await expect(copy.ask('DELETE FROM orders RETURNING 1')).rejects.toThrow(/read-only/);
      } finally {
        await copy.stop();
      }
    });

    it('comes back to its own end, as soon as it is consistent', async () => {
      const backup = await world.backUp('base');
      const copy = await world.start(backup, { kind: 'consistent' });
      expect(BigInt(copy.reached.position?.offset ?? 0)).toBeGreaterThanOrEqual(BigInt(backup.facts.position?.offset ?? -1));
      expect(await copy.ask('SELECT count(*) FROM orders')).toBe('20000');
      await copy.stop();
    });

    it('[S4-45] [S4-48] under write load too, the copy equals the fingerprint, and a row that is changed in it is noticed', async () => {
      const archiving = world.archive();
      const load = await WriteLoad.start(world.server);
      try {
        const backup = await world.backUp('base', { archived: true });
        const acknowledged = load.acknowledged;
        expect(backup.facts.fingerprint?.position).toBeDefined();
        await expect.poll(() => load.acknowledged, { timeout: 10_000 }).toBeGreaterThan(acknowledged + 50);
        const copy = await startAtFingerprint(world, backup);
        const fingerprint = backup.facts.fingerprint ?? { entries: [] };
        expect(failed(await copy.compare(fingerprint, backup.fingerprintKey))).toEqual([]);
        expect(fingerprint.entries.find(({ name }) => name.endsWith('.load'))?.count).toBeGreaterThan(0);
        await world.tamper(copy, "UPDATE orders SET note = 'another' WHERE id = 77");
        expect(failed(await copy.compare(fingerprint, backup.fingerprintKey))).toEqual([expect.stringContaining('public.orders')]);
        await world.tamper(copy, 'DELETE FROM load WHERE id = (SELECT max(id) FROM load)');
        expect(failed(await copy.compare(fingerprint, backup.fingerprintKey))).toHaveLength(2);
        await copy.stop();
      } finally {
        await load.stop();
        await archiving.end();
      }
    });

    it('[S4-04] after a kill of the server, everything acknowledged up to a second before is in the newest copy', async () => {
      const archiving = world.archive();
      const load = await WriteLoad.start(world.server);
      const backup = await world.backUp('base', { archived: true });
      await host.clock.sleep(1_500);
      await world.server.kill();
      const { acknowledged, acknowledgedAt } = load;
      const killedMs = Date.now();
      await load.stop();
      await host.clock.sleep(200);
      await archiving.end();
      const copy = await world.start(backup, { kind: 'newest' });
      try {
        const newest = Number(await copy.ask('SELECT coalesce(max(id), 0) FROM load'));
        expect(acknowledged - newest).toBeGreaterThanOrEqual(0);
        expect(killedMs - (acknowledgedAt.get(newest) ?? 0)).toBeLessThan(3_000);
        // Without a hole: whatever is there is all that was written before it.
        expect(
          await copy.ask(
            `SELECT count(*) FROM generate_series(${load.first}, ${newest}) n WHERE NOT EXISTS (SELECT FROM load WHERE id = n)`,
          ),
        ).toBe('0');
      } finally {
        await copy.stop();
        await world.server.start();
      }
    });
  });
}
