/**
 * Three regions as network namespaces: in each an etcd member and a checker client; in two a real PostgreSQL (a synchronous pair) with an sshd for hands; and the controllers.
 *
 * Everything started here is stopped by `stop()`, and dies with this process even if it is killed; the names of the namespaces are then swept by whoever starts next.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Namespace, type NetworkWorld, startNetworkWorld } from '../../systems/network-namespaces.ts';
import { cloneStandby, initPrimary, type RunningPostgres, startPostgres } from '../../systems/postgresql.ts';
import { readProcess, signalEach } from '../../systems/process-tree.ts';
import { findFaketime } from '../../systems/programs.ts';
import type { Running } from '../../systems/server-process.ts';
import { type RunningSshd, startSshd } from '../../systems/sshd.ts';
import { removeDirectory, temporaryDirectory } from '../../systems/temporary-directory.ts';
import { type Acknowledgement, type Checker, startChecker } from './checker.ts';
import { type CommandEnd, type Controller, type ControllerPlace, runCommand, startController } from './controller.ts';
import { type DataRegion, dataRegions, memberOf, type Pace, type RegionName, regionNames, specText } from './spec-text.ts';
import { type RegionEtcd, startEtcdMembers } from './state-servers.ts';

export interface WorldOptions {
  readonly pace?: Pace;
  /** `alone`: one controller in the witness region, with its state on its own disk. `fleet`: one in each region, with their state in etcd. */
  readonly controllers?: 'alone' | 'fleet';
  readonly delayMs?: number;
  /** How often each checker tries each site. */
  readonly writeEveryMs?: number;
  /** Controllers see the wall clock through libfaketime, so that it can be moved. */
  readonly movableClocks?: boolean;
}

export interface World {
  readonly options: Required<WorldOptions>;
  readonly directory: string;
  readonly network: NetworkWorld;
  readonly namespaces: Readonly<Record<RegionName, Namespace>>;
  readonly databases: Readonly<Record<DataRegion, RunningPostgres>>;
  readonly sshds: Readonly<Record<DataRegion, RunningSshd>>;
  readonly etcd: Readonly<Partial<Record<RegionName, RegionEtcd>>>;
  readonly controllers: ReadonlyMap<RegionName, Controller>;
  /** What all checkers were told since, oldest first. */
  acknowledgedSince(atMs: number): readonly Acknowledgement[];
  holdfast(words: readonly string[], from?: RegionName, timeoutMs?: number): Promise<CommandEnd>;
  /** SIGKILL to every process of the region at once, its clients left out: they are the world that looks at it. */
  killRegion(region: RegionName): Promise<void>;
  /** Power comes back where it was gone: whatever does not run is started as it was configured. What Holdfast has stopped elsewhere stays so. */
  revive(): Promise<void>;
  /** Moves the wall clock of a region's controller against the others. The steady clock stays. */
  skewClock(region: RegionName, seconds: number): Promise<void>;
  stop(): Promise<void>;
}

const network = '10.91.0.0/16';

async function startDatabases(
  namespaces: Readonly<Record<RegionName, Namespace>>,
  keep: <T extends Running>(running: T) => T,
): Promise<Record<DataRegion, RunningPostgres>> {
  const settings = {
    wal_level: 'replica',
    max_connections: 60,
    hot_standby_feedback: 'on',
    // A link that is silent is given up and tried anew, as one does between regions.
    wal_sender_timeout: '3s',
    wal_receiver_timeout: '3s',
    wal_receiver_status_interval: '500ms',
    tcp_user_timeout: '3s',
  };
  const placeOf = (region: DataRegion) => ({
    address: namespaces[region].address,
    port: 5432,
    networkPrefix: namespaces[region].commandPrefix,
    settings,
  });
  const access = [`host all all ${network} scram-sha-256`, `host replication all ${network} scram-sha-256`];
  const east = keep(await startPostgres(await initPrimary({ ...placeOf('east'), access })));
  await east.query('CREATE DATABASE orders');
  await east.query('CREATE TABLE orders (number bigint PRIMARY KEY)', { database: 'orders' });
  const standby = { ...placeOf('west'), applicationName: memberOf('west'), slot: memberOf('west') };
  const west = keep(await startPostgres(await cloneStandby(east, standby)));
  await east.query(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${memberOf('west')})'`);
  await east.query('SELECT pg_reload_conf()');
  return { east, west };
}

