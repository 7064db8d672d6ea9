/**
 * The world of one disaster: two regions with a PostgreSQL server and an application each, a DNS server in a third place, the state of the control plane, and the spec that tells
 * the controller of them. The drivers are the real ones, on the simulated systems that the conformance suites compare with real systems.
 */
import { Secret } from '../../src/base/secret.ts';
import type { DriverCatalog } from '../../src/contracts/driver.ts';
import { primaryKeys } from '../../src/control/primary/primary-records.ts';
import { driver as dnsDriver } from '../../src/drivers/dns-rfc2136/driver.ts';
import { FakeNameServers } from '../../src/drivers/dns-rfc2136/fake.ts';
import { makePostgresqlDriver, type Surroundings } from '../../src/drivers/postgresql/driver.ts';
import { FakePostgresql } from '../../src/drivers/postgresql/fake.ts';
import { FakeServer } from '../../src/drivers/postgresql/fake-server.ts';
import { parseStandbyNames } from '../../src/drivers/postgresql/synchronous.ts';
import { scriptName } from '../../src/drivers/process/detached-program.ts';
import { driver as processDriver } from '../../src/drivers/process/driver.ts';
import { FakeProcessHost } from '../../src/drivers/process/fake.ts';
import type { Clock, Host } from '../../src/host/host.ts';
import { fakeHost } from '../fakes/host.ts';
import { type MemoryState, memoryState } from '../fakes/memory-store.ts';
import type { Chance } from './chance.ts';
import { FleetState } from './fleet-store.ts';
import { Network, type Place } from './network.ts';
import type { StoreWeather } from './shaky-store.ts';
import { SimulatedMachine } from './simulated-machine.ts';
import type { VirtualTime } from './virtual-time.ts';

export const regions = ['east', 'west'] as const;
/** Those that have a controller, where there are three. */
export const controllerPlaces = ['east', 'west', 'witness'] as const;
export type Region = (typeof regions)[number] & Place;
export const otherRegion = (region: Region): Region => (region === 'east' ? 'west' : 'east');

export const secrets = {
  DB_PASSWORD: 'hunter2-of-the-database',
  DNS_KEY: Buffer.from('hunter2-of-the-name-server-0123456789').toString('base64'),
} as const;

const startMs = Date.UTC(2026, 0, 1);
const dnsServer = { host: '10.9.0.53', port: 53 };
const addresses: Readonly<Record<Region, string>> = { east: '192.0.2.1', west: '198.51.100.2' };
const pidFile = '/run/api.pid';

/** What the spec of a disaster says, drawn from its seed. */
export interface SpecDraw {
  /** 2: one controller outside of both regions. 3: a witness region too, and a controller in each. */
  readonly regions: 2 | 3;
  /** Whether the hands on the hosts of the databases are those of the controller beside them. */
  readonly localHands: boolean;
  readonly ttlMs: number;
  readonly renewEveryMs: number;
  readonly synchronous: boolean;
  readonly graceMs: number;
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly failures: number;
  readonly coolDownMs: number;
  readonly lossBudgetMs: number;
  readonly canaryEveryMs: number;
}

export function drawSpec(chance: Chance, regionCount: 2 | 3 = 2): SpecDraw {
  const synchronous = chance.happens(0.7);
  const ttlMs = chance.pick([3_000, 5_000, 12_000]);
  return {
    regions: regionCount,
    localHands: regionCount === 3 && chance.happens(0.7),
    ttlMs,
    renewEveryMs: chance.pick([500, 1_000]),
    synchronous,
    graceMs: chance.pick([1_000, 2_000, 4_000, 8_000]),
    everyMs: chance.pick(regionCount === 3 ? [1_000, 2_000] : [500, 1_000, 2_000]),
    timeoutMs: chance.pick([400, 1_000]),
    failures: chance.pick([2, 3]),
    coolDownMs: chance.pick([0, 10_000, 60_000, 3_600_000]),
    lossBudgetMs: synchronous ? 0 : chance.pick([1_000, 5_000, 60_000]),
    canaryEveryMs: chance.pick([500, 1_000]),
  };
}

