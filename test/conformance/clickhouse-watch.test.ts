/** What the driver of ClickHouse makes of what a server says: the real engine where it can say it, rows that only a cluster has played by a stand-in, and answers that are none. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import type { Reading } from '../../src/contracts/observation.ts';
import { driver } from '../../src/drivers/clickhouse/driver.ts';
import { componentOptions, findFaults, siteOptions } from '../../src/drivers/clickhouse/options.ts';
import { withoutReplication } from '../../src/drivers/clickhouse/restore-tables.ts';
import { resolvePatterns } from '../../src/drivers/clickhouse/table-patterns.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { type RunningClickhouse, startClickhouse } from '../systems/clickhouse.ts';
import { type Answerer, type BadAnswer, type FaultyHttp, startFaultyHttp } from '../systems/faulty-http.ts';
import { describeSystem } from '../systems/requirement.ts';
import { TestDirectories } from './kept-backup.ts';

const host = nodeHost({ logTo: 'silent' });

interface Where {
  readonly user?: string;
  readonly password?: string;
  readonly ca?: string;
  readonly probeTimeoutMs?: number;
}

const openAt = (url: string, { user = 'holdfast', password = 'only-for-tests', ca, probeTimeoutMs = 5_000 }: Where = {}) =>
  driver.open({
    host,
    platform: 'test',
    component: 'analytics',
    region: 'east',
    options: { ...componentOptions.parse({ user }), password: new Secret(password, 'test') },
    site: siteOptions.parse({ url, ...(ca === undefined ? {} : { ca }) }),
    sites: new Map(),
    replication: 'none',
    hands: undefined,
    probeTimeoutMs,
  });
const observe = (url: string, where: Where = {}): Promise<Reading> => openAt(url, where).observe(AbortSignal.timeout(10_000));
const messagesOf = ({ faults = [] }: Reading): readonly string[] => faults.map(({ message }) => message);

describeSystem('clickhouse', 'a ClickHouse server', () => {
  let server: RunningClickhouse;
  beforeAll(async () => {
    server = await startClickhouse();
  });
  afterAll(() => server?.stop());

  it('is up, with its version and identity; another server is another identity', async () => {
    const reading = await observe(server.url);
    expect(reading).toMatchObject({ health: 'up', writable: true, faults: [], facts: { version: '26.7.2.1', replicatedTables: 0 } });
    expect(reading.metrics).toEqual({ clickhouse_readonly_tables: 0, clickhouse_replication_queue: 0, clickhouse_delay_seconds: 0 });
    const other = await startClickhouse();
    try {
      const identity = (await observe(other.url)).identity;
      expect(identity).toMatch(/^[0-9a-f-]{36}$/);
      expect(identity).not.toBe(reading.identity);
    } finally {
      await other.stop();
    }
  });

  it('says what is wrong with replicated tables (stand-in), and takes no clock for a delay', async () => {
    const row = (table: string, parts: object) => ({
      ...{ database: 'gold', table, is_readonly: 0, is_session_expired: 0, absolute_delay: 0, queue_size: 0 },
      ...{ total_replicas: 2, active_replicas: 2, zookeeper_exception: '', ...parts },
    });
    await server.playReplicas([
      row('well', {}),
      row('late', { absolute_delay: 301 }),
      row('queued', { queue_size: 101 }),
      row('alone', { active_replicas: 1 }),
      row('unknown', { absolute_delay: 1_700_000_000 }),
      row('stuck', { is_readonly: 1, zookeeper_exception: 'Connection loss' }),
      row('expired', { is_session_expired: 1, absolute_delay: 1_700_000_000 }),
    ]);
    const reading = await observe(server.url);
    expect(messagesOf(reading)).toEqual(
      [
        'gold.expired is read-only: it has no session with Keeper',
        'gold.late is 301 s behind its other replicas',
        'the replication queue of gold.queued has 101 entries',
        'gold.stuck is read-only: Connection loss',
        'how far gold.unknown is behind is not known',
      ]
        .concat('1 of 2 replicas of gold.alone are gone')
        .sort(byTable),
    );
    expect([reading.health, reading.writable]).toEqual(['up', true]);
    expect(reading.metrics).toEqual({ clickhouse_readonly_tables: 2, clickhouse_replication_queue: 101 });
    await server.playReplicas([row('stuck', { is_readonly: 1 })]);
    expect((await observe(server.url)).writable).toBe(false);
    await server.playReplicas([]);
  });

  it('refuses another password, and is not taken for dead then', async () => {
    for (const where of [{ password: 'wrong' }, { user: 'nobody' }])
      expect(await observe(server.url, where)).toMatchObject({
        health: 'unknown',
        evidence: { kind: 'not-allowed', detail: expect.stringContaining('Code: 516') },
      });
  });

  it('broken parts that the engine set aside are a fault', async () => {
    for (const sql of [
      'CREATE DATABASE broken',
      'CREATE TABLE broken.t (a Int32) ENGINE = MergeTree ORDER BY a',
      'INSERT INTO broken.t VALUES (1)',
    ])
      await server.ask(sql);
    const path = await server.ask("SELECT path FROM system.parts WHERE database = 'broken' AND active");
    await server.ask('DETACH TABLE broken.t');
    await writeFile(join(path, 'columns.txt'), 'not columns');
    await server.ask('ATTACH TABLE broken.t');
    expect(messagesOf(await observe(server.url))).toEqual(['1 broken parts of broken.t were set aside']);
    await server.ask('DROP DATABASE broken SYNC');
  });

  it('[X-10] refuses (stand-in) what the real interface refuses', async () => {
    const ask = async (path: string, init: RequestInit = {}) => {
      const headers = { 'X-ClickHouse-User': server.user, 'X-ClickHouse-Key': server.password, ...init.headers };
      const answer = await fetch(`${server.url}${path}`, { ...init, headers, signal: AbortSignal.timeout(10_000) });
      return [answer.status, answer.headers.get('x-clickhouse-exception-code'), await answer.text()] as const;
    };
    const post = (body: string, query = '') => ask(`/?${query}`, { method: 'POST', body });
    expect(await ask('/', { method: 'POST', body: 'SELECT 1', headers: { 'X-ClickHouse-Key': 'x' } })).toEqual([
      403,
      '516',
      expect.stringContaining('AUTHENTICATION_FAILED'),
    ]);
    expect((await post('SELEC 1')).slice(0, 2)).toEqual([400, '62']);
    expect((await post('SELECT * FROM nowhere.nothing')).slice(0, 2)).toEqual([404, '81']);
    expect((await post('SELECT 1', 'no_such_setting=1')).slice(0, 2)).toEqual([400, '115']);
    expect((await ask('/?query=CREATE%20DATABASE%20x')).slice(0, 2)).toEqual([500, '164']);
    expect((await ask('/backup/list/local')).slice(0, 1)).toEqual([404]);
    // What the seed writes down is another program's: its type, its patterns and its destination are nothing to the server.
    for (const [sql, code] of [
      ["BACKUP TABLE gold.* TO S3('s3://backups/clickhouse/')", '62'],
      ['clickhouse-backup create_remote', '62'],
      ["BACKUP ALL TO Disk('backups', 'daily.zip')", '318'],
      [`BACKUP DATABASE nothing TO File('${server.backupsDirectory}/a.tar')`, '81'],
      ["BACKUP ALL TO File('/etc/daily.tar')", '36'],
      ["CREATE TABLE default.r (a Int8) ENGINE = ReplicatedMergeTree('/a', 'b') ORDER BY a", '225'],
    ] as const)
      expect([sql, (await post(sql))[1]]).toEqual([sql, code]);
  });
});

/** As the driver lists them: by table. */
function byTable(left: string, right: string): number {
  const nameIn = (text: string): string => /gold\.(\w+)/.exec(text)?.[1] ?? '';
  return nameIn(left) < nameIn(right) ? -1 : 1;
}

