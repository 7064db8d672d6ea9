/** The systems whose proofs are controlled, with damage that only they know: rows deleted, a table emptied, a key dropped, a vector changed. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Damage, generalDamages } from '../../src/backups/sabotage.ts';
import { Secret } from '../../src/base/secret.ts';
import type { AnyDriverBackups } from '../../src/contracts/backup.ts';
import type { AnyDriver } from '../../src/contracts/driver.ts';
import { driver as filesDriver } from '../../src/drivers/files/driver.ts';
import { driver as postgresqlDriver } from '../../src/drivers/postgresql/driver.ts';
import { driver as redisDriver } from '../../src/drivers/redis/driver.ts';
import { seededRandom } from '../fakes/host.ts';
import { startPrimary } from '../systems/postgresql.ts';
import { startRedis } from '../systems/redis.ts';
import type { SystemName } from '../systems/requirement.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';
import { startEtcdSubject } from './sabotage-etcd.ts';
import { component, host, quietContext, type SabotageSubject } from './sabotage-world.ts';

export interface SubjectKind {
  readonly name: string;
  readonly needs: readonly SystemName[];
  start(): Promise<SabotageSubject>;
}

const backupsOf = (driver: AnyDriver): AnyDriverBackups => {
  if (!driver.backups) throw new Error(`${driver.name} has no backups`);
  return driver.backups;
};

const running = (name: string, command: (address: string) => string): Damage => ({ strikes: 'running', name, running: { name, command } });

/** Systems without a log have no segment to lose. */
const withoutLog = generalDamages.filter(({ name }) => name !== 'lose a log segment');

const siteContext = (driver: AnyDriver, site: unknown, options: unknown) => ({
  host,
  platform: 'test',
  component,
  region: 'east',
  options: driver.componentOptions.parse(options),
  site,
  sites: new Map(),
  replication: 'asynchronous' as const,
  hands: undefined,
  probeTimeoutMs: 1_000,
});

async function startRedisSubject(): Promise<SabotageSubject> {
  const password = 'sabotage-test';
  const redis = await startRedis({ password });
  const random = seededRandom(1);
  const orders = Array.from({ length: 400 }, (_, at) => [`order:${at}`, Buffer.from(random.bytes(300)).toString('base64')]).flat();
  await redis.command('MSET', ...orders);
  await redis.command('HSET', 'customer:1', 'name', 'Ada', 'town', 'London');
  await redis.command('SADD', 'tags', 'red', 'green');
  const backups = backupsOf(redisDriver);
  const site = {
    ...(redisDriver.siteOptions.parse({ url: `redis://127.0.0.1:${redis.port}` }) as object),
    password: new Secret(password, 'test'),
  };
  // The copy refuses writes until it is told otherwise; a reply that is not the wanted one fails the damage.
  const write = (words: string, wanted: string) => (address: string) =>
    `${address} CONFIG SET min-replicas-to-write 0 >/dev/null && test "$(${address} ${words})" = "${wanted}"`;
  return {
    name: 'redis',
    backups,
    options: redisDriver.componentOptions.parse({}),
    what: 'snapshot',
    level: 'P5',
    target: { target: { kind: 'consistent' }, text: 'newest' },
    damages: [
      ...withoutLog,
      running('drop a key', write('DEL order:7', '1')),
      running('change a value', write('HSET customer:1 town Paris', '0')),
      running('add a key', write('SET order:none x', 'OK')),
      running('empty a database', write('FLUSHDB', 'OK')),
    ],
    openSource: () => backups.openSource(siteContext(redisDriver, site, {})),
    stop: () => redis.stop(),
  };
}

async function startFilesSubject(): Promise<SabotageSubject> {
  const root = await temporaryDirectory('sabotage-files');
  const random = seededRandom(2);
  for (const tenant of ['tenant-1', 'tenant-2', 'tenant-3']) {
    await mkdir(join(root, tenant));
    for (const at of [0, 1, 2]) await writeFile(join(root, tenant, `vectors-${at}.bin`), random.bytes(20_000 + 5_000 * at));
  }
  const backups = backupsOf(filesDriver);
  const site = filesDriver.siteOptions.parse({ path: root });
  return {
    name: 'files',
    backups,
    options: filesDriver.componentOptions.parse({}),
    what: 'files',
    level: 'P5',
    target: { target: { kind: 'consistent' }, text: 'newest' },
    damages: [
      ...withoutLog,
      running(
        'change a vector',
        (directory) => `printf 'x' | dd of='${directory}/tenant-2/vectors-1.bin' bs=1 seek=4097 conv=notrunc status=none`,
      ),
      running(
        'swap two files',
        (directory) => `cd '${directory}/tenant-1' && mv vectors-0.bin x && mv vectors-1.bin vectors-0.bin && mv x vectors-1.bin`,
      ),
      running('lose a tenant', (directory) => `test -d '${directory}/tenant-3' && rm -r '${directory}/tenant-3'`),
      running('add a file', (directory) => `echo new > '${directory}/tenant-1/new.bin'`),
    ],
    openSource: () => backups.openSource(siteContext(filesDriver, site, {})),
    stop: () => rm(root, { recursive: true, force: true }),
  };
}

