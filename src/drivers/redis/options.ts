/** What the spec says of a Redis component and its sites. */
import { z } from 'zod';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { commandLine, duration, size } from '../../contracts/options.ts';
import { secretReference } from '../../contracts/secret-reference.ts';
import type { RedisTarget } from './port.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);

export interface RedisOptions {
  readonly 'min-replicas-to-write'?: number | undefined;
  readonly 'min-replicas-max-lag': number;
  readonly fingerprint?: number | undefined;
}

export interface RedisSiteOptions {
  readonly url: string;
  readonly password?: ResolvedSecret | undefined;
  readonly ca?: string | undefined;
  readonly 'peer-address'?: string | undefined;
  readonly 'replication-user'?: string | undefined;
  readonly 'replication-password'?: ResolvedSecret | undefined;
  readonly 'config-file'?: string | undefined;
  readonly start?: readonly string[] | undefined;
  readonly stop?: readonly string[] | undefined;
}

const urlPattern = /^rediss?:\/\/(?:[^:@/\s]+@)?(?:[^:@/\s[\]]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?\/?$/;
const addressPattern = /^(?:[^:@/\s[\]]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/;

export const componentOptions: z.ZodType<RedisOptions> = z.strictObject({
  'min-replicas-to-write': z
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe(
      'How many replicas must be there for the primary to take writes, once it is protected. Default: 1 with synchronous replication, else 0. With 1 or more a primary that is cut off stops acknowledging by itself',
    ),
  'min-replicas-max-lag': duration(
    'How long a replica may have been silent and still count for min-replicas-to-write; also how long a cut-off primary goes on acknowledging. Whole seconds',
  )
    .refine((ms) => ms >= 1_000 && ms % 1_000 === 0, 'must be whole seconds, at least 1s')
    .default(3_000),
  fingerprint: size(
    'The largest snapshot that is loaded into a scratch server of the controller, so that its keys are counted and digested (it takes as much memory as the server); 0 takes none. Default: 4GiB',
  ).optional(),
}) as unknown as z.ZodType<RedisOptions>;

export const siteOptions: z.ZodType<RedisSiteOptions> = z.strictObject({
  url: z
    .string()
    .regex(urlPattern, 'is not of the form redis://[user@]host[:port] or rediss://[user@]host[:port]; a password has a key of its own')
    .describe('Where the controller reaches it: redis://10.0.1.5:6379, with TLS rediss://holdfast@cache.example:6380'),
  password: secret('Password of the user in the url, or of the default user').optional(),
  ca: z.string().min(1).optional().describe('PEM file of the certificate authority to trust, on the controller'),
  'peer-address': z
    .string()
    .regex(addressPattern, 'is not of the form host:port')
    .optional()
    .describe("Where the other sites' servers reach it, if not at the address of the url: 10.0.1.5:6379"),
  'replication-user': z.string().min(1).optional().describe('ACL user with which it follows another site (masteruser)'),
  'replication-password': secret('Password with which it follows another site (masterauth). Default: its own password').optional(),
  'config-file': z
    .string()
    .startsWith('/')
    .optional()
    .describe('Its configuration file on its host. Needed to bar or to start it while it is down: hands edit it'),
  start: commandLine(
    'Starts the server; run by hands. It must return and leave the server running: ["systemctl", "start", "redis"]',
  ).optional(),
  stop: commandLine('Stops the server, also one that hangs; run by hands: ["systemctl", "stop", "redis"]').optional(),
}) as unknown as z.ZodType<RedisSiteOptions>;

export function targetOf(site: RedisSiteOptions): RedisTarget {
  const url = new URL(site.url);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6_379 : Number(url.port),
    tls: url.protocol === 'rediss:',
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(site.password === undefined ? {} : { password: site.password }),
    ...(site.ca === undefined ? {} : { caFile: site.ca }),
  };
}

/** Where the servers of other sites reach this one. */
export function peerAddressOf(site: RedisSiteOptions): { readonly host: string; readonly port: number } {
  const address = site['peer-address'];
  if (address === undefined) return targetOf(site);
  const split = address.lastIndexOf(':');
  return { host: address.slice(0, split).replace(/^\[|\]$/g, ''), port: Number(address.slice(split + 1)) };
}
