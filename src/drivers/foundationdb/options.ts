/** Options of a FoundationDB cluster over two regions. Strict: an unknown key is a fault with a line number. */
import { z } from 'zod';
import { commandLine, duration } from '../../contracts/options.ts';
import type { Replication } from '../../contracts/replication.ts';

const text = z.string().min(1);

const keyRange = z
  .strictObject({ begin: text.describe('The first key'), end: text.describe('The key behind the last one') })
  .describe('Keys in the notation of fdbcli: \\xNN for a byte that is no printable character');

const container = (description: string) =>
  z
    .string()
    .regex(/^(?:file|blobstore):\/\/\S+$/, 'is neither a file:// nor a blobstore:// URL')
    .describe(description);

const backup = z
  .strictObject({
    tag: text.default('default').describe('The tag of the backup'),
    url: container('Where its containers lie; keys of a blob store belong into blob-credentials'),
    'snapshot-every': duration('How often a whole copy is taken: a restore plays the log since the last one').prefault('1d'),
    digest: keyRange.optional(),
  })
  .describe('The verb run has such a continuous backup running and restorable, and tells the digest of some keys as of one version');

const restore = z
  .strictObject({
    container: container('The container of one backup: the directory whose name ends in its time'),
    'dest-cluster-file': text.describe('The cluster file of an empty cluster, on the machine of the site'),
    version: z.int().min(1).optional().describe('The version to restore to; default: the newest'),
    expect: z
      .strictObject({
        range: keyRange,
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/, 'is no SHA-256')
          .describe('As the run of the backup told it'),
      })
      .optional()
      .describe('What the restored keys must be'),
  })
  .describe('The verb run restores this container, and compares what came out');

export const componentOptions = z.strictObject({
  cluster: z
    .string()
    .regex(/^\w+:\w+$/, 'is not DESCRIPTION:ID')
    .optional()
    .describe('The beginning of the connection string; a cluster with another one is not ours'),
  'lag-limit': duration('How far the other region may be behind for it to take over').prefault('5s'),
  'key-prefix': z
    .string()
    .regex(/^[\w/-]+\/$/, 'is no prefix that ends in a slash')
    .default('holdfast/')
    .describe('Under which Holdfast keeps its own keys: canaries, the epoch, a probe'),
  'command-timeout': duration('How long one command may take in a step').prefault('10s'),
  'force-recovery': z
    .enum(['never', 'fenced'])
    .default('never')
    .describe('Whether a lost region may be given up at the price of data: never, or where it is fenced and seen dead from two places'),
  'force-timeout': duration('How long a forced recovery may take').prefault('2m'),
  controller: z
    .strictObject({
      'cluster-file': text.describe('The cluster file on the machine of the controller'),
      fdbcli: commandLine('How fdbcli is called there').default(['fdbcli']),
    })
    .optional()
    .describe('How the cluster is asked where the hands of a region are gone'),
  'backup-behind': z
    .strictObject({
      tag: text.default('default').describe('The tag of the backup'),
      limit: duration('How far the newest version that can be restored may be behind'),
    })
    .optional()
    .describe('A continuous backup that must run, and how far it may be behind'),
  run: z
    .strictObject({
      backup: backup.optional(),
      restore: restore.optional(),
      'drop-region': text
        .optional()
        .describe('The region whose copy is given up: its priority is made negative, then one region stays usable'),
      lock: z.literal(true).optional().describe('The database takes no client any more, until a person unlocks it at a terminal'),
    })
    .optional()
    .describe('What the verb run does: one of these'),
});

