/** Continuous archiving of real PostgreSQL servers: nothing skipped, nothing twice, every hole written down. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { BackupWorld, host } from './postgresql-backup-world.ts';

describeSystem('postgresql-15', 'archives of PostgreSQL 15', () => {
  let world: BackupWorld;
  beforeAll(async () => {
    world = await BackupWorld.open(await startPrimary({ version: 15, freshIdentity: true }));
    await world.run('CREATE TABLE orders (id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())');
  });
  afterAll(() => world?.dispose());

  const until = (check: () => unknown, timeout = 20_000) => expect.poll(check, { timeout, interval: 50 }).toBeTruthy();

  it('[S4-06] [S5-25] recovers to an instant between two inserts: the first is in, the second is not', async () => {
    const archiving = world.archive();
    const backup = await world.backUp('base', { archived: true });
    await world.run('INSERT INTO orders VALUES (1)');
    await host.clock.sleep(50);
    const betweenMs = Date.now();
    await host.clock.sleep(50);
    await world.run('INSERT INTO orders VALUES (2)');
    const afterMs = Date.now();
    await until(() => (archiving.seen.at(-1)?.atMs ?? 0) > afterMs);
    const copy = await world.start(backup, { kind: 'time', atMs: betweenMs });
    expect(await copy.ask("SELECT string_agg(id::text, ',' ORDER BY id) FROM orders")).toBe('1');
    expect(copy.reached.atMs).toBeLessThanOrEqual(betweenMs);
    await copy.stop();
    await archiving.end();
  });
});
