/** Simulated PostgreSQL pairs for the data store suite. */
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import { makePostgresqlDriver } from '../../src/drivers/postgresql/driver.ts';
import { FakePostgresql } from '../../src/drivers/postgresql/fake.ts';
import { FakeServer } from '../../src/drivers/postgresql/fake-server.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import type { DataStoreHarness, DataStorePair, PairOptions, PairRegion, WriteOutcome } from './data-store.ts';

const host = nodeHost({ logTo: 'silent' });
const ports: Record<PairRegion | 'silent', number> = { east: 1, west: 2, silent: 3 };
const password = 'right';

export const fakePostgresqlHarness: DataStoreHarness = {
  name: 'PostgreSQL (simulated)',
  traits: {
    synchronous: true,
    keepsEpoch: true,
    salvageListsRecords: true,
    verbs: ['fence', 'freeze', 'thaw', 'await-position', 'promote', 'follow', 'protect', 'salvage'],
  },
  start: async (options) => new FakePair(options),
};

const hands: Hands = {
  name: 'simulated',
  run: async () => {
    throw new Error('the simulated machine needs no commands');
  },
  check: async () => undefined,
  close: async () => undefined,
};

class FakePair implements DataStorePair {
  readonly host = host;
  readonly #world = new FakePostgresql(host);
  readonly #driver = makePostgresqlDriver(this.#world.surroundings);
  readonly #servers: Record<PairRegion, FakeServer>;
  readonly #options: PairOptions;
  readonly #sites: Site[] = [];

  constructor(options: PairOptions) {
    this.#options = options;
    const common = { host: 'fake', password, systemIdentifier: '7000000000000000001' };
    const east = this.#world.add(new FakeServer({ ...common, port: ports.east }));
    const west = this.#world.add(new FakeServer({ ...common, port: ports.west, primary: { server: east, member: 'orders_west' } }));
    if (options.replication === 'synchronous') east.settings.synchronous_standby_names = 'ANY 1 (orders_west)';
    this.#servers = { east, west };
  }

  #open(region: PairRegion, port: number, secret = password): Site {
    const siteOn = (each: number, word: string) =>
      this.#driver.siteOptions.parse({ url: `postgresql://holdfast@fake:${each}/postgres`, password: new Secret(word, 'test') });
    const sites = new Map<string, unknown>([
      ['east', siteOn(ports.east, password)],
      ['west', siteOn(ports.west, password)],
    ]);
    sites.set(region, siteOn(port, secret));
    const site = this.#driver.open({
      host,
      platform: 'test',
      component: 'orders',
      region,
      options: this.#driver.componentOptions.parse({}),
      site: sites.get(region),
      sites,
      replication: this.#options.replication,
      hands: this.#options.hands ? hands : undefined,
      probeTimeoutMs: 300,
    });
    this.#sites.push(site);
    return site;
  }

  openSite(region: PairRegion): Site {
    return this.#open(region, ports[region]);
  }

  openWithWrongPassword(region: PairRegion): Site {
    return this.#open(region, ports[region], 'wrong');
  }

  async openSilent(): Promise<Site> {
    const silent = this.#world.add(new FakeServer({ host: 'fake', port: ports.silent, password, systemIdentifier: '1' }));
    silent.hung = true;
    return this.#open('east', ports.silent);
  }

  async kill(region: PairRegion): Promise<void> {
    this.#servers[region].kill();
    this.#world.flow();
  }

  hang(region: PairRegion): void {
    this.#servers[region].hung = true;
    this.#world.flow();
  }

  unhang(region: PairRegion): void {
    this.#servers[region].hung = false;
    this.#world.flow();
  }

  async boot(region: PairRegion): Promise<void> {
    this.#servers[region].start();
    this.#world.flow();
  }

  runs(region: PairRegion): boolean {
    return this.#servers[region].running;
  }

  async cutReplication(): Promise<() => Promise<void>> {
    const { settings } = this.#servers.west;
    const before = settings.primary_conninfo;
    settings.primary_conninfo = "host='nowhere' port='1'";
    this.#world.flow();
    return async () => {
      this.#servers.west.settings.primary_conninfo = before;
      this.#world.flow();
    };
  }

  async settle(): Promise<void> {
    this.#world.flow();
  }

  async write(region: PairRegion, record: string, timeoutMs = 5_000): Promise<WriteOutcome> {
    const server = this.#servers[region];
    if (!server.running) return 'refused';
    const limit = { timeoutMs, signal: new AbortController().signal };
    try {
      await this.#world.commit(server, { kind: 'record', record }, limit);
      return 'acknowledged';
    } catch (error) {
      return (error as { code?: string }).code === 'SYSTEM_OUTCOME_UNKNOWN' ? 'silent' : 'refused';
    }
  }

  async records(region: PairRegion): Promise<readonly string[]> {
    return this.#servers[region].records();
  }

  async salvaged(files: readonly string[]): Promise<readonly string[]> {
    const text = files.map((file) => this.#world.files.get(file) ?? '').join('');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { row: { record: string } }).row.record)
      .sort();
  }

  async salvageDirectory(): Promise<string> {
    return '/fake/salvage';
  }

  async promotions(region: PairRegion): Promise<number | undefined> {
    return this.#servers[region].timeline;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#sites.map((site) => site.close()));
  }
}