const fleetTextOf = (
  draw: SpecDraw,
) => `state: { etcd: { endpoints: ["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"] } }
controllers: { ttl: ${draw.ttlMs}ms, renew-every: ${draw.renewEveryMs}ms }
`;

export function specTextOf(draw: SpecDraw): string {
  const sites = (line: (region: Region) => string) => regions.map((region) => `      ${region}: { ${line(region)} }`).join('\n');
  return `holdfast: v1
name: orders
objectives: { rto: 1m, rpo: 1m }
regions: { east: { role: active }, west: { role: standby }${draw.regions === 3 ? ', witness: { role: witness }' : ''} }
${draw.regions === 3 ? fleetTextOf(draw) : ''}components:
  orders-db:
    driver: postgresql
    vital: true
    replication: ${draw.synchronous ? 'synchronous' : 'asynchronous'}
    canary-every: ${draw.canaryEveryMs}ms
    sites:
${sites((region) => `url: "postgresql://holdfast@db.${region}:5432/orders", password: { env: DB_PASSWORD }, data-directory: /data, hands: ${draw.localHands ? 'local' : `{ ssh: { host: ${region} } }`}`)}
  api:
    driver: process
    vital: false
    needs: [orders-db]
    processes: { api: { program: [/opt/api], pid-file: ${pidFile} } }
    sites:
${sites((region) => `hands: { ssh: { host: ${region} } }`)}
  name:
    driver: dns-rfc2136
    needs: [api]
    zone: example.test
    record: api.example.test
    ttl: 30s
    server: "${dnsServer.host}:53"
    authorities: ["${dnsServer.host}:53"]
    key: { name: holdfast, secret: { env: DNS_KEY } }
    sites:
${sites((region) => `address: ${addresses[region]}`)}
watch: { every: ${draw.everyMs}ms, timeout: ${draw.timeoutMs}ms, failures: ${draw.failures} }
failover: { automatic: true, grace: ${draw.graceMs}ms, cool-down: ${draw.coolDownMs}ms, loss-budget: ${draw.lossBudgetMs}ms }
`;
}

export function catalogOf(surroundings: Surroundings): DriverCatalog {
  return new Map([makePostgresqlDriver(surroundings), processDriver, dnsDriver].map((driver) => [driver.name, driver]));
}

export const regionOfHost = (host: string): Region => (host.endsWith('west') ? 'west' : 'east');

export class SimulatedPlatform {
  readonly time: VirtualTime;
  readonly draw: SpecDraw;
  readonly specText: string;
  readonly network: Network;
  readonly state: MemoryState;
  readonly weather: StoreWeather;
  readonly postgresql: FakePostgresql;
  readonly servers: Readonly<Record<Region, FakeServer>>;
  readonly programs: Readonly<Record<Region, FakeProcessHost>>;
  readonly dns: FakeNameServers;
  readonly files: Host['files'];
  readonly secrets: Host['secrets'];
  /** Where there are three regions. */
  readonly fleet: FleetState | undefined;
  readonly machines: Readonly<Record<(typeof controllerPlaces)[number], SimulatedMachine>>;
  /** How far the wall clock of a machine is from the true one, and how fast its steady clock runs. */
  readonly skews: Readonly<Record<string, { offsetMs: number; readonly rate: number }>>;
  #wallOffsetMs = startMs;