export async function startWorld(given: WorldOptions = {}): Promise<World> {
  const options = {
    pace: 'quick',
    controllers: 'alone',
    delayMs: 0,
    writeEveryMs: 20,
    movableClocks: false,
    ...given,
  } as Required<WorldOptions>;
  const directory = await temporaryDirectory('world');
  const links = await startNetworkWorld(regionNames, { delayMs: options.delayMs });
  const namespaces = Object.fromEntries(regionNames.map((name, index) => [name, links.namespaces[index] as Namespace])) as Record<
    RegionName,
    Namespace
  >;
  const started: Running[] = [];
  const keep = <T extends Running>(running: T): T => {
    started.push(running);
    return running;
  };
  const stop = async (): Promise<void> => {
    await links.heal();
    for (const each of started.reverse()) {
      each.resume();
      await each.stop({ graceMs: 1_000 });
    }
    await links.stop();
    await removeDirectory(directory);
  };
  try {
    const databases = await startDatabases(namespaces, keep);
    const sshds = {} as Record<DataRegion, RunningSshd>;
    for (const region of dataRegions) {
      const { address, commandPrefix } = namespaces[region];
      sshds[region] = keep(await startSshd({ address, port: 2222, networkPrefix: commandPrefix }));
    }
    const etcd: Partial<Record<RegionName, RegionEtcd>> = options.controllers === 'fleet' ? await startEtcdMembers(namespaces) : {};
    for (const each of Object.values(etcd)) keep(each.running);
    const places = await writePlaces(options, directory, namespaces, databases, sshds, etcd);
    const checkers = new Map<RegionName, Checker>();
    for (const [index, region] of regionNames.entries()) {
      const targets = dataRegions.map((name) => ({
        region: name,
        host: databases[name].address,
        port: databases[name].port,
        password: databases[name].passwords.holdfast,
      }));
      const checker = await startChecker(namespaces[region], {
        region,
        targets,
        everyMs: options.writeEveryMs,
        firstWriter: index * dataRegions.length,
      });
      keep(checker.running);
      checkers.set(region, checker);
    }
    const controllers = new Map<RegionName, Controller>();
    await Promise.all(
      [...places].map(async ([region, place]) => {
        const controller = await startController(place);
        keep(controller.running);
        controllers.set(region, controller);
      }),
    );
    return new BuiltWorld({ options, directory, network: links, namespaces, databases, sshds, etcd, controllers, checkers, places, stop });
  } catch (error) {
    await stop();
    throw error;
  }
}

async function writePlaces(
  options: Required<WorldOptions>,
  directory: string,
  namespaces: Readonly<Record<RegionName, Namespace>>,
  databases: Readonly<Record<DataRegion, RunningPostgres>>,
  sshds: Readonly<Record<DataRegion, RunningSshd>>,
  etcd: Readonly<Partial<Record<RegionName, RegionEtcd>>>,
): Promise<Map<RegionName, ControllerPlace>> {
  const salvageDirectory = join(directory, 'salvage');
  await mkdir(salvageDirectory);
  await chmod(salvageDirectory, 0o1777);
  const specFile = join(directory, 'holdfast.yaml');
  const fleet = options.controllers === 'fleet';
  const sections = fleet ? fleetSections(options.pace, Object.values(etcd)) : [];
  await writeFile(specFile, specText({ pace: options.pace, databases, sshds, salvageDirectory, sections }));
  const env = {
    ORDERS_DB_PASSWORD: databases.east.passwords.holdfast,
    ORDERS_REPLICATION_PASSWORD: databases.east.passwords.replicator,
    HOLDFAST_SPEC: specFile,
  };
  const places = new Map<RegionName, ControllerPlace>();
  for (const region of fleet ? regionNames : (['middle'] as const)) {
    places.set(region, {
      region,
      namespace: namespaces[region],
      env: {
        ...env,
        HOLDFAST_STATE: join(directory, `state-${region}`),
      },
      serveEnv: options.movableClocks ? await movableClock(directory, region) : {},
      serveArguments: fleet ? ['--region', region] : [],
    });
  }
  return places;
}

