/**
 * Patroni with etcd in the same three regions: a manager and a synchronous PostgreSQL in two, an etcd member in each, the same clients. Patroni comes from Debian's package, which only
 * this benchmark asks for.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Acknowledgement, startChecker } from '../../test/end-to-end/partitions/checker.ts';
import { dataRegions, type RegionName, regionNames } from '../../test/end-to-end/partitions/spec-text.ts';
import { etcdClientPort, startEtcdMembers } from '../../test/end-to-end/partitions/state-servers.ts';
import { type Namespace, startNetworkWorld } from '../../test/systems/network-namespaces.ts';
import { findClusterOwner, giveToOwner } from '../../test/systems/postgresql-template.ts';
import { findPostgresqlPrograms, findProgram } from '../../test/systems/programs.ts';
import { runProgram } from '../../test/systems/run-program.ts';
import { type Running, startServer } from '../../test/systems/server-process.ts';
import { temporaryDirectory } from '../../test/systems/temporary-directory.ts';

export interface PatroniSettings {
  readonly ttl: number;
  readonly loop_wait: number;
  readonly retry_timeout: number;
}

export interface PatroniRegions {
  /** The region whose site takes writes. */
  readonly active: RegionName;
  acknowledgedSince(atMs: number): readonly Acknowledgement[];
  /** Nothing goes in or out of the region any more. */
  silence(region: RegionName): Promise<void>;
  stop(): Promise<void>;
}

const restPort = 8008;
const postgresPort = 5432;

export async function ensurePatroni(say: (line: string) => void): Promise<string> {
  const found = findProgram('patroni');
  if (found !== undefined) return found;
  say('installing the Debian package patroni …');
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=120', 'install', '--no-install-recommends', 'patroni'];
  await runProgram(install, { env, timeoutMs: 300_000 });
  const installed = findProgram('patroni');
  if (installed === undefined) throw new Error('the Debian package patroni brought no program patroni');
  return installed;
}

interface Parts {
  readonly program: string;
  readonly settings: PatroniSettings;
  readonly region: RegionName;
  readonly namespace: Namespace;
  readonly etcdHosts: readonly string[];
  readonly passwords: { readonly holdfast: string; readonly replicator: string };
}

