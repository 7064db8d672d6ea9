/** What the spec says about a DNS record that traffic follows. */
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import { duration } from '../../contracts/options.ts';
import { secretReference } from '../../contracts/secret-reference.ts';
import { canonicalValue, type RouteType, routeTypes } from './record-set.ts';
import { normalizeName } from './wire.ts';

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** `10.0.0.1`, `ns1.example.com:53`, `[2001:db8::1]:53`; undefined for anything else. */
export function parseServerAddress(text: string): ServerAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 53);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

export function formatServerAddress(server: ServerAddress): string {
  return server.host.includes(':') ? `[${server.host}]:${server.port}` : `${server.host}:${server.port}`;
}

const serverAddress = (description: string) =>
  z
    .string()
    .meta({ description, examples: ['10.0.0.53:53', 'ns1.example.com:53', '[2001:db8::53]:53'] })
    .transform((text, context) => {
      const server = parseServerAddress(text);
      if (server !== undefined) return server;
      context.addIssue({
        code: 'custom',
        message: `"${text}" is not the address of a name server`,
        params: { hint: 'Write host:port; the port may be left out when it is 53.' },
      });
      return z.NEVER;
    });

const domainName = (description: string, example: string) =>
  z
    .string()
    .regex(/^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$/, 'not a domain name')
    .meta({ description, examples: [example] })
    .transform(normalizeName);

const tsigKey = z
  .strictObject({
    name: z.string().min(1).describe('Name of the key, as in the key statement of the name server'),
    algorithm: z.enum(['hmac-sha256', 'hmac-sha512']).default('hmac-sha256').describe('Algorithm of the key'),
    secret: secretReference.describe('The key itself, in base64'),
  })
  .describe('The TSIG key that signs updates; the name server must let it change the record and the TXT record _holdfast.<record>');

export const componentOptions = z.strictObject({
  zone: domainName('The zone that holds the record', 'example.com'),
  record: domainName('Full name of the record that traffic follows', 'api.example.com'),
  type: z.enum(routeTypes).default('A').describe('Type of the record'),
  ttl: duration('How long resolvers may keep the answer; above 60 s a failover is slow to reach clients').prefault('60s'),
  server: serverAddress('The primary name server of the zone, which takes updates'),
  key: tsigKey,
  authorities: z
    .array(serverAddress('A name server'))
    .min(1)
    .optional()
    .describe('Every name server that answers for the zone; found from its NS records when left out'),
  confirm: z
    .enum(['every', 'answering'])
    .default('every')
    .describe(
      'Whether a change is done when every name server answers it, or when all those do that answer at all (for zones with a name server inside a region that can be lost)',
    ),
});

export type ComponentOptions = z.output<typeof componentOptions>;

export const siteOptions = z.strictObject({
  address: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .transform((value) => (typeof value === 'string' ? [value] : value))
    .describe('Where the record points when traffic goes to this region: one address or several, or one name for a CNAME'),
});

export type SiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What the two schemas can't see: how the keys fit together. */
export function validateOptions(component: {
  readonly options: ComponentOptions;
  readonly sites: ReadonlyMap<string, SiteOptions>;
}): readonly Fault[] {
  const { options, sites } = component;
  const faults: Fault[] = [];
  if (options.record !== options.zone && !options.record.endsWith(`.${options.zone}`)) {
    faults.push({
      path: ['record'],
      message: `${options.record} is not in the zone ${options.zone}`,
      hint: 'Give the full name, and the zone that it is in.',
    });
  }
  if (options.type === 'CNAME' && options.record === options.zone) {
    faults.push({
      path: ['type'],
      message: 'the name of the zone itself can not be a CNAME',
      hint: 'Use type A or AAAA, or a name below the zone.',
    });
  }
  if (options.ttl < 1_000 || options.ttl % 1_000 !== 0 || options.ttl > 86_400_000) {
    faults.push({ path: ['ttl'], message: 'a TTL is a whole number of seconds from 1 s to 1 d', hint: 'Write for instance 60s, or less.' });
  }
  const owners = new Map<string, string>();
  for (const [region, site] of sites) faults.push(...validateSite(region, site, options.type, owners));
  return faults;
}

function validateSite(region: string, site: SiteOptions, type: RouteType, owners: Map<string, string>): Fault[] {
  const faults: Fault[] = [];
  const path = ['sites', region, 'address'];
  if (type === 'CNAME' && site.address.length > 1)
    faults.push({ path, message: 'a CNAME points to one name only', hint: 'Leave one name.' });
  for (const address of site.address) {
    try {
      const canonical = canonicalValue(type, address);
      const owner = owners.get(canonical);
      if (owner !== undefined)
        faults.push({
          path,
          message: `${address} is named twice, here and in ${owner}`,
          hint: 'Give each region addresses of its own: else nobody can tell where traffic goes.',
        });
      owners.set(canonical, region);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      faults.push({ path, message: error.message, hint: error.hint });
    }
  }
  return faults;
}
