/** What the spec says of an etcd cluster and its sites. */
import { z } from 'zod';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { secretReference } from '../../contracts/secret-reference.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);

export interface EtcdOptions {
  readonly user?: string | undefined;
  readonly password?: ResolvedSecret | undefined;
}

export interface EtcdSiteOptions {
  readonly endpoints: readonly string[];
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: ResolvedSecret | undefined;
}

export const componentOptions: z.ZodType<EtcdOptions> = z.strictObject({
  user: z.string().min(1).optional().describe('User of etcd, where its authentication is on; a snapshot needs the role root'),
  password: secret('Password of the user; it is also what a restored copy asks for').optional(),
}) as unknown as z.ZodType<EtcdOptions>;

export const siteOptions: z.ZodType<EtcdSiteOptions> = z.strictObject({
  endpoints: z
    .array(z.string().regex(/^https?:\/\/[^/\s@]+\/?$/, 'is not of the form https://host:port'))
    .min(1)
    .describe('The client addresses of the members in this region: https://10.0.1.5:2379'),
  ca: z.string().min(1).optional().describe('PEM file of the certificate authority to trust, on the controller'),
  certificate: z.string().min(1).optional().describe('PEM file of the certificate that the members ask clients for'),
  key: secret('The private key of the certificate').optional(),
}) as unknown as z.ZodType<EtcdSiteOptions>;

export function findFaults({ options, sites }: { readonly options: EtcdOptions; readonly sites: ReadonlyMap<string, EtcdSiteOptions> }) {
  const faults: { path: readonly (string | number)[]; message: string; hint: string }[] = [];
  if ((options.user === undefined) !== (options.password === undefined))
    faults.push({
      path: [options.user === undefined ? 'password' : 'user'],
      message: 'user and password go together',
      hint: 'Give both, or neither where the authentication of etcd is off.',
    });
  for (const [region, site] of sites) {
    if ((site.certificate === undefined) !== (site.key === undefined))
      faults.push({
        path: ['sites', region, site.certificate === undefined ? 'key' : 'certificate'],
        message: 'certificate and key go together',
        hint: 'Give both, or neither where the members ask for no certificate.',
      });
    if (options.password !== undefined && site.endpoints.some(isInTheClear))
      faults.push({
        path: ['sites', region, 'endpoints'],
        message: 'the password would go over the network in the clear',
        hint: 'Use https. Only loopback may do without.',
      });
  }
  return faults;
}

/** Plain HTTP to another machine. */
const isInTheClear = (endpoint: string): boolean =>
  endpoint.startsWith('http:') && !/^http:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::|\/|$)/.test(endpoint);
