/** Proofs of real backups of PostgreSQL, all levels, and what must fail: the core's prover with the real driver and a real repository. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { proveBackup } from '../../src/backups/proof.ts';
import type { BackupReader, ProofLevel, RecoveryTarget } from '../../src/contracts/backup.ts';
import { driver } from '../../src/drivers/postgresql/driver.ts';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';
import { BackupWorld, component, host } from './postgresql-backup-world.ts';

describeSystem('postgresql-15', 'proofs of backups of PostgreSQL 15', () => {
  let world: BackupWorld;
  let scratch: string;
  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 15, checksums: true }));
    scratch = await temporaryDirectory('scratch');
    await world.run('CREATE TABLE public.orders AS SELECT n AS id FROM generate_series(1, 5000) n');
  });
  afterAll(async () => {
    await world?.dispose();
    await rm(scratch, { recursive: true, force: true });
  });

  async function prove(backup: BackupReader, level: ProofLevel, target: RecoveryTarget) {
    const entry = (await world.repository.readCatalogue()).entries.find((each) => each.backup.backupId === backup.backupId);
    if (!entry || !driver.backups) throw new Error('nothing to prove');
    return proveBackup({
      repository: world.repository,
      component,
      backups: driver.backups,
      options: driver.componentOptions.parse({}),
      entry,
      level,
      target: { target, text: 'newest' },
      userChecks: [],
      host,
      scratchDirectory: scratch,
      by: 'test',
      signal: new AbortController().signal,
      onProgress: () => {},
    });
  }

  it('[S4-05] [S4-42] [S5-06] [S5-07] with an archive up to P5: intact, starts, sound, the same content, at the point wanted', async () => {
    const archiving = world.archive();
    const backup = await world.backUp('base', { archived: true });
    await world.run('INSERT INTO public.orders VALUES (5001)');
    const nowMs = Date.now();
    await expect.poll(() => archiving.seen.at(-1)?.atMs ?? 0, { timeout: 20_000 }).toBeGreaterThan(nowMs);
    const record = await prove(backup, 'P5', { kind: 'newest' });
    expect(record.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(record).toMatchObject({ ok: true, reached: 'P5' });
    await archiving.end();
  });

  it('without an archive up to P4, and a dump too', async () => {
    for (const what of ['base', 'dump']) {
      const record = await prove(await world.backUp(what), 'P4', { kind: 'newest' });
      expect(record.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(record).toMatchObject({ ok: true, reached: 'P4' });
    }
    expect(await host.files.list(scratch)).toEqual([]);
  });
});
