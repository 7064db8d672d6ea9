/** Pairs of Redis servers for the conformance suite: real ones behind proxies that can swallow what passes, and simulated ones. */

import { readFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Secret } from '../../src/base/secret.ts';
import type { AnyDriver, Site } from '../../src/contracts/driver.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import { readDirective } from '../../src/drivers/redis/config-file.ts';
import { redisDriver } from '../../src/drivers/redis/driver.ts';
import { type FakeRedisServer, FakeRedisWorld } from '../../src/drivers/redis/fake.ts';
import { openHands } from '../../src/hands/open-hands.ts';
import type { Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { freePort } from '../systems/ports.ts';
import { findProgram } from '../systems/programs.ts';
import { type RunningRedis, startRedis } from '../systems/redis.ts';
import { runProgram } from '../systems/run-program.ts';
import type { DataStorePair, PairOptions, PairRegion, WriteOutcome } from './data-store.ts';

export const regions = ['east', 'west'] as const;
const password = 'pair-password';
export const maxLagSeconds = 2;

/** What the tests of Redis alone need beyond the common pair. */
export interface RedisPair extends DataStorePair {
  /** A raw command, as a person with redis-cli would give it; an error reply throws. */
  command(region: PairRegion, ...words: string[]): Promise<string>;
  /** The site by a way that no answer comes back on, while the server runs on. */
  openCutOff(region: PairRegion): Site;
  configText(region: PairRegion): Promise<string>;
  editConfig(region: PairRegion, name: string, value: string): Promise<void>;
}

export interface RedisPairOptions extends PairOptions {
  /** Default: 1 where replication is synchronous, else 0. */
  readonly minReplicas?: number;
}

interface Opening {
  readonly driver: AnyDriver;
  readonly host: Host;
  readonly options: RedisPairOptions;
  readonly hands: (region: PairRegion) => Hands;
  readonly sites: Readonly<Record<PairRegion, Readonly<Record<string, unknown>>>>;
}

function open(opening: Opening, region: PairRegion, changes: Readonly<Record<string, unknown>> = {}): Site {
  const { driver, options } = opening;
  const sites = new Map(
    regions.map((each) => [each, driver.siteOptions.parse({ ...opening.sites[each], ...(each === region ? changes : {}) })]),
  );
  const componentOptions = {
    'min-replicas-max-lag': `${maxLagSeconds}s`,
    ...(options.minReplicas === undefined ? {} : { 'min-replicas-to-write': options.minReplicas }),
  };
  return driver.open({
    host: opening.host,
    platform: 'test',
    component: 'cache',
    region,
    options: driver.componentOptions.parse(componentOptions),
    site: sites.get(region),
    sites,
    replication: options.replication,
    hands: options.hands ? opening.hands(region) : undefined,
    probeTimeoutMs: 500,
  });
}

const minReplicasOf = (options: RedisPairOptions) => options.minReplicas ?? (options.replication === 'synchronous' ? 1 : 0);

/** Passes a connection on, until it is told to swallow everything: both ends stay open and hear nothing. */
class SwallowingProxy {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly port: number;
  swallows = false;

  constructor(port: number, targetPort: number) {
    this.port = port;
    this.#server = createServer((near) => {
      const far = connect(targetPort, '127.0.0.1');
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (data) => {
          if (!this.swallows) to.write(data);
        });
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          if (!this.swallows) to.destroy();
        });
      }
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.port, '127.0.0.1', resolve));
  }

  /** What was swallowed is gone for good: the connections that lost it can only end. */
  mend(): void {
    this.swallows = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function eventually(what: string, holds: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!(await holds().catch(() => false))) {
    if (performance.now() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Ends the server also when it hangs; its process is told apart from a stranger's by its title. */
const stopScript =
  'pid=$(cat "$1") && grep -q "redis-server.*:$2" "/proc/$pid/cmdline" && kill -9 "$pid"; while grep -q "redis-server.*:$2" "/proc/$pid/cmdline" 2>/dev/null; do sleep 0.01; done';

export interface RealRedisPair extends RedisPair {
  /** The site with other options than it was given at the start; `user` logs in as that one. */
  openWith(region: PairRegion, changes: Readonly<Record<string, unknown>>, user?: string): Site;
}

export async function startRealPair(options: RedisPairOptions): Promise<RealRedisPair> {
  const host = nodeHost({ logTo: 'silent' });
  const servers = {} as Record<PairRegion, RunningRedis>;
  const proxies = {} as Record<PairRegion, SwallowingProxy>;
  const opened: Site[] = [];
  const silent: Server[] = [];
  const dispose = async () => {
    await Promise.all(opened.map((site) => site.close()));
    for (const server of silent) server.close();
    for (const proxy of Object.values(proxies)) proxy.close();
    await Promise.all(Object.values(servers).map((server) => server.stop({ graceMs: 500 })));
  };
  try {
    for (const region of regions) {
      const port = await freePort();
      proxies[region] = new SwallowingProxy(await freePort(), port);
      await proxies[region].listen();
      servers[region] = await startRedis({
        port,
        password,
        minReplicasToWrite: region === 'east' ? 0 : minReplicasOf(options),
        ...(region === 'west' ? { replicaOf: { address: '127.0.0.1', port: proxies.east.port } } : {}),
        config: { 'min-replicas-max-lag': String(maxLagSeconds), 'repl-timeout': '10', 'repl-ping-replica-period': '1' },
      });
    }
    await eventually('the standby streams', async () =>
      (await servers.west.command('INFO', 'replication')).includes('master_link_status:up'),
    );
    await servers.east.command('CONFIG', 'SET', 'min-replicas-to-write', String(minReplicasOf(options)));
    await servers.east.command('CONFIG', 'REWRITE');
  } catch (error) {
    await dispose();
    throw error;
  }
  const siteOf = (region: PairRegion) => ({
    url: `redis://127.0.0.1:${servers[region].port}`,
    'peer-address': `127.0.0.1:${proxies[region].port}`,
    password: new Secret(password, 'test'),
    'config-file': servers[region].configFile,
    start: ['setsid', '-f', findProgram('redis-server') ?? 'redis-server', servers[region].configFile],
    stop: ['sh', '-c', stopScript, 'stop', join(servers[region].dir, 'redis.pid'), String(servers[region].port)],
  });
  const opening: Opening = {
    driver: redisDriver(),
    host,
    options,
    hands: () => openHands({ kind: 'local' }, { host }),
    sites: { east: siteOf('east'), west: siteOf('west') },
  };
  const keep = (site: Site) => {
    opened.push(site);
    return site;
  };
  const offsetOf = async (region: PairRegion) =>
    Number(/master_repl_offset:(\d+)/.exec(await servers[region].command('INFO', 'replication'))?.[1]);
  return {
    host,
    openSite: (region) => keep(open(opening, region)),
    openWithWrongPassword: (region) => keep(open(opening, region, { password: new Secret('wrong', 'test') })),
    openSilent: async () => {
      const port = await freePort();
      const server = createServer(() => {});
      silent.push(server);
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      server.unref();
      return keep(open(opening, 'east', { url: `redis://127.0.0.1:${port}` }));
    },
    kill: (region) => servers[region].kill(),
    hang: (region) => servers[region].pause(),
    unhang: (region) => servers[region].resume(),
    boot: async (region) => {
      if (servers[region].pids().length === 0) await servers[region].start();
    },
    runs: (region) => servers[region].pids().length > 0,
    cutReplication: async () => {
      for (const region of regions) proxies[region].swallows = true;
      return async () => {
        for (const region of regions) proxies[region].mend();
      };
    },
    settle: async () => {
      const wanted = await offsetOf('east');
      await eventually('the standby has caught up', async () => (await offsetOf('west')) >= wanted);
    },
    write: (region, record, timeoutMs = 2_000) => writeWithCli(servers[region], record, timeoutMs),
    records: async (region) => sortedRecords((await servers[region].command('KEYS', 'record:*')).split('\n')),
    salvaged: async (files) =>
      recordsIn(await Promise.all(files.filter((file) => file.endsWith('.jsonl')).map((file) => readFile(file, 'utf8')))),
    salvageDirectory: async (region) => join(servers[region].dir, 'salvage'),
    promotions: async () => undefined,
    dispose,
    openWith: (region, changes, user) => {
      const at = `127.0.0.1:${servers[region].port}`;
      return keep(open(opening, region, { ...changes, ...(user === undefined ? {} : { url: `redis://${user}@${at}` }) }));
    },
    openCutOff: (region) => keep(open(opening, region, { url: `redis://127.0.0.1:${proxies[region].port}` })),
    command: (region, ...words) => servers[region].command(...words),
    configText: (region) => readFile(servers[region].configFile, 'utf8'),
    editConfig: async (region, name, value) => {
      await servers[region].command('CONFIG', 'SET', name, value);
      await servers[region].command('CONFIG', 'REWRITE');
    },
  };
}

async function writeWithCli(server: RunningRedis, record: string, timeoutMs: number): Promise<WriteOutcome> {
  const words = ['redis-cli', '-e', '-h', server.address, '-p', String(server.port), 'SET', `record:${record}`, record];
  try {
    await runProgram(words, { env: { REDISCLI_AUTH: password }, timeoutMs });
    return 'acknowledged';
  } catch (error) {
    return /refused|READONLY|NOREPLICAS|MISCONF/i.test(String((error as Error).message)) ? 'refused' : 'silent';
  }
}

const sortedRecords = (keys: readonly string[]) =>
  keys
    .filter((key) => key.startsWith('record:'))
    .map((key) => key.slice('record:'.length))
    .sort();

function recordsIn(texts: readonly string[]): readonly string[] {
  const lines = texts.flatMap((text) => text.split('\n').filter(Boolean));
  return sortedRecords(lines.map((line) => String((JSON.parse(line) as { key: unknown }).key)));
}

const fakePorts: Readonly<Record<PairRegion, number>> = { east: 6_401, west: 6_402 };

export async function startFakePair(options: RedisPairOptions): Promise<RedisPair> {
  const host = nodeHost({ logTo: 'silent' });
  const world = new FakeRedisWorld(host.clock);
  const common = `requirepass ${password}\nmasterauth ${password}\nappendonly yes\nmin-replicas-max-lag ${maxLagSeconds}\nmin-replicas-to-write ${minReplicasOf(options)}\n`;
  const servers: Record<PairRegion, FakeRedisServer> = {
    east: world.addServer({ host: 'east', port: fakePorts.east, configFile: '/etc/east.conf', config: common }),
    west: world.addServer({
      host: 'west',
      port: fakePorts.west,
      configFile: '/etc/west.conf',
      config: `${common}replicaof east ${fakePorts.east}\n`,
    }),
  };
  const start = ['start-redis'];
  const stop = ['stop-redis'];
  const siteOf = (region: PairRegion) => ({
    url: `redis://${region}:${fakePorts[region]}`,
    password: new Secret(password, 'test'),
    'config-file': servers[region].configFile,
    start,
    stop,
  });
  const opening: Opening = {
    driver: redisDriver(() => world.port()),
    host,
    options,
    hands: (region) => world.hands(servers[region], { start, stop }),
    sites: { east: siteOf('east'), west: siteOf('west') },
  };
  const execute = (region: PairRegion, ...words: string[]) => {
    world.settle();
    return servers[region].execute(words, { database: 0 });
  };
  const sites: Site[] = [];
  const keep = (site: Site) => {
    sites.push(site);
    return site;
  };
  return {
    host,
    openSite: (region) => keep(open(opening, region)),
    openWithWrongPassword: (region) => keep(open(opening, region, { password: new Secret('wrong', 'test') })),
    openSilent: async () => {
      const server = world.addServer({ host: 'silent', port: 1, configFile: '', config: common });
      server.hang();
      return keep(open(opening, 'east', { url: 'redis://silent:1' }));
    },
    kill: async (region) => servers[region].kill(),
    hang: (region) => servers[region].hang(),
    unhang: (region) => servers[region].unhang(),
    boot: async (region) => servers[region].start(),
    runs: (region) => servers[region].state !== 'stopped',
    cutReplication: async () => {
      world.cut(servers.east, servers.west);
      return async () => world.mend(servers.east, servers.west);
    },
    settle: async () => world.settle(),
    write: async (region, record) => {
      if (servers[region].state !== 'running') return servers[region].state === 'hung' ? 'silent' : 'refused';
      try {
        execute(region, 'SET', `record:${record}`, record);
        return 'acknowledged';
      } catch {
        return 'refused';
      }
    },
    records: async (region) => sortedRecords([...(servers[region].data.get(0)?.keys() ?? [])]),
    salvaged: async (files) => recordsIn(files.filter((file) => file.endsWith('.jsonl')).map((file) => world.files.get(file) ?? '')),
    salvageDirectory: async (region) => `/salvage/${region}`,
    promotions: async () => undefined,
    dispose: async () => {
      await Promise.all(sites.map((site) => site.close()));
    },
    openCutOff: (region) => {
      world.silence(servers[region]);
      return keep(open(opening, region));
    },
    command: async (region, ...words) => String(execute(region, ...words)),
    configText: async (region) => world.files.get(servers[region].configFile) ?? '',
    editConfig: async (region, name, value) => {
      execute(region, 'CONFIG', 'SET', name, value);
      execute(region, 'CONFIG', 'REWRITE');
    },
  };
}

export async function directive(pair: RedisPair, region: PairRegion, name: string): Promise<string | undefined> {
  return readDirective(await pair.configText(region), name);
}