  constructor(time: VirtualTime, chance: Chance, regionCount: 2 | 3 = 2) {
    this.time = time;
    this.draw = drawSpec(chance, regionCount);
    this.specText = specTextOf(this.draw);
    this.network = new Network(time, chance);
    this.state = memoryState(this.clock());
    this.weather = { errorShare: 0, pauseUntilMs: 0, usualMs: chance.pick([0, 0, 1, 10]) };
    this.fleet =
      regionCount === 3
        ? new FleetState({ time, network: this.network, state: this.state, weather: this.weather, chance, places: controllerPlaces })
        : undefined;
    this.machines = { east: new SimulatedMachine(), west: new SimulatedMachine(), witness: new SimulatedMachine() };
    const skewMs = chance.pick([0, 300, 30_000]);
    const drift = chance.pick([0, 0.001, 0.01]);
    const skew = () => ({ offsetMs: Math.round(chance.between(-skewMs, skewMs)), rate: chance.between(1 - drift, 1 + drift) });
    this.skews = regionCount === 3 ? { east: skew(), west: skew(), witness: skew() } : {};
    const host = fakeHost({ files: { 'holdfast.yaml': this.specText }, env: secrets });
    this.files = host.files;
    this.secrets = host.secrets;
    this.postgresql = new FakePostgresql({ ...host, clock: this.clock() });
    this.postgresql.areConnected = () => this.network.isReachable('servers', 'east', 'west');
    this.servers = this.#makePair();
    this.programs = { east: new FakeProcessHost(), west: new FakeProcessHost() };
    this.dns = new FakeNameServers({
      clock: this.clock(),
      primary: dnsServer,
      key: { name: 'holdfast', algorithm: 'hmac-sha256', secret: new Secret(secrets.DNS_KEY, 'env:DNS_KEY') },
      zone: {
        name: 'example.test',
        nameServers: ['ns1.example.test'],
        records: [{ name: 'api.example.test', type: 'A', ttlSeconds: 30, value: addresses.east }],
      },
    });
  }

  #makePair(): Record<Region, FakeServer> {
    const common = { port: 5_432, password: secrets.DB_PASSWORD, systemIdentifier: '7000000000000000001' };
    const east = this.postgresql.add(new FakeServer({ ...common, host: 'db.east' }));
    const west = this.postgresql.add(new FakeServer({ ...common, host: 'db.west', primary: { server: east, member: 'orders_db_west' } }));
    if (this.draw.synchronous) east.settings.synchronous_standby_names = 'ANY 1 (orders_db_west)';
    return { east, west };
  }

  wallMs = (): number => this.#wallOffsetMs + Math.floor(this.time.nowMs);

  jumpClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** What the clock on the wall of that machine shows. */
  wallMsAt(place: string): number {
    return this.wallMs() + (this.skews[place]?.offsetMs ?? 0);
  }

  /** The world's own clock: what no fault of a process touches. */
  clock(): Clock {
    const { time } = this;
    return {
      nowMs: this.wallMs,
      monotonicMs: () => time.nowMs,
      after: (durationMs, callback) => time.after(durationMs, callback),
      sleep: (durationMs, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const stop = () => {
            cancel();
            reject(signal?.reason);
          };
          const cancel = time.after(durationMs, () => {
            signal?.removeEventListener('abort', stop);
            resolve();
          });
          signal?.addEventListener('abort', stop, { once: true });
        }),
    };
  }

  regionOf(server: FakeServer): Region {
    return server === this.servers.east ? 'east' : 'west';
  }

  /** Whether the server would acknowledge a write, or will when it goes on after a hang. */
  canAcknowledge(server: FakeServer): boolean {
    if (!server.running || server.inRecovery || server.settings.default_transaction_read_only === 'on') return false;
    const { needed } = parseStandbyNames(server.settings.synchronous_standby_names);
    if (needed === 0) return true;
    return this.postgresql.followersOf(server).filter((each) => server.syncStateOf(each) === 'quorum').length >= needed;
  }

  /** Whether a database is started only under the lease of its region: where the end of that lease is what a promotion rests on. */
  get startsByLease(): boolean {
    return this.draw.localHands && !this.draw.synchronous;
  }

  /** The controller there holds the right of its region to acknowledge writes. What one that has died had left of it is nobody's: no guard would act at its end. */
  mayServe(region: Region): boolean {
    const lease = this.state.leaseNow(primaryKeys.lease(region));
    return lease?.held === true && this.fleet?.isAlive(lease.holder) !== false;
  }

  /** Somebody starts the region's application, whatever a plan has barred. */
  async startProgram(region: Region): Promise<void> {
    const args = ['-c', '', scriptName, 'start', pidFile, '1000000', '', '', '/opt/api'];
    await this.programs[region].run({ program: 'sh', args, timeoutMs: 1_000 });
  }

  killProgram(region: Region): void {
    this.programs[region].kill(pidFile);
  }

  programRuns(region: Region): boolean {
    return this.programs[region].running().includes(pidFile);
  }

  nameLeadsTo(): readonly Region[] {
    const text = this.dns.records(dnsServer, 'api.example.test').join();
    return regions.filter((region) => text.includes(addresses[region]));
  }
}
