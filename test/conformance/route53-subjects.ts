/** A record in a stand-in for Route 53 as a route, read back by an independent way: what the service would answer a resolver, by its own rules. */
import type { ResourceRecordSet } from '@aws-sdk/client-route-53';
import { ChangeResourceRecordSetsCommand, Route53Client } from '@aws-sdk/client-route-53';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/route53/driver.ts';
import type { Host } from '../../src/host/host.ts';
import type { ObjectStoreServer } from '../systems/object-store.ts';
import { type RunningRoute53, startRoute53 } from '../systems/route53.ts';
import { addresses, realHost, record, regionOf } from './dns-route-subjects.ts';
import { openRouteSite } from './open-route-site.ts';
import type { RouteHarness, RouteRegion, RouteSubject } from './route.ts';

export const sites = { east: { address: addresses.east }, west: { address: addresses.west } };

export interface OpenRoute53Options {
  readonly host?: Host;
  readonly probeTimeoutMs?: number | undefined;
  readonly more?: object;
  readonly accessKeyId?: string;
}

export function openRoute53Site(region: RouteRegion, service: RunningRoute53, options: OpenRoute53Options = {}): Site {
  return openRouteSite(driver, {
    host: options.host ?? realHost,
    region,
    probeTimeoutMs: options.probeTimeoutMs ?? 5_000,
    options: {
      'zone-id': service.zoneId,
      record,
      ttl: '30s',
      endpoint: service.endpoint,
      'access-key-id': new Secret(options.accessKeyId ?? service.accessKeyId, 'env:DNS_KEY_ID'),
      'secret-access-key': new Secret('not-checked', 'env:DNS_SECRET'),
      ...options.more,
    },
    sites,
  });
}

/** As an administrator does it, past Holdfast. */
export async function changeByHand(
  service: RunningRoute53,
  changes: readonly (readonly ['CREATE' | 'DELETE' | 'UPSERT', ResourceRecordSet])[],
): Promise<void> {
  const client = new Route53Client({
    endpoint: service.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: service.accessKeyId, secretAccessKey: 'not-checked' },
  });
  try {
    const Changes = changes.map(([Action, ResourceRecordSet]) => ({ Action, ResourceRecordSet }));
    await client.send(new ChangeResourceRecordSetsCommand({ HostedZoneId: service.zoneId, ChangeBatch: { Changes } }));
  } finally {
    client.destroy();
  }
}

export function simpleRecord(to: RouteRegion, ttlSeconds = 30): ResourceRecordSet {
  return { Name: record, Type: 'A', TTL: ttlSeconds, ResourceRecords: [{ Value: addresses[to] }] };
}

export async function recordsOf(service: RunningRoute53): Promise<readonly ResourceRecordSet[]> {
  return (await service.records()).filter(({ Name, Type }) => Name === `${record}.` && Type === 'A');
}

/** What the service answers, `draw` from 0 to 1 deciding between weighted records: each with its share; all of them with equal shares where all weights are 0. */
export function answerOf(sets: readonly ResourceRecordSet[], draw: number): RouteRegion | undefined {
  const weightOf = ({ Weight }: ResourceRecordSet) => Weight ?? 1;
  const total = sets.reduce((sum, set) => sum + weightOf(set), 0);
  let left = draw * (total === 0 ? sets.length : total);
  for (const set of sets) {
    left -= total === 0 ? 1 : weightOf(set);
    if (left < 0) return regionOf((set.ResourceRecords ?? []).map(({ Value }) => Value ?? ''));
  }
  return undefined;
}

export function motoRoute53(moto: () => ObjectStoreServer): RouteHarness {
  return {
    name: 'Route 53 (stand-in)',
    traits: { weights: true, compareAndSwap: true },
    proves: { route: '[S3-26] [S5-23] [S3-13]' },
    async start(): Promise<RouteSubject> {
      const service = await startRoute53(moto());
      await changeByHand(service, [['CREATE', simpleRecord('east')]]);
      return {
        host: realHost,
        openSite: (region, options = {}) =>
          openRoute53Site(region, service, {
            ...(options.host === undefined ? {} : { host: options.host }),
            probeTimeoutMs: options.probeTimeoutMs,
            ...(options.credentials === 'wrong' ? { accessKeyId: 'AKIAUNKNOWN' } : {}),
          }),
        clientRegion: async () => {
          const sets = await recordsOf(service);
          const [low, high] = [answerOf(sets, 0), answerOf(sets, 0.999_999)];
          return low === high ? low : undefined;
        },
        changes: async () => undefined,
        routeByHand: async (to) => {
          const before = await recordsOf(service);
          await changeByHand(service, [...before.map((set) => ['DELETE', set] as const), ['CREATE', simpleRecord(to)]]);
        },
        isChange: (data) => /^POST \S+\/rrset/.test(Buffer.from(data).toString()),
        kill: () => service.stop(),
        hang: () => service.hang(),
        dispose: () => service.stop(),
      };
    },
  };
}
