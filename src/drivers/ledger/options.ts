/** Options of a ledger and its sites. Strict: an unknown key is a fault with a line number. */
import { z } from 'zod';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { duration } from '../../contracts/options.ts';
import type { Replication } from '../../contracts/replication.ts';
import { secretReference } from '../../contracts/secret-reference.ts';

const slug = (description: string) =>
  z
    .string()
    .regex(/^[1-9]\d{0,19}$/, 'is not a number in quotation marks')
    .refine((text) => !/^\d+$/.test(text) || BigInt(text) < 1n << 64n, 'is larger than a number of 64 bits')
    .describe(`${description}, in quotation marks: a number as large as these loses digits`);
const url = z.string().regex(/^https?:\/\/[^\s/@]+:\d+\/?$/, 'is not of the form http://host:50051');

const vault = { organization: slug('The organization that the vault belongs to'), vault: slug('The vault') } as const;

const run = z
  .strictObject({
    leave: z
      .strictObject({ node: slug('The id of the node') })
      .optional()
      .describe('A node leaves the cluster'),
    recover: z
      .strictObject({
        ...vault,
        force: z.boolean().default(false).describe('Also where the ledger calls the vault healthy; only with an approval'),
      })
      .optional()
      .describe('A diverged vault is cleared and played again from its log'),
    snapshot: z.strictObject(vault).optional().describe('Every vault of the node that holds this one in full writes a snapshot'),
  })
  .describe('What the verb run does: one of them');

export const componentOptions = z.strictObject({
  voters: z.int().min(1).max(99).default(3).describe('How many voting nodes each region should have'),
  'vaults-per-look': z
    .int()
    .min(1)
    .max(1_000)
    .default(100)
    .describe('How many vaults one look asks about; those that were sick are asked about each time, the others in turn'),
  'full-check': z.boolean().default(true).describe('check lets the ledger read all blocks of a vault, which needs its archive of blocks'),
  'call-timeout': duration('How long one call may take in a step').prefault('30s'),
  run: run.optional(),
});

const node = z.strictObject({
  url: url.describe('Where the node is called: http://10.0.1.5:50051, or https:// with TLS'),
  metrics: z
    .string()
    .regex(/^https?:\/\/[^\s@]+$/, 'is not a url')
    .optional()
    .describe('Where its metrics are: http://10.0.1.5:9090/metrics; a ledger has none unless METRICS is set'),
});

export const siteOptions = z.strictObject({
  nodes: z.array(node).min(1).describe('The nodes of this region'),
  ca: z.string().min(1).optional().describe('PEM file of the certificate authority to trust, on the controller'),
  certificate: z.string().min(1).optional().describe('PEM file of our own certificate, where the nodes ask for one'),
  key: (secretReference as unknown as z.ZodType<ResolvedSecret>).describe('The private key of the certificate').optional(),
  'cluster-id': slug('The cluster that must answer here').optional(),
});

export type LedgerOptions = z.output<typeof componentOptions>;
export type LedgerSiteOptions = z.output<typeof siteOptions>;
export type LedgerNode = LedgerSiteOptions['nodes'][number];

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What no schema of a single key can see. */
export function findFaults({
  options,
  sites,
  replication,
}: {
  readonly options: LedgerOptions;
  readonly sites: ReadonlyMap<string, LedgerSiteOptions>;
  readonly replication: Replication;
}): readonly Fault[] {
  const faults: Fault[] = [];
  const { run: wanted } = options;
  if (wanted && Object.values(wanted).filter((each) => each !== undefined).length !== 1)
    faults.push({ path: ['run'], message: 'it is not exactly one of leave, recover and snapshot', hint: 'Name what run shall do.' });
  if (replication !== 'none' && sites.size > 1)
    faults.push({
      path: ['replication'],
      message: 'clusters of the ledger in different regions do not follow each other',
      hint: 'Say replication: none; the other region comes back from backups.',
    });
  for (const [region, site] of sites)
    faults.push(...faultsOfSite(site).map((fault) => ({ ...fault, path: ['sites', region, ...fault.path] })));
  return faults;
}

function faultsOfSite(site: LedgerSiteOptions): readonly Fault[] {
  const faults: Fault[] = [];
  if ((site.certificate === undefined) !== (site.key === undefined))
    faults.push({
      path: [site.certificate === undefined ? 'key' : 'certificate'],
      message: 'certificate and key go together',
      hint: 'Give both, or neither where the nodes ask for no certificate.',
    });
  const seen = new Map<string, number>();
  for (const [index, { url: address }] of site.nodes.entries()) {
    const first = seen.get(address);
    if (first !== undefined)
      faults.push({
        path: ['nodes', index, 'url'],
        message: `nodes ${first + 1} and ${index + 1} have the same url`,
        hint: 'One node that is counted twice would be a majority of two.',
      });
    seen.set(address, index);
  }
  return faults;
}