function fleetSections(pace: Pace, members: readonly RegionEtcd[]): string[] {
  const endpoints = members.map((each) => `"${each.url}"`).join(', ');
  const pacing: Readonly<Record<Pace, readonly string[]>> = {
    quick: ['controllers: { ttl: 3s, renew-every: 500ms }'],
    tuned: ['controllers: { ttl: 3s, renew-every: 500ms }'],
    defaults: [],
  };
  return [`state: { etcd: { endpoints: [${endpoints}] } }`, ...pacing[pace]];
}

const clockFileOf = (directory: string, region: RegionName): string => join(directory, `clock-${region}`);

async function movableClock(directory: string, region: RegionName): Promise<Record<string, string>> {
  const library = findFaketime();
  if (library === undefined) throw new Error('libfaketime is not installed: run "sh tools/bootstrap/bootstrap.sh --systems"');
  await writeFile(clockFileOf(directory, region), '+0\n');
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clockFileOf(directory, region),
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

interface WorldParts extends Omit<World, 'acknowledgedSince' | 'holdfast' | 'killRegion' | 'revive' | 'skewClock'> {
  readonly checkers: ReadonlyMap<RegionName, Checker>;
  readonly places: ReadonlyMap<RegionName, ControllerPlace>;
}

class BuiltWorld implements World {
  readonly options;
  readonly directory;
  readonly network;
  readonly namespaces;
  readonly databases;
  readonly sshds;
  readonly etcd;
  readonly controllers;
  readonly stop;
  readonly #checkers;
  readonly #places;
  readonly #dark = new Set<RegionName>();

  constructor(parts: WorldParts) {
    this.options = parts.options;
    this.directory = parts.directory;
    this.network = parts.network;
    this.namespaces = parts.namespaces;
    this.databases = parts.databases;
    this.sshds = parts.sshds;
    this.etcd = parts.etcd;
    this.controllers = parts.controllers;
    this.stop = parts.stop;
    this.#checkers = parts.checkers;
    this.#places = parts.places;
  }

  acknowledgedSince(atMs: number): readonly Acknowledgement[] {
    return [...this.#checkers.values()].flatMap((checker) => checker.since(atMs)).toSorted((left, right) => left.atMs - right.atMs);
  }

  async holdfast(words: readonly string[], from: RegionName = 'middle', timeoutMs?: number): Promise<CommandEnd> {
    return runCommand(this.#places.get(from) as ControllerPlace, words, timeoutMs);
  }

  async killRegion(region: RegionName): Promise<void> {
    this.#dark.add(region);
    const clients = new Set(this.#checkers.get(region)?.running.pids());
    const doomed = (await this.namespaces[region].pids()).filter((pid) => !clients.has(pid));
    signalEach(
      doomed.map(readProcess).filter((facts) => facts !== undefined),
      'SIGKILL',
    );
    for (const each of this.#runningIn(region)) await each.kill();
  }

  async revive(): Promise<void> {
    const regions = [...this.#dark];
    this.#dark.clear();
    // Together: a member of etcd serves only once others are there.
    await Promise.all(regions.map((region) => this.#reviveRegion(region)));
  }

  async #reviveRegion(region: RegionName): Promise<void> {
    for (const each of this.#runningIn(region)) if (each.pids().length === 0) await each.start();
  }

  async skewClock(region: RegionName, seconds: number): Promise<void> {
    await writeFile(clockFileOf(this.directory, region), `${seconds < 0 ? '' : '+'}${seconds}\n`);
  }

  #runningIn(region: RegionName): Running[] {
    const data = region === 'middle' ? [] : [this.sshds[region], this.databases[region]];
    return [this.etcd[region]?.running, ...data, this.controllers.get(region)?.running].filter((each) => each !== undefined);
  }
}
