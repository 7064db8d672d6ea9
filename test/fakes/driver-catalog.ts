/**
 * Drivers that only have options: for tests of what reads a spec. One for each kind, with the shapes of option that real drivers have (secrets, unions, nested
 * maps, defaults, a check of their own). Their sites can't be opened.
 */
import { z } from 'zod';
import { fail } from '../../src/base/errors.ts';
import { type AnyDriver, type DriverCatalog, type DriverKind, defineDriver } from '../../src/contracts/driver.ts';
import { commandLine, duration, share } from '../../src/contracts/options.ts';
import { secretReference } from '../../src/contracts/secret-reference.ts';

const unopened = (): never => {
  throw fail('BUG_BROKEN_BELIEF', { message: 'the drivers of this catalog have options only' });
};

function common(name: string, title: string, kind: DriverKind) {
  return { name, title, summary: `${title}, without a system behind it.`, kind, verbs: [], hasCanary: false, open: unopened };
}

const store = defineDriver({
  ...common('memory-store', 'Memory store', 'data'),
  backups: {
    kinds: [
      { what: 'base', summary: 'all of it', continuous: false, isDefault: true },
      { what: 'dump', summary: 'statements', continuous: false },
      { what: 'wal', summary: 'the log', continuous: true },
    ],
    openSource: unopened,
    openRestorer: unopened,
  },
  componentOptions: z.strictObject({
    database: z
      .string()
      .min(1)
      .meta({ description: 'Name of the database', examples: ['orders'] })
      .prefault('main'),
    'lag-limit': duration('How far a standby may be behind').prefault('10s'),
  }),
  siteOptions: z.strictObject({
    url: z
      .string()
      .regex(/^store:\/\//, { error: 'the address must begin with store://' })
      .meta({ description: 'Address of the store', examples: ['store://10.0.1.5/orders'] }),
    password: secretReference.meta({ description: 'Password of the store', examples: [{ env: 'ORDERS_DB_PASSWORD' }] }).optional(),
    tls: z
      .union([
        z.boolean(),
        z.strictObject({
          ca: z.string().min(1).describe('Path of the certificate authority'),
          key: secretReference.describe('The private key').optional(),
        }),
      ])
      .meta({ description: 'Whether and how the connection is encrypted', examples: [true] })
      .optional(),
  }),
  validate: ({ sites, replication }) => {
    const urls = new Map<string, string>();
    const faults: { path: (string | number)[]; message: string; hint: string }[] = [];
    for (const [region, site] of sites) {
      const other = urls.get(site.url);
      if (other !== undefined)
        faults.push({
          path: ['sites', region, 'url'],
          message: `${region} and ${other} have the same address`,
          hint: 'Give each site its own store.',
        });
      urls.set(site.url, region);
    }
    if (replication === 'synchronous' && sites.size < 2)
      faults.push({
        path: ['replication'],
        message: 'synchronous replication needs two sites',
        hint: 'Add a site, or make it asynchronous.',
      });
    return faults;
  },
});

const workload = defineDriver({
  ...common('fake-workload', 'Fake workload', 'workload'),
  componentOptions: z.strictObject({
    replicas: z
      .strictObject({
        full: z.int().min(1).describe('Replicas where it is active'),
        standby: z.int().min(0).describe('Replicas where it stands by').prefault(0),
      })
      .meta({ description: 'How many run where', examples: [{ full: 10 }] }),
    start: commandLine('Starts it'),
    ready: z
      .discriminatedUnion('by', [
        z.strictObject({ by: z.literal('http'), path: z.string().meta({ description: 'Path that is asked', examples: ['/healthz'] }) }),
        z.strictObject({ by: z.literal('share'), share: share('Share that must be ready') }),
      ])
      .meta({ description: 'When it counts as ready' })
      .optional(),
  }),
  siteOptions: z.strictObject({
    port: z
      .int()
      .min(1)
      .max(65_535)
      .meta({ description: 'Port it listens on', examples: [8080] })
      .optional(),
  }),
});

const route = defineDriver({
  ...common('fake-route', 'Fake route', 'route'),
  componentOptions: z.strictObject({
    record: z
      .string()
      .min(1)
      .meta({ description: 'The name that clients ask for', examples: ['api.example.com'] }),
    ttl: duration('How long an answer may be kept').prefault('60s'),
  }),
  siteOptions: z.strictObject({ address: z.string().meta({ description: 'Address that the name leads to', examples: ['192.0.2.1'] }) }),
});

const check = defineDriver({
  ...common('fake-check', 'Fake check', 'check'),
  componentOptions: z.strictObject({ expect: z.json().meta({ description: 'The answer that is right' }).optional() }),
  siteOptions: z.strictObject({}),
});

/** Kinds of repositories that only have options. */
export const fakeRepositories = new Map(
  [
    {
      name: 'filesystem',
      title: 'A directory',
      options: z.strictObject({
        path: z
          .string()
          .min(1)
          .meta({ description: 'Directory', examples: ['/var/lib/holdfast/repository'] }),
      }),
    },
    {
      name: 's3',
      title: 'A bucket',
      options: z.strictObject({
        bucket: z
          .string()
          .min(1)
          .meta({ description: 'Name of the bucket', examples: ['dr-backups'] }),
        region: z
          .string()
          .min(1)
          .meta({ description: 'Region of the bucket', examples: ['us-west-2'] })
          .optional(),
        'access-key-id': secretReference
          .meta({ description: 'Where the access key id is', examples: [{ env: 'AWS_ACCESS_KEY_ID' }] })
          .optional(),
      }),
    },
  ].map((kind) => [kind.name, kind]),
);

export const fakeCatalog: DriverCatalog = new Map<string, AnyDriver>(
  [store, workload, route, check].map((driver: AnyDriver) => [driver.name, driver]),
);
