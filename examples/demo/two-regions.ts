/**
 * Two regions on loopback, from real servers: 127.0.1.x is us-east-1, 127.0.2.x is us-west-2, 127.0.0.1 is the third place where the name server and the controller live.
 * Each region has PostgreSQL, Redis, the orders service and an sshd, through which Holdfast's hands reach its hosts; so a region that is killed takes its hands with it.
 *
 * Everything started here is stopped by `stop()`, and dies with this process even if it is killed, unless `outliveParent`.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningBind, startBind } from '../../test/systems/bind.ts';
import { type EtcdMember, type RunningEtcd, startEtcd } from '../../test/systems/etcd.ts';
import { freePort } from '../../test/systems/ports.ts';
import { cloneStandby, initPrimary, type RunningPostgres, startPostgres } from '../../test/systems/postgresql.ts';
import { type RunningRedis, startRedis } from '../../test/systems/redis.ts';
import { type Running, startServer } from '../../test/systems/server-process.ts';
import { type RunningSshd, startSshd } from '../../test/systems/sshd.ts';
import { removeDirectory, temporaryDirectory } from '../../test/systems/temporary-directory.ts';
import {
  addressPrefix,
  type ControllerRegion,
  controllerRegions,
  memberOf,
  nodeProgram,
  type OrdersPlace,
  prefixOf,
  type Region,
  type RegionName,
  regionNames,
  type TwoRegionsOptions,
} from './region.ts';
import { specText } from './two-regions-spec.ts';

export interface TwoRegions {
  readonly directory: string;
  readonly specFile: string;
  readonly stateDirectory: string;
  /** What the spec's secrets are read from. */
  readonly env: Readonly<Record<string, string>>;
  readonly regions: Readonly<Record<RegionName, Region>>;
  readonly dns: RunningBind | undefined;
  readonly recordName: string;
  readonly ordersPort: number;
  /** Of every server, its own and the whole's: whatever works inside them belongs to the demo. */
  readonly directories: readonly string[];
  /** SIGKILL to every process of the region at once. */
  kill(region: RegionName): Promise<void>;
  /** Power comes back: everything starts as it was configured, also the database that still thinks it is the primary. */
  revive(region: RegionName): Promise<void>;
  stop(): Promise<void>;
}

async function startDatabases(options: TwoRegionsOptions): Promise<[RunningPostgres, RunningPostgres]> {
  const outliveParent = options.outliveParent === true;
  const settings = { wal_level: 'replica', max_connections: 60, hot_standby_feedback: 'on' };
  const [east, west] = regionNames;
  const primary = await startPostgres(
    await initPrimary({ address: `${addressPrefix[east]}.10`, fsync: true, freshIdentity: true, settings, outliveParent }),
  );
  await primary.query('CREATE DATABASE orders');
  await primary.query('CREATE TABLE orders (number bigint PRIMARY KEY, placed_at timestamptz NOT NULL DEFAULT clock_timestamp())', {
    database: 'orders',
  });
  const standby = await startPostgres(
    await cloneStandby(primary, {
      address: `${addressPrefix[west]}.10`,
      fsync: true,
      settings,
      applicationName: memberOf(west),
      slot: memberOf(west),
      outliveParent,
    }),
  );
  if (options.replication !== 'asynchronous') {
    await primary.query(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${memberOf(west)})'`);
    await primary.query('SELECT pg_reload_conf()');
  }
  return [primary, standby];
}

/** One member in each region and one in the witness region. */
async function startStateServers(outliveParent: boolean): Promise<Map<ControllerRegion, RunningEtcd>> {
  const members: EtcdMember[] = [];
  for (const name of controllerRegions) {
    const address = `${prefixOf(name)}.12`;
    members.push({ name, address, clientPort: await freePort(address), peerPort: await freePort(address) });
  }
  const running = await Promise.all(
    controllerRegions.map(async (name) => [name, await startEtcd({ name, members, outliveParent })] as const),
  );
  await untilHealthy(running.map(([, each]) => each));
  return new Map(running);
}

/** A member listens before most of them have found each other. */
async function untilHealthy(members: readonly RunningEtcd[]): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (const each of members) {
    for (;;) {
      const health = await each.ctl('endpoint', 'health').catch((error: Error) => error.message);
      if (health.includes('is healthy')) break;
      if (performance.now() > deadline) throw new Error(`etcd: ${health}`);
    }
  }
}

async function startCaches(outliveParent: boolean, password: string): Promise<[RunningRedis, RunningRedis]> {
  const [east, west] = regionNames;
  const primary = await startRedis({ address: `${addressPrefix[east]}.11`, password, outliveParent });
  const replica = await startRedis({
    address: `${addressPrefix[west]}.11`,
    password,
    replicaOf: { address: primary.address, port: primary.port },
    outliveParent,
  });
  await primary.command('CONFIG', 'SET', 'min-replicas-to-write', '1', 'min-replicas-max-lag', '1');
  await primary.command('CONFIG', 'REWRITE');
  return [primary, replica];
}

/** The line by which Holdfast's process driver knows a program again: pid, start time, boot. */
async function writePidFile(file: string, pid: number): Promise<void> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  await writeFile(file, `${pid} ${ticks} ${boot}\n`);
}

