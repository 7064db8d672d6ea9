/** What the spec says of an OpenSearch component and its sites. */
import { z } from 'zod';
import type { ResolvedSecret, SiteContext } from '../../contracts/driver.ts';
import { duration } from '../../contracts/options.ts';
import type { Replication } from '../../contracts/replication.ts';
import { secretReference } from '../../contracts/secret-reference.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);
const name = z.string().min(1);
/** No pattern and no list: what is promoted, fenced and deleted is named in full. https://docs.opensearch.org/latest/api-reference/index-apis/create-index/ */
const indexName = z.string().regex(/^[a-z0-9.][a-z0-9._+-]*$/, 'is not the full name of an index: lower case, no pattern, no comma');

const repository = z
  .strictObject({
    name: name.describe('The name under which the cluster knows it'),
    type: name.describe('fs, s3, azure, gcs, as the plugins of the cluster offer'),
    settings: z
      .record(name, z.union([z.string(), z.boolean(), z.number()]))
      .describe('As the type wants them: { bucket: ..., base_path: ... }'),
  })
  .describe('A repository of snapshots, registered and verified before each use');

const restore = z
  .strictObject({
    snapshot: name.optional().describe('Its name; default: the newest that is SUCCESS and was taken by this component'),
    prefix: indexName.describe('Put before the names of the restored indices, so that they meet none that are there: restored-'),
    queries: z
      .record(
        indexName,
        z.strictObject({
          query: z.record(name, z.unknown()).describe('As it stands under "query" of a search: { match_all: {} }'),
          'at-least': z.int().min(1).describe('How many documents it must find'),
        }),
      )
      .default({})
      .describe('By index a query, and how many documents it must find in the restored one'),
  })
  .describe('The verb run restores a snapshot beside the indices, counts and asks');

export const componentOptions = z.strictObject({
  indices: z.array(indexName).min(1).describe('The indices that must not be lost, each by its full name'),
  'canary-index': indexName.default('holdfast-canary').describe('Holds the heartbeat and the epoch; replicated like the others'),
  roles: z
    .strictObject({ leader: name.describe('Role on the leading cluster'), follower: name.describe('Role on the following cluster') })
    .optional()
    .describe('With the security plugin, and only then: whose rights the replication has (use_roles)'),
  'block-cluster': z
    .boolean()
    .default(false)
    .describe('A fence also makes the whole cluster read-only, with everything else that is in it'),
  repository: repository.optional(),
  run: z
    .strictObject({ snapshot: z.literal(true).optional().describe('The verb run takes a snapshot'), restore: restore.optional() })
    .optional()
    .describe('What the verb run does: a snapshot or a restore'),
  'call-timeout': duration('How long one request may take in a step').prefault('30s'),
});

export const siteOptions = z.strictObject({
  url: z
    .string()
    .regex(/^https?:\/\/[^\s/@]+\/?$/, 'is not of the form https://host:port; user and password have keys of their own')
    .describe('Where the controller reaches it: https://10.0.1.5:9200'),
  user: name.optional().describe('The user; with password'),
  password: secret('Password of the user').optional(),
  ca: name.optional().describe('PEM file of the certificate authority to trust, on the controller'),
  'cluster-uuid': name.optional().describe('cluster_uuid of GET /: nothing is changed in a cluster that has another one'),
  'transport-addresses': z
    .array(z.string().regex(/^[^\s/@]+:\d{1,5}$/, 'is not of the form host:port'))
    .min(1)
    .optional()
    .describe('Where the other clusters reach its nodes (transport, not HTTP): ["10.0.1.5:9300"]. Needed with replication'),
  'connection-name': name.optional().describe('What the other clusters call their connection to it (leader_alias). Default: the region'),
  nodes: z.int().min(1).optional().describe('How many nodes it should have'),
});

export type OpensearchOptions = z.output<typeof componentOptions>;
export type OpensearchSiteOptions = z.output<typeof siteOptions>;
export type OpensearchContext = SiteContext<OpensearchOptions, OpensearchSiteOptions>;

export interface OptionFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What no schema of a single key can see. */
export function findFaults(component: {
  readonly options: OpensearchOptions;
  readonly sites: ReadonlyMap<string, OpensearchSiteOptions>;
  readonly replication: Replication;
}): readonly OptionFault[] {
  const { options, sites, replication } = component;
  const faults: OptionFault[] = [];
  const add = (path: OptionFault['path'], message: string, hint: string) => void faults.push({ path, message, hint });
  if (replication === 'synchronous')
    add(['replication'], 'cross-cluster replication is never synchronous', 'Say asynchronous; the loss is measured by the canary.');
  const { run } = options;
  if (run && (run.snapshot === undefined) === (run.restore === undefined))
    add(['run'], 'it is not exactly one of snapshot and restore', 'Name what the verb run shall do.');
  if (run && options.repository === undefined) add(['repository'], 'run needs a repository of snapshots', 'Name one.');
  if (options.indices.includes(options['canary-index']))
    add(['canary-index'], `${options['canary-index']} is one of the indices`, 'Give the canary an index of its own.');
  const regionByUrl = new Map<string, string>();
  for (const [region, site] of sites) {
    const other = regionByUrl.get(site.url.replace(/\/$/, ''));
    if (other !== undefined)
      add(['sites', region, 'url'], `${region} and ${other} are the same cluster`, 'Each site needs a cluster of its own.');
    regionByUrl.set(site.url.replace(/\/$/, ''), region);
    if ((site.user === undefined) !== (site.password === undefined))
      add(['sites', region, site.user === undefined ? 'user' : 'password'], 'user and password go together', 'Give both.');
    if (site.password !== undefined && isInTheClear(site.url))
      add(['sites', region, 'url'], 'the password would go over the network in the clear', 'Use https.');
    if (replication !== 'none' && sites.size > 1 && site['transport-addresses'] === undefined)
      add(
        ['sites', region, 'transport-addresses'],
        'nothing says where the other clusters reach its nodes',
        'Give the transport addresses, mostly port 9300: any site may have to be followed.',
      );
  }
  return faults;
}

const isInTheClear = (url: string): boolean =>
  url.startsWith('http:') && !/^http:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::|\/|$)/.test(url);

/** All that is replicated, fenced and promoted together. */
export const allIndices = (options: OpensearchOptions): readonly string[] => [...options.indices, options['canary-index']];

/** The name under which other clusters know the one of a region. */
export const connectionName = (region: string, site: OpensearchSiteOptions): string => site['connection-name'] ?? region;
