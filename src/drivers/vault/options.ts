/** What the spec says of a Vault (or OpenBao) and its sites, and of where its keys are kept. */
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import { parseInstantMs } from '../../base/instants.ts';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { duration } from '../../contracts/options.ts';
import { secretReference } from '../../contracts/secret-reference.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);

const day = (description: string) =>
  z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}$/, 'is not a day: 2026-01-31')
    .refine(isDay, 'is not a day of the calendar')
    .describe(description);

function isDay(text: string): boolean {
  try {
    dayMs(text);
    return true;
  } catch (error) {
    if (error instanceof HoldfastError) return false; // no such day: that is the answer
    throw error;
  }
}

/** Midnight UTC at the beginning of the day. */
export const dayMs = (text: string): number => parseInstantMs(`${text}T00:00:00Z`);

const escrow = z
  .strictObject({
    kept: z
      .string()
      .min(1)
      .describe('Where the shares of the unseal keys (or the recovery keys) are kept, and by whom: outside of this Vault'),
    'last-drill': day('The day on which a restored copy was last unsealed with the shares that are kept').optional(),
    'drill-every': duration('How often that must be shown').prefault('92d'),
  })
  .describe('Where the unseal keys are kept. A snapshot can be read only with the keys of its own time');

const breakGlass = z
  .strictObject({
    kept: z.string().min(1).describe('Where the credentials that a recovery needs are kept while this Vault is down'),
    'last-test': day('The day on which they were last used with this Vault down').optional(),
    'test-every': duration('How often that must be shown').prefault('92d'),
  })
  .describe('How people get at credentials without this Vault');

export const componentOptions = z.strictObject({
  token: secret(
    'Token of Vault for snapshots, the state of its cluster and the mark of a restore; it is also in the data, so it is good again after a restore',
  ).optional(),
  'unseal-keys': z
    .array(secret('One share'))
    .min(1)
    .describe('Shares of the unseal keys, where Holdfast itself may unseal what it has restored; without them a person does')
    .optional(),
  'key-escrow': escrow.optional(),
  'break-glass': breakGlass.optional(),
  'call-timeout': duration('How long one call may take, and each piece of a snapshot').prefault('60s'),
});

export const siteOptions = z.strictObject({
  endpoints: z
    .array(z.string().regex(/^https?:\/\/[^/\s@]+\/?$/, 'is not of the form https://host:port'))
    .min(1)
    .describe(
      'The API addresses of the nodes in this region: https://10.0.1.5:8200. Not a load balancer: a snapshot comes from the active node',
    ),
  ca: z.string().min(1).optional().describe('PEM file of the certificate authority to trust, on the controller'),
  'cluster-id': z.string().min(1).optional().describe('The cluster that must answer here; another one is never taken for it'),
  'fresh-token': secret('Token of the empty node that a restore goes into; its data is gone afterwards, and it with it').optional(),
});

export type VaultOptions = z.output<typeof componentOptions>;
export type VaultSiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function findFaults(component: {
  readonly options: VaultOptions;
  readonly sites: ReadonlyMap<string, VaultSiteOptions>;
  readonly replication: string;
}): readonly Fault[] {
  const { options, sites, replication } = component;
  const faults: Fault[] = [];
  if (sites.size > 1 && replication !== 'none')
    faults.push({
      path: ['replication'],
      message: 'Holdfast promotes no replica of Vault: that needs the key shares of people',
      hint: 'Say replication: none: a failover then restores the newest snapshot.',
    });
  for (const [region, site] of sites)
    if ((options.token ?? options['unseal-keys'] ?? site['fresh-token']) !== undefined && site.endpoints.some(isInTheClear))
      faults.push({
        path: ['sites', region, 'endpoints'],
        message: 'the token would go over the network in the clear',
        hint: 'Use https. Only loopback may do without.',
      });
  return faults;
}

/** Plain HTTP to another machine. */
const isInTheClear = (endpoint: string): boolean =>
  endpoint.startsWith('http:') && !/^http:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::|\/|$)/.test(endpoint);