describe('answers that are none of ClickHouse (stand-in)', () => {
  const directories = new TestDirectories();
  let faulty: FaultyHttp | undefined;
  afterEach(async () => {
    await faulty?.stop();
    await directories.removeAll();
  });

  const pong: Answerer = ({ path }) => (path === '/ping' ? { body: 'Ok.\n' } : undefined);
  const afterPong =
    (body: string, status = 200): Answerer =>
    (request) =>
      pong(request) ?? { status, body };
  it.each<readonly [string, BadAnswer | Answerer, Reading['health'], string]>([
    ['429', 'too-many-requests', 'unknown', 'error'],
    ['500 with a page', 'server-error', 'unknown', 'error'],
    ['503', 'unavailable', 'unknown', 'error'],
    ['401', 'unauthorized', 'unknown', 'not-allowed'],
    ['403', 'forbidden', 'unknown', 'not-allowed'],
    ['a web page', 'web-page', 'down', 'wrong-answer'],
    ['nothing', 'empty-body', 'down', 'wrong-answer'],
    ['an object', 'empty-object', 'down', 'wrong-answer'],
    ['half an answer', 'half-json', 'down', 'wrong-answer'],
    ['a ping and then half an answer', afterPong('{"meta":[],"data":[{"version":"24'), 'down', 'wrong-answer'],
    ['a ping and then a page', afterPong('<html></html>'), 'down', 'wrong-answer'],
    ['a ping and then an empty object', afterPong('{}'), 'down', 'wrong-answer'],
    ['a ping and then no version', afterPong('{"data":[]}'), 'down', 'wrong-answer'],
    ['a ping and then 500', pong, 'unknown', 'error'],
    ['a reset', 'reset', 'down', 'connection-lost'],
    ['a cut', 'cut-off', 'down', 'connection-lost'],
    ['silence', 'hang', 'unknown', 'timeout'],
  ])('%s', async (_name, answer, health, kind) => {
    faulty = await startFaultyHttp(answer);
    const reading = await observe(faulty.url, { probeTimeoutMs: 500 });
    expect([reading.health, reading.evidence.kind]).toEqual([health, kind]);
    expect(JSON.stringify(reading)).not.toContain('only-for-tests');
  });

  it('a certificate that nobody trusts says nothing of the server; one that is trusted lets it be seen', async () => {
    faulty = await startFaultyHttp('hang', { tls: true });
    expect(await observe(faulty.url)).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    const file = join(await directories.make('ca'), 'ca.pem');
    await writeFile(file, faulty.ca as string);
    faulty.become('web-page');
    expect((await observe(faulty.url, { ca: file })).evidence.kind).toBe('wrong-answer');
    expect((await observe(faulty.url, { ca: `${file}.gone` })).evidence.kind).toBe('error');
  });

  it('an old version is a fault: it can not be backed up', async () => {
    faulty = await startFaultyHttp((request) => {
      if (request.path === '/ping') return { body: 'Ok.\n' };
      const data = request.body.includes('serverUUID') ? [{ version: '22.8.1.1', uuid: 'e5c1b7a4-0000-0000-0000-000000000001' }] : [];
      return { body: JSON.stringify({ data }) };
    });
    expect(messagesOf(await observe(faulty.url))).toEqual([expect.stringMatching(/22\.8\.1\.1 is older than 24\.3/)]);
  });
});

