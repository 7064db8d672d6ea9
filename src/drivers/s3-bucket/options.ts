/** What the spec says about a bucket in each region and how its objects get from one to the other. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { awsAccessOptions, findAccessFaults } from '../aws-api/access-options.ts';

export const componentOptions = z.strictObject({
  prefix: z.string().default('').describe('Only objects whose names begin so are looked at'),
  sample: z.int().min(1).max(200).default(20).describe('How many of the newest objects are asked for the state of their replication'),
  'replicated-within': duration('How old an object may be that is not replicated yet').prefault('15m'),
  'look-every': duration('How often a probe looks anew; in between it tells what it saw last').prefault('5m'),
  versioning: z.boolean().default(true).describe('Whether the bucket must keep versions'),
  lock: z
    .strictObject({
      mode: z.enum(['governance', 'compliance']).describe('The mode that new objects are locked in by default'),
      'at-least': duration('For how long, at least').prefault('1d'),
    })
    .optional()
    .describe('The Object Lock that the bucket must give to new objects'),
  'kept-at-least': duration('No lifecycle rule may remove objects under the prefix, or their older versions, sooner').optional(),
  'kms-endpoint': z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where KMS answers, for one that is not at the usual address of AWS; default: as endpoint of the site'),
});

export type ComponentOptions = z.output<typeof componentOptions>;

export const siteOptions = z.strictObject({
  bucket: z.string().min(3).max(63).describe('Name of the bucket'),
  region: z.string().min(1).optional().describe('Region of the bucket, as AWS names it; default: the name of the site'),
  receives: z
    .boolean()
    .default(false)
    .describe('The bucket only receives: what is in it is replicated from elsewhere, and no rule has to replicate it further'),
  'kms-key': z.string().min(1).optional().describe('Id, ARN or alias of the KMS key that the bucket encrypts with in this region'),
  ...awsAccessOptions,
});

export type SiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function validateOptions(component: { readonly sites: ReadonlyMap<string, SiteOptions> }): readonly Fault[] {
  const faults: Fault[] = [];
  const owners = new Map<string, string>();
  for (const [region, site] of component.sites) {
    faults.push(...findAccessFaults(site, ['sites', region]));
    const name = `${site.endpoint ?? ''} ${site.bucket}`;
    const owner = owners.get(name);
    if (owner !== undefined)
      faults.push({
        path: ['sites', region, 'bucket'],
        message: `${site.bucket} is the bucket of ${owner} as well`,
        hint: 'A bucket is in one region only and is lost with it: name the one that holds the copies.',
      });
    owners.set(name, region);
  }
  if (component.sites.size > 0 && [...component.sites.values()].every(({ receives }) => receives))
    faults.push({ path: ['sites'], message: 'every bucket only receives', hint: 'Leave out receives where objects are written.' });
  return faults;
}
