/** The demo's spec: what a user would write about these two regions. */
import { join } from 'node:path';
import type { RunningBind } from '../../test/systems/bind.ts';
import {
  memberOf,
  nodeProgram,
  type OrdersPlace,
  type Region,
  type RegionName,
  regionNames,
  type TwoRegionsOptions,
  witnessName,
} from './region.ts';

interface SpecParts {
  readonly options: TwoRegionsOptions;
  readonly regions: Readonly<Record<RegionName, Region>>;
  readonly places: Readonly<Record<RegionName, OrdersPlace>>;
  readonly dns: RunningBind | undefined;
  readonly recordName: string;
  readonly salvageDirectory: string;
  /** Where backups go, with `options.backups`. */
  readonly repositoryDirectory: string;
  /** Addresses of etcd's members, with `options.fleet`. */
  readonly endpoints: readonly string[];
}

function handsOf({ sshd }: Pick<Region, 'sshd'>, as: string | undefined): string {
  return `{ ssh: { host: ${sshd.host}, port: ${sshd.port}, user: ${sshd.user}, identity: ${sshd.identityFile}, known-hosts: ${sshd.knownHostsFile}${as ? `, as: ${as}` : ''} } }`;
}

/** The lines of a site of `orders-db`, reached by its url and by ssh. */
export function databaseSite(name: string, member: string, { database, sshd }: Pick<Region, 'database' | 'sshd'>): string[] {
  return [
    `      ${name}:`,
    `        url: "postgresql://holdfast@${database.address}:${database.port}/orders"`,
    '        password: { env: ORDERS_DB_PASSWORD }',
    '        replication: { user: replicator, password: { env: ORDERS_REPLICATION_PASSWORD } }',
    `        member: ${member}`,
    `        data-directory: ${database.dataDirectory}`,
    `        bin-directory: ${database.binDirectory}`,
    `        hands: ${handsOf({ sshd }, database.owner)}`,
  ];
}

function databasePart({ options, regions }: SpecParts): string[] {
  return [
    '  orders-db:',
    '    driver: postgresql',
    '    vital: true',
    `    replication: ${options.replication ?? 'synchronous'}`,
    `    canary-every: ${options.canaryEvery ?? '250ms'}`,
    ...(options.backups
      ? [
          '    backup:',
          '      - { what: base, every: daily, keep: { proven: 3, daily: 7 } }',
          '      - { what: wal, continuous: true, keep: 7d }',
        ]
      : []),
    '    sites:',
    ...regionNames.flatMap((name) => databaseSite(name, memberOf(name), regions[name])),
  ];
}

function cachePart({ options, regions }: SpecParts): string[] {
  return [
    '  orders-cache:',
    '    driver: redis',
    '    replication: asynchronous',
    '    canary-every: 250ms',
    '    rpo: 5s',
    ...(options.backups ? ['    backup: [{ what: snapshot, every: hourly, keep: { proven: 3, daily: 7 } }]'] : []),
    '    min-replicas-to-write: 1',
    '    min-replicas-max-lag: 1s',
    '    sites:',
    ...regionNames.flatMap((name) => {
      const cache = regions[name].cache;
      if (!cache) return [];
      return [
        `      ${name}:`,
        `        url: "redis://${cache.address}:${cache.port}"`,
        '        password: { env: ORDERS_CACHE_PASSWORD }',
        `        config-file: ${cache.configFile}`,
        `        start: [redis-server, ${cache.configFile}, --daemonize, "yes"]`,
        `        hands: ${handsOf(regions[name], undefined)}`,
      ];
    }),
  ];
}

function ordersPart({ regions, places }: SpecParts): string[] {
  return [
    '  orders:',
    '    driver: process',
    '    needs: [orders-db, orders-cache]',
    '    health: { path: /health }',
    '    smoke:',
    '      - { path: /ready }',
    '    processes:',
    '      orders:',
    `        program: [${nodeProgram}, ${join(import.meta.dirname, 'orders-app.ts')}]`,
    '        stop-grace: 1s',
    '    sites:',
    ...regionNames.flatMap((name, index) => {
      const place = places[name];
      return [
        `      ${name}:`,
        `        url: "http://${place.address}:${place.port}"`,
        `        hands: ${handsOf(regions[name], undefined)}`,
        '        processes:',
        '          orders:',
        `            directory: ${place.directory}`,
        `            pid-file: ${place.directory}/orders.pid`,
        '            env:',
        `              ORDERS_REGION: "${name}"`,
        `              ORDERS_ADDRESS: "${place.address}"`,
        `              ORDERS_PORT: "${place.port}"`,
        `              ORDERS_DATABASE_URL: "${place.env.ORDERS_DATABASE_URL}"`,
        '              ORDERS_DATABASE_PASSWORD: { env: ORDERS_DB_PASSWORD }',
        `              ORDERS_CACHE_URL: { env: ORDERS_APP_CACHE_URL_${index === 0 ? 'EAST' : 'WEST'} }`,
      ];
    }),
  ];
}

function namePart({ dns, recordName, places }: SpecParts): string[] {
  if (!dns) return [];
  return [
    '  orders-name:',
    '    driver: dns-rfc2136',
    '    needs: [orders]',
    `    zone: ${dns.zone}`,
    `    record: ${recordName}`,
    '    ttl: 1s',
    `    server: "${dns.address}:${dns.port}"`,
    `    authorities: ["${dns.address}:${dns.port}"]`,
    `    key: { name: ${dns.key.name}, algorithm: ${dns.key.algorithm}, secret: { env: ORDERS_DNS_KEY } }`,
    '    sites:',
    ...regionNames.map((name) => `      ${name}: { address: ${places[name].address} }`),
  ];
}

export function specText(parts: SpecParts): string {
  const { options } = parts;
  return [
    'holdfast: v1',
    'name: orders',
    'objectives: { rto: 10s, rpo: 1s }',
    'regions:',
    '  us-east-1: { role: active }',
    '  us-west-2: { role: standby }',
    ...(options.fleet
      ? [
          `  ${witnessName}: { role: witness }`,
          `state: { etcd: { endpoints: [${parts.endpoints.map((each) => `"${each}"`).join(', ')}] } }`,
        ]
      : []),
    'watch: { every: 250ms, timeout: 1s, failures: 3 }',
    'failover:',
    `  automatic: ${options.automatic ?? true}`,
    `  grace: ${options.grace ?? '100ms'}`,
    `  loss-budget: ${options.lossBudget ?? '1s'}`,
    `  cool-down: ${options.coolDown ?? '10s'}`,
    `  salvage-directory: ${parts.salvageDirectory}`,
    ...(options.backups
      ? [
          'repositories:',
          `  main: { driver: filesystem, path: ${parts.repositoryDirectory}, encryption: { passphrase: { env: ORDERS_BACKUP_PASSPHRASE } } }`,
        ]
      : []),
    'components:',
    ...databasePart(parts),
    ...(options.databaseOnly ? [] : [...cachePart(parts), ...ordersPart(parts), ...namePart(parts)]),
    '',
  ].join('\n');
}