async function startPostgresqlSubject(): Promise<SabotageSubject> {
  const server = await startPrimary({ freshIdentity: true });
  await server.query('CREATE TABLE orders (id int PRIMARY KEY, note text NOT NULL)');
  await server.query('INSERT INTO orders SELECT id, md5(id::text) FROM generate_series(1, 5000) AS id');
  await server.query('CREATE TABLE customers (id int PRIMARY KEY, name text)');
  await server.query("INSERT INTO customers SELECT id, 'customer ' || id FROM generate_series(1, 200) AS id");
  const backups = backupsOf(postgresqlDriver);
  const site = postgresqlDriver.siteOptions.parse({
    url: `postgresql://holdfast@${server.address}:${server.port}/postgres`,
    password: new Secret(server.passwords.holdfast, 'test'),
    replication: { user: 'replicator', password: new Secret(server.passwords.replicator, 'test') },
  });
  const options = server.binDirectory.startsWith('/usr/lib/') ? {} : { 'restore-bin-directory': server.binDirectory };
  const openSource = () => backups.openSource(siteContext(postgresqlDriver, site, options));
  const sql = (statement: string) => (address: string) =>
    `${address.replace(/^psql/, `'${server.binDirectory}/psql'`)} --no-psqlrc --quiet -v ON_ERROR_STOP=1 -c "${statement}"`;
  return {
    name: 'postgresql',
    backups,
    options: postgresqlDriver.componentOptions.parse(options),
    what: 'base',
    level: 'P5',
    target: { target: { kind: 'newest' }, text: 'newest, to the end of the log' },
    damages: [
      ...generalDamages,
      running('delete rows', sql('DELETE FROM orders WHERE id % 100 = 0')),
      running('empty a table', sql('TRUNCATE customers')),
      running('change a value', sql("UPDATE orders SET note = 'x' WHERE id = 4711")),
      running('add a row', sql("INSERT INTO customers VALUES (9999, 'nobody')")),
      running('drop a table', sql('DROP TABLE customers')),
    ],
    openSource,
    startArchive: async (repository) => {
      const stop = new AbortController();
      const source = openSource();
      let archivedMs = 0;
      const ended = source.archive?.(
        (identity) => repository.openArchive(component, identity),
        {
          onArchived: ({ atMs }) => {
            archivedMs = atMs;
          },
        },
        quietContext(stop.signal),
      );
      if (!ended) throw new Error('the driver archives nothing');
      // Whoever waits for it sees it; ending it is not an error.
      ended.catch(() => undefined);
      return {
        // Several segments behind the backup, so that one in the middle can be lost.
        async afterBackup() {
          for (let round = 1; round <= 3; round += 1) {
            await server.query(`INSERT INTO orders VALUES (${10_000 + round}, 'after the backup')`);
            await server.query('SELECT pg_switch_wal()');
          }
          const wantedMs = host.clock.nowMs();
          const deadlineMs = host.clock.monotonicMs() + 60_000;
          while (archivedMs < wantedMs) {
            if (host.clock.monotonicMs() > deadlineMs) throw new Error('the log was not archived within a minute');
            await server.query("INSERT INTO customers SELECT max(id) + 1, 'beat' FROM customers");
            await host.clock.sleep(200);
          }
        },
        async end() {
          stop.abort();
          await ended.catch(() => undefined);
          await source.close();
        },
      };
    },
    stop: () => server.stop(),
  };
}

export const subjectKinds: readonly SubjectKind[] = [
  { name: 'files', needs: [], start: startFilesSubject },
  { name: 'redis', needs: ['redis'], start: startRedisSubject },
  { name: 'etcd', needs: ['etcd'], start: startEtcdSubject },
  { name: 'postgresql', needs: ['postgresql'], start: startPostgresqlSubject },
];