export const siteOptions = z.strictObject({
  dcid: text.describe('The data centre of this region, as its processes have it in --locality_dcid; case counts'),
  'cluster-file': text.default('/etc/foundationdb/fdb.cluster').describe('The cluster file on the machine of the site'),
  fdbcli: commandLine('How fdbcli is called').default(['fdbcli']),
  fdbbackup: commandLine('How fdbbackup is called').default(['fdbbackup']),
  fdbrestore: commandLine('How fdbrestore is called').default(['fdbrestore']),
  'blob-credentials': text.optional().describe('A file with the keys of blob stores, on the machine of the site'),
  addresses: z
    .array(z.string().regex(/^\S+:\d+$/, 'is not HOST:PORT'))
    .min(1)
    .optional()
    .describe('Processes of this region, as the controller reaches them: whether they are dead is tried there'),
  stop: z
    .strictObject({
      apply: commandLine('Stops every process of the region and keeps them from starting'),
      inspect: commandLine('Ends with 0 only where they are stopped and barred'),
    })
    .optional()
    .describe('How this region is fenced by its own hands'),
});

export type FdbOptions = z.output<typeof componentOptions>;
export type FdbSiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** The time in the name of each container: what is one directory higher is no backup. */
export const containerName = /\/backup-\d{4}-\d{2}-\d{2}-\d{2}-\d{2}-\d{2}\.\d+\/?(?:\?.*)?$/;

/** What no schema of a single key can see. */
export function findFaults(component: {
  readonly options: FdbOptions;
  readonly sites: ReadonlyMap<string, FdbSiteOptions>;
  readonly replication: Replication;
}): readonly Fault[] {
  const { options, sites, replication } = component;
  const faults: Fault[] = [];
  const add = (path: Fault['path'], message: string, hint: string) => void faults.push({ path, message, hint });
  if (sites.size !== 2)
    add(['sites'], `it has ${sites.size} sites, and a cluster has two regions`, 'Name both; satellites and coordinators are no sites.');
  const dcids = [...sites.values()].map(({ dcid }) => dcid);
  if (new Set(dcids).size < dcids.length) add(['sites'], `two sites have the dcid ${dcids[0]}`, 'Each region has data centres of its own.');
  if (replication === 'none')
    add(
      ['replication'],
      'the two sites are one cluster, whose other region is a copy',
      'Write asynchronous; synchronous with satellites. To restore into another cluster, use run: { restore: ... }.',
    );
  for (const [region, site] of sites) {
    for (const key of ['fdbcli', 'fdbbackup', 'fdbrestore'] as const)
      if (site[key].some((word) => /^(?:-(?:it|ti|t)|--tty(?:=true)?)$/.test(word)))
        add(['sites', region, key], 'it asks for a terminal, and there is none', 'Take -t away; -i stays.');
    if (options['force-recovery'] === 'fenced' && site.addresses === undefined)
      add(
        ['sites', region, 'addresses'],
        'force-recovery: fenced needs addresses: the controller is one of the places that must see a region dead',
        'List HOST:PORT of some processes.',
      );
  }
  return [...faults, ...runFaults(options.run, sites)];
}

function runFaults(run: FdbOptions['run'], sites: ReadonlyMap<string, FdbSiteOptions>): readonly Fault[] {
  if (run === undefined) return [];
  const faults: Fault[] = [];
  if (Object.values(run).filter((each) => each !== undefined).length !== 1)
    faults.push({ path: ['run'], message: 'it is not exactly one thing', hint: 'Name what the verb run shall do.' });
  const dropped = run['drop-region'];
  if (dropped !== undefined && !sites.has(dropped))
    faults.push({ path: ['run', 'drop-region'], message: `there is no site in ${dropped}`, hint: 'Name one of the two regions.' });
  for (const [key, url] of [
    ['backup', run.backup?.url],
    ['restore', run.restore?.container],
  ] as const)
    if (url !== undefined && /^blobstore:\/\/[^/@]*:[^/@]+@/.test(url))
      faults.push({
        path: ['run', key],
        message: 'the URL holds a key, which every user of the machine could read',
        hint: 'Use blob-credentials.',
      });
  if (run.restore && !containerName.test(run.restore.container))
    faults.push({
      path: ['run', 'restore', 'container'],
      message: 'it is not the container of one backup: its name must end in backup- and a time',
      hint: 'List what lies below the URL of the backup, and name one of those.',
    });
  return faults;
}
