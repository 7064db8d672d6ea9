/** Real PostgreSQL pairs for the data store suite. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import { driver } from '../../src/drivers/postgresql/driver.ts';
import { openHands } from '../../src/hands/open-hands.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { cloneStandby, type RunningPostgres, startPostgres, startPrimary } from '../systems/postgresql.ts';
import type { DataStoreHarness, DataStorePair, PairOptions, PairRegion, WriteOutcome } from './data-store.ts';

const host = nodeHost({ logTo: process.env.HOLDFAST_TEST_LOG ?? 'silent' });
const component = 'orders';

export function postgresqlHarness(version: number): DataStoreHarness {
  return {
    name: `PostgreSQL ${version}`,
    traits: {
      synchronous: true,
      keepsEpoch: true,
      salvageListsRecords: true,
      verbs: ['fence', 'freeze', 'thaw', 'await-position', 'promote', 'follow', 'protect', 'salvage'],
    },
    proves: {
      healthy: ['S5-15'],
      'dead-link': ['S5-15'],
      killed: ['S5-21'],
      hung: ['S5-21'],
      silent: ['S5-21'],
      'fence-dead': ['E5-04'],
      promote: ['S5-22', 'E5-04'],
      'promote-crash': ['S5-22'],
      return: ['S5-37', 'E5-04'],
      switchover: ['S5-37'],
    },
    start: (options) => startPostgresqlPair(version, options),
  };
}

/** Hands of the system user that owns the clusters. */
function ownersHands({ owner }: RunningPostgres): Hands {
  return openHands({ kind: 'local', ...(owner === undefined ? {} : { as: owner }) }, { host });
}

export interface PostgresqlPairOptions extends PairOptions {
  /** More settings, for both servers. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
}

/** Differences from the site as the spec would have it. */
export interface SiteChange {
  readonly password?: string;
  readonly port?: number;
  readonly dataDirectory?: string;
  readonly hands?: Hands;
}

export async function startPostgresqlPair(version: number, options: PostgresqlPairOptions): Promise<PostgresqlPair> {
  const servers: RunningPostgres[] = [];
  try {
    const settings = options.settings ?? {};
    const primary = await startPrimary({ version, settings });
    servers.push(primary);
    await primary.query('CREATE TABLE records (record text PRIMARY KEY)');
    servers.push(await startPostgres(await cloneStandby(primary, { applicationName: `${component}_west`, settings })));
    const pair = new PostgresqlPair(servers, options);
    await pair.connectStandby();
    if (options.replication === 'synchronous') await pair.protect();
    await pair.settle();
    return pair;
  } catch (error) {
    for (const server of servers.reverse()) await server.stop();
    throw error;
  }
}

export class PostgresqlPair implements DataStorePair {
  readonly host = host;
  readonly #servers: Record<PairRegion, RunningPostgres>;
  readonly #options: PairOptions;
  readonly #sites: Site[] = [];
  readonly #silent: { server: Server; sockets: Set<Socket> }[] = [];

  constructor(servers: readonly RunningPostgres[], options: PairOptions) {
    const [east, west] = servers;
    if (!east || !west) throw new Error('a pair needs two servers');
    this.#servers = { east, west };
    this.#options = options;
  }

  #siteOptions(region: PairRegion, change: SiteChange = {}) {
    const server = this.#servers[region];
    return driver.siteOptions.parse({
      url: `postgresql://holdfast@${server.address}:${change.port ?? server.port}/postgres`,
      password: new Secret(change.password ?? server.passwords.holdfast, 'test'),
      replication: { user: 'replicator', password: new Secret(server.passwords.replicator, 'test') },
      'data-directory': change.dataDirectory ?? server.dataDirectory,
      'bin-directory': server.binDirectory,
    });
  }

