/** What the spec says of a ClickHouse server and its sites. */
import { posix } from 'node:path';
import { z } from 'zod';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { commandLine, duration } from '../../contracts/options.ts';
import type { Replication } from '../../contracts/replication.ts';
import { secretReference } from '../../contracts/secret-reference.ts';
import { findPatternFault } from './table-patterns.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);

export interface ClickhouseOptions {
  readonly user: string;
  readonly password?: ResolvedSecret | undefined;
  readonly tables: readonly string[];
  readonly 'delay-limit': number;
  readonly 'queue-limit': number;
  readonly 'backup-timeout': number;
  readonly 'keep-base': boolean;
  readonly 'hold-merges': boolean;
  readonly program: readonly string[];
}

export interface ClickhouseSiteOptions {
  readonly url: string;
  readonly ca?: string | undefined;
  readonly 'backups-directory': string;
}

export const componentOptions: z.ZodType<ClickhouseOptions> = z.strictObject({
  user: z.string().min(1).default('default').describe('User of the server'),
  password: secret('Password of the user').optional(),
  tables: z
    .array(
      z.string().superRefine((pattern, context) => {
        const message = findPatternFault(pattern);
        if (message !== undefined) context.addIssue({ code: 'custom', message });
      }),
    )
    .min(1)
    .default(['*.*'])
    .describe('What is backed up: DATABASE.TABLE, where * and ? stand for any characters of a name; looked up anew for each backup'),
  'delay-limit': duration('How far a replicated table may be behind its other replicas before that is a fault').prefault('5m'),
  'queue-limit': z.int().min(1).default(100).describe('How many entries a replication queue may have before that is a fault'),
  'backup-timeout': duration('How long the server may take for one backup or restore').prefault('6h'),
  'keep-base': z
    .boolean()
    .default(false)
    .describe('The newest full backup stays on the server, as large as it is, so that increments can build on it'),
  'hold-merges': z
    .boolean()
    .default(false)
    .describe(
      'Merges of the tables stand still until their content has been digested: without it, tables that are written to are often not digested',
    ),
  program: commandLine('How the ClickHouse program is called on this machine, for proofs and restores').prefault(['clickhouse']),
}) as unknown as z.ZodType<ClickhouseOptions>;

export const siteOptions: z.ZodType<ClickhouseSiteOptions> = z.strictObject({
  url: z
    .string()
    .regex(/^https?:\/\/[^/\s@?]+\/?$/, 'is not of the form https://host:port')
    .describe('The HTTP interface of the server: https://10.0.1.5:8443'),
  ca: z.string().min(1).optional().describe('PEM file of the certificate authority to trust, on the controller'),
  'backups-directory': z
    .string()
    .refine(
      (path) => posix.isAbsolute(path) && posix.normalize(path) === path && !path.endsWith('/'),
      'must be an absolute path without . or ..',
    )
    .default('/var/lib/clickhouse/user_files/holdfast')
    .describe('Where the server puts backups: below its user_files_path, and allowed by backups.allowed_path in its configuration'),
}) as unknown as z.ZodType<ClickhouseSiteOptions>;

export function findFaults(component: {
  readonly options: ClickhouseOptions;
  readonly sites: ReadonlyMap<string, ClickhouseSiteOptions>;
  readonly replication: Replication;
}) {
  const faults: { path: readonly (string | number)[]; message: string; hint: string }[] = [];
  if (component.sites.size > 1 && component.replication !== 'none')
    faults.push({
      path: ['replication'],
      message: 'ClickHouse has no primary that could be promoted: each replica takes writes',
      hint: 'Write replication: none, and the other region gets the tables back from a backup; or give each region a component of its own.',
    });
  for (const [region, { url }] of component.sites)
    if (component.options.password !== undefined && /^http:\/\/(?!127\.|localhost[:/]|localhost$|\[::1\])/.test(url))
      faults.push({
        path: ['sites', region, 'url'],
        message: 'the password would go over the network in the clear',
        hint: 'Use https. Only loopback may do without.',
      });
  return faults;
}