async function startOrders(
  region: RegionName,
  place: OrdersPlace,
  secrets: Readonly<Record<string, string>>,
  outliveParent: boolean,
): Promise<Running> {
  const running = await startServer({
    name: `orders service in ${region}`,
    address: place.address,
    port: place.port,
    dir: place.directory,
    command: [nodeProgram, join(import.meta.dirname, 'orders-app.ts')],
    env: { ...place.env, ORDERS_DATABASE_PASSWORD: secrets.ORDERS_DB_PASSWORD as string },
    isReady: async () => (await fetch(`http://${place.address}:${place.port}/health`, { signal: AbortSignal.timeout(1_000) })).ok,
    outliveParent,
  });
  await writePidFile(join(place.directory, 'orders.pid'), running.pid);
  return running;
}

export async function startTwoRegions(options: TwoRegionsOptions = {}): Promise<TwoRegions> {
  const outliveParent = options.outliveParent === true;
  const directory = await temporaryDirectory('regions', { outliveParent });
  const started: Running[] = [];
  const stop = async (): Promise<void> => {
    for (const each of started.reverse()) await each.stop({ graceMs: 2_000 });
    await removeDirectory(directory);
  };
  const keep = <T extends Running>(running: T): T => {
    started.push(running);
    return running;
  };
  try {
    const sshds = (await Promise.all(regionNames.map((region) => startSshd({ address: `${addressPrefix[region]}.1`, outliveParent })))).map(
      keep,
    );
    const databases = (await startDatabases(options)).map(keep);
    const stateServers = options.fleet ? await startStateServers(outliveParent) : new Map<ControllerRegion, RunningEtcd>();
    for (const each of stateServers.values()) keep(each);
    const cachePassword = randomBytes(12).toString('hex');
    const caches = options.databaseOnly ? [] : (await startCaches(outliveParent, cachePassword)).map(keep);
    const ordersPort = await freePort('127.0.1.20');
    const recordName = 'orders.demo.test';
    const dns = options.databaseOnly
      ? undefined
      : keep(await startBind({ address: '127.0.0.1', zone: 'demo.test', records: ['orders 1 IN A 127.0.1.20'], outliveParent }));
    const env: Record<string, string> = {
      ORDERS_DB_PASSWORD: databases[0]?.passwords.holdfast as string,
      ORDERS_REPLICATION_PASSWORD: databases[0]?.passwords.replicator as string,
      ORDERS_CACHE_PASSWORD: cachePassword,
      ORDERS_DNS_KEY: dns?.key.secret ?? 'unused',
      ORDERS_BACKUP_PASSPHRASE: randomBytes(12).toString('hex'),
      ORDERS_APP_CACHE_URL_EAST: '',
      ORDERS_APP_CACHE_URL_WEST: '',
    };
    const regions = {} as Record<RegionName, Region>;
    const places = {} as Record<RegionName, OrdersPlace>;
    for (const [index, name] of regionNames.entries()) {
      const database = databases[index] as RunningPostgres;
      const cache = caches[index];
      const ordersDirectory = join(directory, name);
      await mkdir(ordersDirectory, { recursive: true });
      const cacheUrl = cache ? `redis://:${cachePassword}@${cache.address}:${cache.port}` : '';
      env[index === 0 ? 'ORDERS_APP_CACHE_URL_EAST' : 'ORDERS_APP_CACHE_URL_WEST'] = cacheUrl || 'unused';
      places[name] = {
        directory: ordersDirectory,
        address: `${addressPrefix[name]}.20`,
        port: ordersPort,
        env: {
          ORDERS_REGION: name,
          ORDERS_ADDRESS: `${addressPrefix[name]}.20`,
          ORDERS_PORT: String(ordersPort),
          ORDERS_DATABASE_URL: `postgresql://holdfast@${database.address}:${database.port}/orders`,
          ORDERS_CACHE_URL: cacheUrl,
        },
      };
      const orders = options.databaseOnly ? undefined : keep(await startOrders(name, places[name], env, outliveParent));
      regions[name] = { name, database, cache, orders, sshd: sshds[index] as RunningSshd, etcd: stateServers.get(name) };
    }
    const specFile = join(directory, 'holdfast.yaml');
    const salvageDirectory = join(directory, 'salvage');
    await mkdir(salvageDirectory);
    // As /var/tmp: each system user keeps its own there.
    await chmod(salvageDirectory, 0o1777);
    await writeFile(
      specFile,
      specText({
        options,
        regions,
        places,
        dns,
        recordName,
        salvageDirectory,
        repositoryDirectory: join(directory, 'repository'),
        endpoints: [...stateServers.values()].map(({ url }) => url),
      }),
    );
    return {
      directory,
      specFile,
      stateDirectory: join(directory, 'state'),
      env,
      regions,
      dns,
      recordName,
      ordersPort,
      directories: [...started.map((each) => each.dir), directory],
      kill: async (region) => {
        await Promise.all(runningOf(regions[region]).map((each) => each.kill()));
      },
      revive: async (name) => {
        const region = regions[name];
        for (const each of runningOf(region)) await each.start();
        if (region.etcd) await untilHealthy([region.etcd]);
        if (region.orders) await writePidFile(join(places[name].directory, 'orders.pid'), region.orders.pid);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function runningOf(region: Region): Running[] {
  return [region.etcd, region.database, region.cache, region.orders, region.sshd].filter((each) => each !== undefined);
}