/** JSON is YAML: nothing of Patroni's own words has to be quoted by hand. */
function configuration(parts: Parts, dir: string, binDirectory: string): string {
  const { settings, region, namespace, etcdHosts, passwords } = parts;
  const access = ['local all all trust', 'host all all 10.91.0.0/16 scram-sha-256', 'host replication all 10.91.0.0/16 scram-sha-256'];
  const timings = { wal_sender_timeout: '3s', wal_receiver_timeout: '3s', tcp_user_timeout: '3s', wal_receiver_status_interval: '500ms' };
  return JSON.stringify({
    scope: 'orders',
    name: region,
    restapi: { listen: `${namespace.address}:${restPort}`, connect_address: `${namespace.address}:${restPort}` },
    etcd3: { hosts: etcdHosts },
    bootstrap: {
      dcs: {
        ...settings,
        synchronous_mode: true,
        postgresql: { use_pg_rewind: true, parameters: { ...timings, max_connections: 60, shared_buffers: '32MB', fsync: 'off' } },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C.UTF-8' }],
      pg_hba: access,
    },
    postgresql: {
      listen: `${namespace.address}:${postgresPort}`,
      connect_address: `${namespace.address}:${postgresPort}`,
      data_dir: join(dir, 'data'),
      bin_dir: binDirectory,
      pgpass: join(dir, 'pgpass'),
      pg_hba: access,
      parameters: { unix_socket_directories: dir, password_encryption: 'scram-sha-256' },
      authentication: {
        superuser: { username: 'holdfast', password: passwords.holdfast },
        replication: { username: 'replicator', password: passwords.replicator },
      },
    },
  });
}

async function startPatroni(parts: Parts): Promise<Running> {
  const dir = await temporaryDirectory(`patroni-${parts.region}`);
  const owner = await findClusterOwner();
  const programs = findPostgresqlPrograms();
  if (programs === undefined) throw new Error('PostgreSQL is not installed');
  const file = join(dir, 'patroni.yaml');
  await writeFile(file, configuration(parts, dir, programs.directory), { mode: 0o600 });
  await giveToOwner(dir, owner);
  return startServer({
    name: `patroni in ${parts.region}`,
    address: parts.namespace.address,
    port: postgresPort,
    dir,
    command: [...parts.namespace.commandPrefix, ...owner.commandPrefix, parts.program, file],
    env: { HOME: dir },
    readyTimeoutMs: 120_000,
    isReady: async () => (await askState(parts.namespace)) === 'running',
  });
}

/** What Patroni says of its PostgreSQL: `running` once it takes connections. */
async function askState(namespace: Namespace): Promise<string | undefined> {
  const code = `import urllib.request,json;print(json.load(urllib.request.urlopen("http://${namespace.address}:${restPort}/patroni",timeout=2)).get("state"))`;
  const { stdout, exitCode } = await runProgram([...namespace.commandPrefix, '/usr/bin/python3', '-I', '-c', code], { anyExit: true });
  return exitCode === 0 ? stdout.trim() : undefined;
}

export async function startPatroniRegions(program: string, settings: PatroniSettings, delayMs: number): Promise<PatroniRegions> {
  const network = await startNetworkWorld(regionNames, { delayMs });
  const namespaces = Object.fromEntries(regionNames.map((name, index) => [name, network.namespaces[index]])) as Record<
    RegionName,
    Namespace
  >;
  const started: Running[] = [];
  const stop = async (): Promise<void> => {
    await network.heal();
    for (const each of started.reverse()) await each.stop({ graceMs: 1_000 });
    await network.stop();
  };
  try {
    const etcd = await startEtcdMembers(namespaces);
    started.push(...Object.values(etcd).map((each) => each.running));
    const passwords = { holdfast: randomBytes(12).toString('hex'), replicator: randomBytes(12).toString('hex') };
    for (const region of dataRegions) {
      const others = regionNames.filter((name) => name !== region);
      const etcdHosts = [region, ...others].map((name) => `${namespaces[name].address}:${etcdClientPort}`);
      started.push(await startPatroni({ program, settings, region, namespace: namespaces[region], etcdHosts, passwords }));
    }
    const active = 'east';
    await makeTable(namespaces[active], passwords.holdfast);
    const checkers = await Promise.all(
      regionNames.map((region, index) => {
        const targets = dataRegions.map((name) => ({
          region: name,
          host: namespaces[name].address,
          port: postgresPort,
          password: passwords.holdfast,
        }));
        return startChecker(namespaces[region], { region, targets, everyMs: 20, firstWriter: index * dataRegions.length });
      }),
    );
    started.push(...checkers.map((each) => each.running));
    await waitForSynchronous(namespaces[active], passwords.holdfast);
    return {
      active,
      acknowledgedSince: (atMs) => checkers.flatMap((each) => each.since(atMs)).toSorted((left, right) => left.atMs - right.atMs),
      silence: (region) => {
        const network24 = namespaces[region].address.replace(/\.\d+$/, '.0/24');
        return network.cut([{ at: 'router', matches: [`ip saddr ${network24}`, `ip daddr ${network24}`] }]);
      },
      stop,
    };
  } catch (error) {
    const logs = started.map((each) => `${each.name}: ${each.logs().slice(-1_500)}`).join('\n');
    await stop();
    throw new Error(`${(error as Error).message}\n${logs}`);
  }
}

function psql(namespace: Namespace, password: string, database: string, sql: string): Promise<string> {
  const command = [
    'psql',
    '-X',
    '-A',
    '-t',
    '-h',
    namespace.address,
    '-p',
    String(postgresPort),
    '-U',
    'holdfast',
    '-d',
    database,
    '-c',
    sql,
  ];
  return runProgram([...namespace.commandPrefix, ...command], { env: { PGPASSWORD: password } }).then(({ stdout }) => stdout.trim());
}

async function makeTable(namespace: Namespace, password: string): Promise<void> {
  await psql(namespace, password, 'postgres', 'CREATE DATABASE orders');
  await psql(namespace, password, 'orders', 'CREATE TABLE orders (number bigint PRIMARY KEY)');
}

async function waitForSynchronous(namespace: Namespace, password: string): Promise<void> {
  const deadline = performance.now() + 90_000;
  for (;;) {
    if ((await psql(namespace, password, 'postgres', "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")) === '1') return;
    if (performance.now() > deadline) throw new Error('Patroni made no standby synchronous in 90 s');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
