/** A DNS record as a route: in memory, and on a real BIND asked by a real dig. */
import { randomBytes } from 'node:crypto';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/dns-rfc2136/driver.ts';
import { FakeNameServers } from '../../src/drivers/dns-rfc2136/fake.ts';
import type { Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { type RunningBind, startBind } from '../systems/bind.ts';
import { openRouteSite } from './open-route-site.ts';
import type { RouteHarness, RouteRegion, RouteSubject } from './route.ts';

export const realHost = nodeHost({ logTo: 'silent' });
export const addresses: Readonly<Record<RouteRegion, string>> = { east: '192.0.2.1', west: '198.51.100.2' };
export const record = 'api.example.test';
const ttl = '30s';

export interface DnsTarget {
  readonly server: string;
  readonly secret: Secret;
  readonly authorities?: readonly string[];
  readonly more?: object;
  readonly sites?: Readonly<Record<RouteRegion, unknown>>;
}

export function openDnsSite(region: RouteRegion, host: Host, target: DnsTarget, probeTimeoutMs = 1_000): Site {
  return openRouteSite(driver, {
    host,
    region,
    probeTimeoutMs,
    options: {
      zone: 'example.test',
      record,
      ttl,
      server: target.server,
      key: { name: 'holdfast', secret: target.secret },
      ...(target.authorities === undefined ? {} : { authorities: target.authorities }),
      ...target.more,
    },
    sites: target.sites ?? { east: { address: addresses.east }, west: { address: addresses.west } },
  });
}

export function regionOf(values: readonly string[]): RouteRegion | undefined {
  return (['east', 'west'] as const).find((region) => values.join() === addresses[region]);
}

/** The opcode is in the third byte of the message, after two bytes of length. */
function isUpdate(data: Uint8Array): boolean {
  return (((data[4] ?? 0) >> 3) & 0x0f) === 5;
}

export const wrongSecret = () => new Secret(randomBytes(32).toString('base64'), 'env:WRONG');

export const fakeServers = { primary: { host: '10.0.0.53', port: 53 }, secondary: { host: '10.1.0.53', port: 53 } };

export function startFakeNameServers(): { readonly fake: FakeNameServers; readonly host: Host; readonly target: DnsTarget } {
  const secret = new Secret(randomBytes(32).toString('base64'), 'env:DNS_KEY');
  const fake = new FakeNameServers({
    clock: realHost.clock,
    primary: fakeServers.primary,
    secondaries: [fakeServers.secondary],
    key: { name: 'holdfast', algorithm: 'hmac-sha256', secret },
    zone: {
      name: 'example.test',
      nameServers: ['ns1.example.test', 'ns2.example.test'],
      records: [
        { name: 'ns1.example.test', type: 'A', ttlSeconds: 60, value: fakeServers.primary.host },
        { name: 'ns2.example.test', type: 'A', ttlSeconds: 60, value: fakeServers.secondary.host },
        { name: record, type: 'A', ttlSeconds: 30, value: addresses.east },
      ],
    },
  });
  return { fake, host: { ...realHost, net: { ...realHost.net, ...fake.net } }, target: { server: '10.0.0.53:53', secret } };
}

export const fakeDns: RouteHarness = {
  name: 'DNS, simulated',
  traits: { weights: false, compareAndSwap: true },
  async start(): Promise<RouteSubject> {
    const { fake, host, target } = startFakeNameServers();
    const { primary, secondary } = fakeServers;
    const both = (state: 'stopped' | 'hung') => {
      fake.setState(primary, state);
      fake.setState(secondary, state);
    };
    return {
      host,
      openSite: (region, options = {}) =>
        openDnsSite(
          region,
          options.host ?? host,
          options.credentials === 'wrong' ? { ...target, secret: wrongSecret() } : target,
          options.probeTimeoutMs,
        ),
      clientRegion: async () => regionOf(fake.records(secondary, record).map((line) => line.split(' ')[2] ?? '')),
      changes: async () => fake.serial(primary),
      routeByHand: async (to) =>
        fake.edit((records) =>
          records.map((each) =>
            each.name === record && each.type === 1 ? { ...each, data: Uint8Array.from(addresses[to].split('.').map(Number)) } : each,
          ),
        ),
      isChange: isUpdate,
      kill: async () => both('stopped'),
      hang: () => both('hung'),
      dispose: async () => {},
    };
  },
};

export function bindTarget(bind: RunningBind): DnsTarget {
  const server = `${bind.address}:${bind.port}`;
  return { server, secret: new Secret(bind.key.secret, 'env:DNS_KEY'), authorities: [server] };
}

export const bindDns: RouteHarness = {
  name: 'BIND 9',
  traits: { weights: false, compareAndSwap: true },
  proves: { route: '[S3-02] [S3-13] [S2-36]' },
  async start(): Promise<RouteSubject> {
    const bind = await startBind({ records: [`api 30 IN A ${addresses.east}`] });
    const target = bindTarget(bind);
    return {
      host: realHost,
      openSite: (region, options = {}) =>
        openDnsSite(
          region,
          options.host ?? realHost,
          options.credentials === 'wrong' ? { ...target, secret: wrongSecret() } : target,
          options.probeTimeoutMs,
        ),
      clientRegion: async () => regionOf(await bind.query(record, 'A')),
      changes: () => bind.serial(),
      routeByHand: (to) => bind.update(`update delete ${record} A`, `update add ${record} 30 A ${addresses[to]}`),
      isChange: isUpdate,
      kill: () => bind.kill(),
      hang: () => bind.pause(),
      dispose: () => bind.stop(),
    };
  },
};
