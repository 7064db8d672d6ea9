/** Base backups of real PostgreSQL servers: taken, restored, recovered and compared. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { BackupWorld } from './postgresql-backup-world.ts';

describeSystem('postgresql-15', 'backups of PostgreSQL 15', () => {
  let world: BackupWorld;
  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 15, checksums: true }));
    await world.run(
      'CREATE TABLE orders (id int PRIMARY KEY, note text)',
      "INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 20000) n",
    );
  });
  afterAll(() => world?.dispose());

  it('[S4-48] a backup of an idle database restores from itself alone, and its content is all there', async () => {
    const backup = await world.backUp('base');
    expect(backup.parts.map(({ name }) => name)).toEqual(expect.arrayContaining(['base.tar.zst', 'backup_manifest']));
    const copy = await world.start(backup, { kind: 'newest' });
    expect(await copy.ask('SELECT count(*) FROM orders')).toBe('20000');
    await copy.stop();
  });
});
