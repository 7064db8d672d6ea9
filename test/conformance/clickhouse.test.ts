/** Backups of ClickHouse and the way back from them, on the real engine behind a stand-in for its HTTP interface. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { BackupReader, CheckResult, RecoveryTarget, Restorer, RunningCopy } from '../../src/contracts/backup.ts';
import type { CallsReturn } from '../../src/contracts/site-return.ts';
import { driver } from '../../src/drivers/clickhouse/driver.ts';
import { componentOptions } from '../../src/drivers/clickhouse/options.ts';
import type { ClickhouseContext } from '../../src/drivers/clickhouse/site-parts.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { clickhouseProgram, type RunningClickhouse, startClickhouse } from '../systems/clickhouse.ts';
import { describeSystem } from '../systems/requirement.ts';
import { fingerprintKey, type KeptBackup, restorerContext, TestDirectories, takeBackup } from './kept-backup.ts';
import { newJournal, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const newest: RecoveryTarget = { kind: 'newest' };
const directories = new TestDirectories();
const signal = (): AbortSignal => AbortSignal.timeout(60_000);

const failed = (results: readonly CheckResult[]): readonly string[] =>
  results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

describeSystem('clickhouse', 'backups of ClickHouse', () => {
  let east: RunningClickhouse;
  let west: RunningClickhouse;

  beforeAll(async () => {
    [east, west] = (await Promise.all([startClickhouse(), startClickhouse()])) as [RunningClickhouse, RunningClickhouse];
    for (const sql of [
      'CREATE DATABASE gold',
      'CREATE DATABASE silver',
      'CREATE TABLE gold.revenue (id UInt64, day Date, amount Nullable(Decimal(18, 2)), tags Array(String)) ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY id',
      "INSERT INTO gold.revenue SELECT number, toDate('2026-01-01') + number % 90, if(number % 7 = 0, NULL, number / 3), [toString(number)] FROM numbers(5000)",
      'CREATE TABLE gold.`odd name.x` (a String) ENGINE = ReplacingMergeTree ORDER BY a',
      "INSERT INTO gold.`odd name.x` VALUES ('it''s'), ('tab\t')",
      'CREATE TABLE gold.empty (a Int8) ENGINE = MergeTree ORDER BY a',
      'CREATE VIEW gold.total AS SELECT sum(amount) AS total FROM gold.revenue',
      'CREATE TABLE silver.campaign_metrics (id UInt32, clicks UInt64) ENGINE = SummingMergeTree ORDER BY id',
      'INSERT INTO silver.campaign_metrics SELECT number + 1, number + 2 FROM numbers(100)',
      'CREATE TABLE silver.raw_events (id UInt32) ENGINE = MergeTree ORDER BY id',
      'INSERT INTO silver.raw_events SELECT number FROM numbers(10)',
    ])
      await east.ask(sql);
  });
  afterAll(async () => {
    await Promise.all([east?.stop(), west?.stop()]);
  });
  afterEach(() => directories.removeAll());

  const contextOf = (server: RunningClickhouse, options: object = {}): ClickhouseContext => {
    const site = { url: server.url, 'backups-directory': server.backupsDirectory };
    return {
      host,
      platform: 'test',
      component: 'analytics',
      region: server === east ? 'east' : 'west',
      options: {
        ...componentOptions.parse({
          user: server.user,
          program: [...clickhouseProgram()],
          tables: ['gold.*', 'silver.campaign_metrics'],
          ...options,
        }),
        password: new Secret(server.password, 'test'),
      },
      site,
      sites: new Map([['east', site]]),
      replication: 'none',
      hands: undefined,
      probeTimeoutMs: 5_000,
    };
  };
  const take = (options: object = {}, what = 'full', basis?: BackupReader) =>
    takeBackup(
      driver.backups?.openSource(contextOf(east, options)) as NonNullable<ReturnType<NonNullable<typeof driver.backups>['openSource']>>,
      host,
      what,
      basis === undefined ? {} : { basis },
    );
  const openRestorer = async (): Promise<Restorer> =>
    driver.backups?.openRestorer(
      restorerContext(host, { component: 'analytics', options: contextOf(east).options, workDirectory: await directories.make('work') }),
    ) as Restorer;
  const withCopy = async <T>(backup: BackupReader, work: (copy: RunningCopy) => Promise<T>): Promise<T> => {
    const into = join(await directories.make('restored'), 'new');
    const copy = await (await (await openRestorer()).restore(backup, newest, into)).start();
    try {
      return await work(copy);
    } finally {
      await copy.stop();
    }
  };
  const namesOf = ({ facts }: KeptBackup): readonly string[] =>
    ((facts?.more?.tables ?? []) as unknown as readonly { database: string; name: string }[]).map(
      ({ database, name }) => `${database}.${name}`,
    );

  it('[S5-28] [E5-07] what the patterns mean comes back with equal rows and sums, and the server is left as it was', async () => {
    const backup = await take();
    expect(namesOf(backup)).toEqual(['gold.empty', 'gold.odd name.x', 'gold.revenue', 'gold.total', 'silver.campaign_metrics']);
    expect(backup.facts).toMatchObject({
      engine: 'clickhouse',
      engineVersion: '26.7.2.1',
      dataBytes: backup.parts.get('backup.tar')?.length,
    });
    const entries = Object.fromEntries((backup.facts?.fingerprint?.entries ?? []).map(({ name, count }) => [name, count]));
    expect(entries).toEqual({ 'gold.revenue': 5000, 'gold.odd name.x': 2, 'gold.empty': 0, 'silver.campaign_metrics': 100 });
    expect(backup.facts?.fingerprint?.limits).toEqual(['gold.total (View) has no parts: its content was not digested']);
    // Nothing of it stays behind but one row of a file.
    const left = await east.ask(`SELECT max(_size) FROM file('${east.backupsDirectory}/*.tar', 'One')`);
    expect(Number(left)).toBe(256);
    expect((await (await openRestorer()).preview(backup.reader(), newest)).problems).toEqual([]);
    await withCopy(backup.reader(), async (copy) => {
      const checks = await copy.check();
      expect(checks.map(({ name }) => name)).toContain('CHECK TABLE gold.revenue');
      expect(failed(checks)).toEqual([]);
      const results = await copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey);
      expect([results.length, failed(results)]).toEqual([4, []]);
      expect(await copy.ask('SELECT sum(id) FROM gold.revenue')).toBe(String((4999 * 5000) / 2));
      expect(await copy.ask('SELECT total > 0 FROM gold.total;')).toBe(1);
      expect(await copy.readCanary()).toBeUndefined();
    });
  });

  it('[S5-11] a new gold table is in the next backup, another silver one is not; a pattern that means nothing fails it', async () => {
    await east.ask('CREATE TABLE gold.fresh (a Int32) ENGINE = MergeTree ORDER BY a');
    const names = namesOf(await take());
    expect(names).toContain('gold.fresh');
    expect(names).not.toContain('silver.raw_events');
    await east.ask('DROP TABLE gold.fresh SYNC');
    expect(namesOf(await take())).not.toContain('gold.fresh');
    const failure = await failureOf(take({ tables: ['gold.*', 'silvr.campaign_metrics'] }));
    expect([failure.code, failure.message]).toEqual(['BACKUP_INCOMPLETE', expect.stringContaining('silvr.campaign_metrics')]);
  });

  it('[S5-28] rows written, changed or lost show under their table; what is written during a backup does not disturb it', async () => {
    await east.ask('CREATE TABLE gold.changing (id UInt64, v String) ENGINE = MergeTree ORDER BY id');
    await east.ask('INSERT INTO gold.changing SELECT number, toString(number) FROM numbers(1000)');
    const first = await take({ tables: ['gold.changing'] });
    // The same number of rows, one of them another.
    await east.ask("INSERT INTO gold.changing VALUES (5, 'another')");
    await east.ask('DELETE FROM gold.changing WHERE id = 7 SETTINGS lightweight_deletes_sync = 2');
    const second = await take({ tables: ['gold.changing'] });
    const expected = first.facts?.fingerprint ?? { entries: [] };
    expect(failed(await withCopy(second.reader(), (copy) => copy.compare(expected, fingerprintKey)))).toEqual([
      'gold.changing equals its fingerprint: 1000 rows, and some differ',
    ]);
    let isOver = false;
    const writing = (async () => {
      for (let at = 0; !isOver; at += 1) await east.ask(`INSERT INTO gold.changing SELECT ${10_000 + at}, 'during'`);
    })();
    const third = await take({ tables: ['gold.changing'], 'hold-merges': true }).finally(() => {
      isOver = true;
    });
    await writing;
    expect(third.facts?.fingerprint?.limits).toEqual([]);
    expect(
      failed(await withCopy(third.reader(), (copy) => copy.compare(third.facts?.fingerprint ?? { entries: [] }, fingerprintKey))),
    ).toEqual([]);
    // Merges go on afterwards.
    await east.ask('OPTIMIZE TABLE gold.changing FINAL SETTINGS optimize_throw_if_noop = 1');
    await east.ask('DROP TABLE gold.changing SYNC');
  });

  it('an increment holds only what is new, needs its base to come back, and is a full one where the base is gone', async () => {
    await east.ask('CREATE TABLE gold.growing (id UInt64, v String) ENGINE = MergeTree ORDER BY id');
    await east.ask('INSERT INTO gold.growing SELECT number, randomString(100) FROM numbers(20000)');
    const options = { tables: ['gold.growing'], 'keep-base': true };
    const base = await take(options);
    await east.ask("INSERT INTO gold.growing VALUES (1000000, 'new')");
    const increment = await take(options, 'increment', base.reader());
    expect(increment.facts?.needs).toEqual(['kept']);
    expect(increment.facts?.dataBytes).toBeLessThan((base.facts?.dataBytes as number) / 20);
    const reader: BackupReader = { ...increment.reader(), openNeeded: async () => base.reader() };
    const results = await withCopy(reader, async (copy) => {
      expect(await copy.ask('SELECT count() FROM gold.growing')).toBe('20001');
      return copy.compare(increment.facts?.fingerprint ?? { entries: [] }, fingerprintKey);
    });
    expect(failed(results)).toEqual([]);
    expect((await failureOf(withCopy(increment.reader(), async () => {}))).code).toBe('BACKUP_DAMAGED');
    await take(options);
    const alone = await take(options, 'increment', base.reader());
    expect(alone.facts?.needs).toBeUndefined();
    expect(alone.facts?.dataBytes).toBeGreaterThan(base.facts?.dataBytes as number);
    await east.ask('DROP TABLE gold.growing SYNC');
  });

  it('a table that was replicated (stand-in) comes back on a copy without Keeper', async () => {
    const backup = await take({ tables: ['silver.campaign_metrics'] });
    const tables = [{ database: 'silver', name: 'campaign_metrics', engine: 'ReplicatedSummingMergeTree' }];
    backup.facts = { ...backup.facts, more: { ...backup.facts?.more, tables } } as NonNullable<typeof backup.facts>;
    const results = await withCopy(backup.reader(), (copy) => copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey));
    expect([results.length, failed(results)]).toEqual([1, []]);
  });

  it('a cut or changed archive does not come back, nor anything over what is there, nor at another instant', async () => {
    const backup = await take({ tables: ['gold.revenue'] });
    const bytes = backup.parts.get('backup.tar') as Buffer;
    const cut = backup.changed('backup.tar', (whole) => whole.subarray(0, 20_480));
    expect((await failureOf(withCopy(cut.reader(), (copy) => copy.check()))).code).toMatch(/BACKUP_TOOL_FAILED|SYSTEM_REFUSED/);
    // One byte of a column, which no length tells: the engine's own check of the part finds it.
    const flipped = backup.flipped('backup.tar', bytes.indexOf('/data.bin') + 700);
    expect(failed(await withCopy(flipped.reader(), (copy) => copy.check()))).toEqual([
      expect.stringMatching(/^CHECK TABLE gold.revenue: 1 of \d parts are not/),
    ]);
    const into = await directories.make('full');
    await writeFile(join(into, 'precious'), '');
    expect((await failureOf((await openRestorer()).restore(backup.reader(), newest, into))).code).toBe('RESTORE_TARGET_NOT_EMPTY');
    const elsewhere = (await openRestorer()).restore(backup.reader(), { kind: 'time', atMs: 0 }, `${into}/x`);
    expect((await failureOf(elsewhere)).code).toBe('RESTORE_TARGET_UNREACHABLE');
  });

  it('a backup that the server may not write, and one that ends with the server, are errors', async () => {
    const outside = contextOf(east);
    const source = driver.backups?.openSource({ ...outside, site: { ...outside.site, 'backups-directory': '/tmp' } });
    const failure = await failureOf(takeBackup(source as NonNullable<typeof source>, host, 'full'));
    expect([failure.kind, failure.message]).toEqual(['refused', expect.stringMatching(/not allowed for backups/)]);
    const wrong = driver.backups?.openSource({ ...outside, options: { ...outside.options, password: new Secret('wrong', 'test') } });
    expect((await failureOf(takeBackup(wrong as NonNullable<typeof wrong>, host, 'full'))).code).toBe('SYSTEM_WRONG_CREDENTIALS');
    expect((await failureOf(take({}, 'snapshot'))).code).toBe('USAGE');
  });

  it('[S5-28] [E5-07] the standby region gets the tables back, once and never over others', async () => {
    const canary = driver.open(contextOf(east)).canary;
    await canary?.write({ number: 41, atMs: 1_000, epoch: 3 }, signal());
    await canary?.write({ number: 42, atMs: 2_000, epoch: 3 }, signal());
    const backup = await take();
    expect(backup.facts?.canary).toEqual({ number: 42, atMs: 2_000, epoch: 3 });
    await withCopy(backup.reader(), async (copy) => expect(await copy.readCanary()).toEqual({ number: 42, atMs: 2_000, epoch: 3 }));
    const back = driver.openReturn?.(contextOf(west)) as CallsReturn;
    const step = {
      ...stepContext(host, newJournal(), { signal: signal() }),
      workDirectory: await directories.make('bring'),
      keepOwn: async () => {},
    };
    await west.ask('CREATE DATABASE IF NOT EXISTS gold');
    await west.ask('CREATE TABLE gold.revenue (a String) ENGINE = MergeTree ORDER BY a');
    const failure = await failureOf(back.bring(backup.reader(), newest, 'e1/analytics/west', step));
    expect([failure.code, failure.message]).toEqual(['RESTORE_TARGET_NOT_EMPTY', expect.stringContaining('gold.revenue')]);
    await west.ask('DROP TABLE gold.revenue SYNC');
    expect(await back.holds('e1/analytics/west', step)).toBe(false);
    // Cut off in the middle of the archive: nothing counts, and the next try takes away what is half there.
    const torn: BackupReader = {
      ...backup.reader(),
      readPart: async function* () {
        yield (backup.parts.get('backup.tar') as Buffer).subarray(0, 65_536);
        throw new HoldfastError('STORE_UNREACHABLE', { message: 'the store is gone' });
      },
    };
    expect((await failureOf(back.bring(torn, newest, 'e1/analytics/west', step))).code).toBe('STORE_UNREACHABLE');
    expect(await back.holds('e1/analytics/west', step)).toBe(false);
    await back.bring(backup.reader(), newest, 'e1/analytics/west', step);
    expect([await back.holds('e1/analytics/west', step), await back.holds('e2/analytics/west', step)]).toEqual([true, false]);
    const question = 'SELECT count(), sum(id), sum(amount), sum(sipHash64(tags)) FROM gold.revenue';
    expect(await west.ask(question)).toBe(await east.ask(question));
    const there = driver.open(contextOf(west)).canary;
    expect(await there?.read(signal())).toEqual({ number: 42, atMs: 2_000, epoch: 3 });
    await there?.write({ number: 43, atMs: 3_000, epoch: 4 }, signal());
    expect(await there?.read(signal())).toEqual({ number: 43, atMs: 3_000, epoch: 4 });
    const again = await failureOf(back.bring(backup.reader(), newest, 'e2/analytics/west', step));
    expect(again.code).toBe('RESTORE_TARGET_NOT_EMPTY');
  });
});