  open(region: PairRegion, change: SiteChange = {}): Site {
    const sites = new Map<string, unknown>([
      ['east', this.#siteOptions('east')],
      ['west', this.#siteOptions('west')],
    ]);
    sites.set(region, this.#siteOptions(region, change));
    const site = driver.open({
      host,
      platform: 'test',
      component,
      region,
      options: driver.componentOptions.parse({}),
      site: sites.get(region),
      sites,
      replication: this.#options.replication,
      hands: change.hands ?? (this.#options.hands ? this.handsOf(region) : undefined),
      probeTimeoutMs: 1_000,
    });
    this.#sites.push(site);
    return site;
  }

  server(region: PairRegion): RunningPostgres {
    return this.#servers[region];
  }

  handsOf(region: PairRegion): Hands {
    return ownersHands(this.#servers[region]);
  }

  openSite(region: PairRegion): Site {
    return this.open(region);
  }

  openWithWrongPassword(region: PairRegion): Site {
    return this.open(region, { password: 'wrong' });
  }

  async openSilent(): Promise<Site> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#silent.push({ server, sockets });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return this.open('east', { port: address.port });
  }

  /** pg_basebackup writes words for its own libpq, which the server does not understand where another version of it is loaded. */
  async connectStandby(): Promise<void> {
    const { east, west } = this.#servers;
    const conninfo = `host=${east.address} port=${east.port} user=replicator password=${east.passwords.replicator} application_name=${component}_west`;
    await west.query(`ALTER SYSTEM SET primary_conninfo = '${conninfo}'`);
    await west.query('SELECT pg_reload_conf()');
    await this.#until(async () => (await east.query(`SELECT FROM pg_stat_replication WHERE state = 'streaming'`)).length === 1);
  }

  async protect(): Promise<void> {
    const { east } = this.#servers;
    await east.query(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${component}_west)'`);
    await east.query('SELECT pg_reload_conf()');
    await this.#until(async () => (await east.query('SELECT sync_state FROM pg_stat_replication'))[0]?.sync_state === 'quorum');
  }

  async #until(check: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; !(await check()); tries += 1) {
      if (tries > 1_000) throw new Error('the pair does not get where the test needs it');
      await host.clock.sleep(10);
    }
  }

  kill(region: PairRegion): Promise<void> {
    return this.#servers[region].kill();
  }

  hang(region: PairRegion): void {
    this.#servers[region].pause();
  }

  unhang(region: PairRegion): void {
    this.#servers[region].resume();
  }

  async boot(region: PairRegion): Promise<void> {
    await this.#servers[region].start();
  }

  runs(region: PairRegion): boolean {
    return this.#servers[region].pids().length > 0;
  }

  async cutReplication(): Promise<() => Promise<void>> {
    const { west } = this.#servers;
    const conninfo = String((await west.query('SHOW primary_conninfo'))[0]?.primary_conninfo);
    const set = async (value: string) => {
      await west.query(`ALTER SYSTEM SET primary_conninfo = '${value.replaceAll("'", "''")}'`);
      await west.query('SELECT pg_reload_conf()');
    };
    await set('host=127.0.0.1 port=1');
    await this.#until(async () => (await this.#servers.east.query('SELECT FROM pg_stat_replication')).length === 0);
    return () => set(conninfo);
  }

  async settle(): Promise<void> {
    const { east, west } = this.#servers;
    const [row] = await east.query('SELECT pg_current_wal_lsn()::text AS lsn');
    await this.#until(
      async () => (await west.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there', { values: [row?.lsn] }))[0]?.there === true,
    );
  }

  async write(region: PairRegion, record: string, timeoutMs = 5_000): Promise<WriteOutcome> {
    const server = this.#servers[region];
    const client = new pg.Client({ connectionString: server.url(), connectionTimeoutMillis: timeoutMs });
    client.on('error', () => undefined);
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<'silent'>((resolve) => {
      timer = setTimeout(() => resolve('silent'), timeoutMs);
    });
    const writing = (async (): Promise<WriteOutcome> => {
      try {
        await client.connect();
        await client.query('INSERT INTO records VALUES ($1)', [record]);
        return 'acknowledged';
      } catch {
        return 'refused';
      }
    })();
    const outcome = await Promise.race([writing, silence]);
    clearTimeout(timer);
    (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    return outcome;
  }

  async records(region: PairRegion): Promise<readonly string[]> {
    const rows = await this.#servers[region].query('SELECT record FROM records ORDER BY record COLLATE "C"');
    return rows.map((row) => String(row.record));
  }

  async salvaged(files: readonly string[]): Promise<readonly string[]> {
    const file = files.find((each) => each.endsWith('.jsonl'));
    if (file === undefined) return [];
    const lines = (await readFile(file, 'utf8')).split('\n').filter(Boolean);
    return lines.map((line) => (JSON.parse(line) as { row: { record: string } }).row.record).sort();
  }

  async salvageDirectory(region: PairRegion): Promise<string> {
    return join(this.#servers[region].dir, 'salvage');
  }

  async promotions(region: PairRegion): Promise<number | undefined> {
    const [row] = await this.#servers[region].query(
      `SELECT CASE WHEN pg_is_in_recovery() THEN (pg_control_checkpoint()).timeline_id
         ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline`,
    );
    return Number(row?.timeline);
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#sites.map((site) => site.close()));
    for (const { server, sockets } of this.#silent) {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
    await Promise.all(Object.values(this.#servers).map((server) => server.stop({ graceMs: 200 })));
  }
}