describe('what a spec says of ClickHouse', () => {
  it('patterns take in what they mean, and say which mean nothing', () => {
    const all = [
      'gold.a',
      'gold.b',
      'golden.c',
      'silver.campaign_metrics',
      'silver.campaign_metrics2',
      'system.parts',
      'gold..inner_id.7',
    ].map((text) => {
      const [database, ...rest] = text.split('.');
      return { database: database as string, name: rest.join('.') };
    });
    const names = (patterns: readonly string[]) => resolvePatterns(patterns, all).tables.map(({ database, name }) => `${database}.${name}`);
    expect(names(['gold.*', 'silver.campaign_metrics'])).toEqual(['gold.a', 'gold.b', 'silver.campaign_metrics']);
    expect(names(['silver.metrics', 'gol?.campaign*'])).toEqual([]);
    expect(names(['silver.campaign_metrics?', 'gold??.*'])).toEqual(['golden.c', 'silver.campaign_metrics2']);
    expect(names(['*.*'])).not.toContain('system.parts');
    expect(resolvePatterns(['bronze.*', 'gold.a'], all).empty).toEqual(['bronze.*']);
    for (const pattern of ['gold', 'gold.', '.a', 'system.parts'])
      expect(componentOptions.safeParse({ tables: [pattern] }).success).toBe(false);
  });

  it('a replicated definition loses its replication, and nothing else', () => {
    const made = (engine: string) => withoutReplication(`CREATE TABLE a.b (x String) ENGINE = ${engine} ORDER BY x`);
    for (const [before, after] of [
      ["ReplicatedMergeTree('/clickhouse/{uuid}/{shard}', '{replica}')", 'MergeTree()'],
      ["ReplicatedReplacingMergeTree('/it\\'s', 'r', version)", 'ReplacingMergeTree(version)'],
      ['ReplicatedSummingMergeTree', 'SummingMergeTree'],
      ['MergeTree', 'MergeTree'],
    ] as const)
      expect(made(before)).toBe(made(after));
  });

  it('no standby is promised, and no password goes in the clear', () => {
    const options = { ...componentOptions.parse({}), password: new Secret('x', 'test') };
    const site = siteOptions.parse({ url: 'http://10.0.0.5:8123' });
    const sites = new Map([
      ['east', site],
      ['west', { ...site, url: 'https://10.0.1.5:8443' }],
    ]);
    expect(findFaults({ options, sites, replication: 'asynchronous' }).map(({ path }) => path.join('.'))).toEqual([
      'replication',
      'sites.east.url',
    ]);
    for (const url of ['ftp://a', 'http://user@host:1', 'host:8123']) expect(siteOptions.safeParse({ url }).success).toBe(false);
  });

  it('the spec in the README loads as it stands there', async () => {
    const readme = readFileSync(join(import.meta.dirname, '..', '..', 'src', 'drivers', 'clickhouse', 'README.md'), 'utf8');
    const [text] = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, inside]) => inside as string);
    const loaded = await loadSpec(['shop.yaml'], {
      catalog: driverCatalog,
      repositories: fakeRepositories,
      host: fakeHost({
        files: {
          'shop.yaml': `holdfast: v1\nname: shop\nregions: { eu-west-1: { role: active }, eu-central-1: { role: standby } }\n${text}`,
        },
      }),
      resolveSecrets: false,
    });
    expect(loaded.components.get('analytics')?.backup?.map(({ what }) => what)).toEqual(['full', 'increment']);
  });
});
