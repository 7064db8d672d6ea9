/** Analytics without a standby: backed up into a bucket, proven on a copy, and brought back in the other region by a failover. The real engine, behind a stand-in for its HTTP interface. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clickhouseProgram, type RunningClickhouse, startClickhouse } from '../systems/clickhouse.ts';
import { type ObjectStoreServer, plainS3Client } from '../systems/object-store.ts';
import { describeSystem } from '../systems/requirement.ts';
import { startVersitygw } from '../systems/versitygw.ts';
import { runHoldfast, type Where } from './holdfast-program.ts';

interface Platform {
  readonly directory: string;
  readonly east: RunningClickhouse;
  readonly west: RunningClickhouse;
  readonly store: ObjectStoreServer;
  readonly where: Where;
}

const specOf = ({ east, west, store }: Omit<Platform, 'where'>): string => {
  const site = ({ url, backupsDirectory }: RunningClickhouse) => `{ url: "${url}", backups-directory: ${backupsDirectory} }`;
  return `holdfast: v1
name: analytics-platform
objectives: { rto: 10m, rpo: 1h }
regions: { east: { role: active }, west: { role: standby } }
components:
  analytics:
    driver: clickhouse
    replication: none
    user: ${east.user}
    password: { env: CLICKHOUSE_PASSWORD }
    program: ${JSON.stringify(clickhouseProgram())}
    tables: [gold.*, silver.campaign_metrics]
    backup:
      - { what: full, every: "0 2 * * *", keep: { daily: 90 }, prove: { every: daily, level: P4 } }
    sites:
      east: ${site(east)}
      west: ${site(west)}
repositories:
  main:
    driver: s3
    bucket: backups
    prefix: clickhouse/
    region: ${store.region}
    endpoint: ${store.endpoint}
    access-key-id: { env: STORE_ID }
    secret-access-key: { env: STORE_SECRET }
watch: { every: 250ms, timeout: 2s, failures: 3 }
failover: { loss-budget: 1h }
`;
};

async function build(): Promise<Platform> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-'));
  const [east, west, store] = await Promise.all([startClickhouse(), startClickhouse(), startVersitygw()]);
  await store.makeBucket('backups');
  const specFile = join(directory, 'holdfast.yaml');
  await writeFile(specFile, specOf({ directory, east, west, store }));
  const env = {
    ...{ CLICKHOUSE_PASSWORD: east.password, STORE_ID: store.accessKeyId, STORE_SECRET: store.secretAccessKey },
    HOLDFAST_SCRATCH: join(directory, 's'),
  };
  return { directory, east, west, store, where: { specFile, stateDirectory: join(directory, 'state'), env } };
}

describeSystem(['clickhouse', 'versitygw'], 'analytics in ClickHouse', () => {
  let platform: Platform;
  const run = (...args: string[]) => runHoldfast(platform.where, args, { timeoutMs: 120_000 });
  const sums = 'SELECT count(), sum(id), sum(amount) FROM gold.revenue';

  beforeAll(async () => {
    platform = await build();
    for (const sql of [
      'CREATE DATABASE gold',
      'CREATE DATABASE silver',
      'CREATE TABLE gold.revenue (id UInt64, amount Decimal(18, 2)) ENGINE = MergeTree ORDER BY id',
      'INSERT INTO gold.revenue SELECT number, number / 7 FROM numbers(20000)',
      'CREATE TABLE silver.campaign_metrics (id UInt32, clicks UInt64) ENGINE = MergeTree ORDER BY id',
      'INSERT INTO silver.campaign_metrics SELECT number, number FROM numbers(500)',
    ])
      await platform.east.ask(sql);
  }, 120_000);

  afterAll(async () => {
    if (!platform) return;
    await Promise.all([platform.east.stop(), platform.west.stop(), platform.store.stop()]);
    await rm(platform.directory, { recursive: true, force: true });
  }, 60_000);

  it('[E5-02] [S5-02] a backup a day is shown to break the loss goal of an hour', async () => {
    const validated = await run('validate');
    expect(validated.exitCode, validated.err).toBe(0);
    expect(validated.json.contradictions).toEqual([
      expect.objectContaining({
        path: 'components.analytics.backup[0].every',
        message: 'no more than 1 h of analytics may be lost, and up to 1 d go by between two backups',
        other: expect.objectContaining({ path: 'objectives.rpo' }),
      }),
    ]);
  });

  it('[S5-10] [S5-12] its backup lands in the bucket, below its prefix, and is proven by rows and sums; a damaged one is not', async () => {
    expect(await run('repository', 'create', 'main')).toMatchObject({ exitCode: 0 });
    const taken = await run('backup', 'analytics');
    expect(taken, taken.err).toMatchObject({ exitCode: 0 });
    const client = plainS3Client(platform.store);
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: 'backups' }));
    client.destroy();
    expect(Contents.length).toBeGreaterThan(3);
    expect(Contents.map(({ Key }) => Key).filter((key) => !key?.startsWith('clickhouse/'))).toEqual([]);
    const proven = await run('verify', 'analytics', '--level', 'P4');
    expect(proven, `${proven.out}\n${proven.err}`).toMatchObject({ exitCode: 0, json: { proof: { reached: 'P4', ok: true } } });
    const sabotaged = await run('verify', 'analytics', '--sabotage', 'lose a restored file');
    expect(sabotaged.exitCode, `${sabotaged.out}\n${sabotaged.err}`).toBe(0);
    expect(sabotaged.json).toMatchObject({ tried: 1, caught: 1 });
  }, 120_000);

  it('[S5-28] [E5-07] the region is lost: a failover brings rows and sums back in the other one', async () => {
    const before = await platform.east.ask(sums);
    await platform.east.kill();
    const moved = await run('failover', '--yes');
    expect(moved, `${moved.out}\n${moved.err}`).toMatchObject({ exitCode: 0 });
    expect(await platform.west.ask(sums)).toBe(before);
    expect((await run('status')).json).toMatchObject({ activeRegion: 'west' });
  }, 120_000);
});
