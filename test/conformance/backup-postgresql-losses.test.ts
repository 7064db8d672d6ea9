/** Finding what was taken away, in the log of a real PostgreSQL that its own archive_command has put aside. */
import { chmod, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BackupReader, LossRecord } from '../../src/contracts/backup.ts';
import { startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';
import { BackupWorld } from './postgresql-backup-world.ts';

const timeoutMs = 30_000;

describeSystem('postgresql-15', 'what was taken away', () => {
  let world: BackupWorld;
  let segments = '';
  beforeAll(async () => {
    segments = await temporaryDirectory('segments');
    await chmod(segments, 0o1777);
    const archive_command = `cp %p ${segments}/%f.new && mv ${segments}/%f.new ${segments}/%f`;
    world = await BackupWorld.open(await startPrimary({ version: 15, settings: { archive_mode: 'on', archive_command } }));
    await world.run(
      'CREATE TABLE customers (id int PRIMARY KEY)',
      'CREATE TABLE orders (id int PRIMARY KEY)',
      'INSERT INTO customers SELECT generate_series(1, 500)',
      'INSERT INTO orders SELECT generate_series(1, 3000)',
    );
  });
  afterAll(async () => {
    await world?.dispose();
    await rm(segments, { recursive: true, force: true });
  });

  const names = async () => (await readdir(segments)).filter((name) => !name.endsWith('.new')).sort();

  /** Keeps in the repository whatever the server has put aside, until told to end. */
  function keepPushing(identity: string): { end(): Promise<void> } {
    let over = false;
    const pushed = new Set<string>();
    const pushing = (async () => {
      const archive = await world.openArchive(identity);
      while (!over) {
        for (const name of await names()) {
          if (pushed.has(name)) continue;
          await archive.push(name, await readFile(join(segments, name)));
          pushed.add(name);
        }
        await delay(20);
      }
    })();
    return {
      end: async () => {
        const [row] = await world.server.query('SELECT pg_walfile_name(pg_switch_wal()) AS name');
        await expect.poll(() => pushed.has(String(row?.name)), { timeout: timeoutMs }).toBe(true);
        over = true;
        await pushing;
      },
    };
  }

  async function lossesOf(backup: BackupReader): Promise<LossRecord[]> {
    const found: LossRecord[] = [];
    const { restorer } = await world.restorer();
    for await (const loss of restorer.findLosses?.(backup) ?? []) found.push(loss);
    return found;
  }

  it('[S4-06] a dropped table and deleted rows are found in the log, and a restore to just before them has both', {
    timeout: 90_000,
  }, async () => {
    const [system] = await world.server.query('SELECT system_identifier::text AS identity FROM pg_control_system()');
    const pushing = keepPushing(String(system?.identity));
    const taken = await world.backUp('base', { archived: true });
    await world.run('INSERT INTO orders VALUES (3001)');
    const client = new pg.Client({ connectionString: world.server.url() });
    await client.connect();
    await client.query('BEGIN');
    const { rows } = await client.query('SELECT txid_current()::text AS id');
    await client.query('DELETE FROM orders WHERE id % 3 = 0');
    await client.query('SAVEPOINT half');
    await client.query('DROP TABLE customers');
    await client.query('COMMIT');
    await client.end();
    await world.run('INSERT INTO orders VALUES (3002)');
    await pushing.end();
    const backup = await world.repository.openBackup('orders', taken.backupId);
    const losses = await lossesOf(backup);
    const worst = losses.filter((each) => each.rows >= 1000);
    expect(worst).toMatchObject([{ transaction: rows[0].id, rows: 1000 }]);
    expect(worst[0]?.dropped).toBeGreaterThan(0);
    expect(worst[0]?.summary).toMatch(/dropped or emptied \d+ tables or indexes, deleted 1000 rows of 1 table/);

    const copy = await world.start(backup, { kind: 'transaction', id: String(worst[0]?.transaction), exclusive: true });
    expect(await copy.ask('SELECT count(*) FROM orders')).toBe('3001');
    expect(await copy.ask('SELECT count(*) FROM customers')).toBe('500');
    await copy.stop();
  });
});
