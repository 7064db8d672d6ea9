/** What the spec says about a record in Route 53 that traffic follows. */
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import { duration } from '../../contracts/options.ts';
import { awsAccessOptions, findAccessFaults } from '../aws-api/access-options.ts';
import { canonicalAddress, routeTypes } from './address.ts';

const domainName = z
  .string()
  .regex(/^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\.?$/, 'not a domain name')
  .transform((name) => name.toLowerCase().replace(/\.$/, ''));

export const componentOptions = z.strictObject({
  'zone-id': z
    .string()
    .regex(/^[A-Z0-9]{1,32}$/, 'not the id of a hosted zone')
    .meta({ description: 'Id of the hosted zone that holds the record', examples: ['Z0123456789ABCDEFGHIJ'] }),
  record: domainName.meta({ description: 'Full name of the record that traffic follows', examples: ['api.example.com'] }),
  type: z.enum(routeTypes).default('A').describe('Type of the record'),
  ttl: duration('How long resolvers may keep the answer; above 60 s a failover is slow to reach clients').prefault('60s'),
  'look-every': duration(
    'How often a probe asks the service anew; in between it tells what it saw last. All clients of an account share five requests a second',
  ).prefault('15s'),
  'confirm-at': z
    .array(z.string().regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/, 'not host:port'))
    .optional()
    .describe(
      'Name servers of the zone, as host:port, that must answer the new address before a change is done; without it the word of the service is enough',
    ),
  ...awsAccessOptions,
});

export type ComponentOptions = z.output<typeof componentOptions>;

export const siteOptions = z.strictObject({
  address: z.string().min(1).describe('Where the record points when traffic goes to this region: an address, or a name for a CNAME'),
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
  const faults: Fault[] = [...findAccessFaults(options, [])];
  if (options.ttl < 1_000 || options.ttl % 1_000 !== 0 || options.ttl > 86_400_000)
    faults.push({ path: ['ttl'], message: 'a TTL is a whole number of seconds from 1 s to 1 d', hint: 'Write for instance 60s, or less.' });
  const owners = new Map<string, string>();
  for (const [region, { address }] of sites) {
    const path = ['sites', region, 'address'];
    try {
      const canonical = canonicalAddress(options.type, address);
      const owner = owners.get(canonical);
      if (owner !== undefined)
        faults.push({
          path,
          message: `${address} is named twice, here and in ${owner}`,
          hint: 'Give each region an address of its own: else nobody can tell where traffic goes.',
        });
      owners.set(canonical, region);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      faults.push({ path, message: error.message, hint: error.hint });
    }
  }
  return faults;
}
