/**
 * What a spec may say about a PostgreSQL component and its sites. Passwords are references and never part of a url: a spec is shown, sent and logged.
 */
import { z } from 'zod';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { commandLine, duration, size } from '../../contracts/options.ts';
import { secretReference } from '../../contracts/secret-reference.ts';
import type { Address } from './ports.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);

/** Hands match processes by the path of their working directory, so it must mean only itself in a pattern. */
const plainPath = z.string().regex(/^\/[^*?[\]\\\n]*[^*?[\]\\\n/]$/, 'is not an absolute path without * ? [ ] and \\');
/** Fits unquoted into a connection string and a list of standbys. */
const plainName = z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'is not a name of lower-case letters, digits and _');

function urlFault(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is not a url';
  const url = new URL(text);
  if (url.protocol !== 'postgresql:' && url.protocol !== 'postgres:') return 'does not start with postgresql://';
  if (url.password !== '') return 'holds a password: name it under `password`, as { env: NAME } or { file: PATH }';
  if (url.username === '') return 'names no user: postgresql://USER@HOST:PORT/DATABASE';
  if (url.hostname === '') return 'names no host: postgresql://USER@HOST:PORT/DATABASE';
  if (url.search !== '') return 'has parameters: use the keys of the site instead';
  return undefined;
}

export const componentOptions = z.strictObject({
  slots: z
    .boolean()
    .default(true)
    .describe('Keep a physical replication slot for each standby, so that the primary keeps the log which a standby still needs'),
  'slot-warning': size('Warn when a slot makes the primary keep more of its log than this').default(8 * 1024 ** 3),
  'stale-link': duration('A replication link that has brought nothing for so long is not known to be alive').default(10_000),
  'orderly-stop': duration('How long an orderly stop may take when the failover is unplanned; then the server is stopped at once').default(
    2_000,
  ),
  'archive-slot': plainName
    .optional()
    .describe('The replication slot by which the log is archived continuously; default: holdfast_archive_ and the name of the component'),
  'archive-wait': duration(
    'How long a backup waits for the log that it needs to be in the archive; after it the backup has failed',
  ).default(60_000),
  fingerprint: size(
    'How much of the content is digested at the end of a backup, so that a restored copy can be compared; 0B takes none',
  ).default(64 * 1024 ** 2),
  'restore-bin-directory': plainPath
    .optional()
    .describe('Where the programs are on the machine that restores; default: looked for by the version of the backup'),
});
export type ComponentOptions = z.output<typeof componentOptions>;

export const siteOptions = z.strictObject({
  url: z
    .string()
    .superRefine((text, context) => {
      const fault = urlFault(text);
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
    })
    .meta({ description: 'Where the server is reached, without a password', examples: ['postgresql://holdfast@10.0.1.5:5432/orders'] }),
  password: secret('The password of the user in the url').optional(),
  replication: z
    .strictObject({
      user: z.string().min(1).describe('The role that standbys connect as; it needs REPLICATION'),
      password: secret('Its password').optional(),
    })
    .optional()
    .describe('How standbys connect to this server while it is the primary; without it the user of the url'),
  member: plainName
    .optional()
    .describe('The name that this server gives itself as a standby (application_name); default: component_region'),
  'data-directory': plainPath.optional().describe('The data directory on its host; needed, with hands, to fence, follow and salvage'),
  'bin-directory': plainPath
    .optional()
    .describe('Where pg_ctl and pg_rewind are on its host; default: looked for by the version of the data'),
  start: commandLine('Starts the server instead of pg_ctl, for example [systemctl, start, postgresql]').optional(),
  stop: commandLine('Stops the server in an orderly way instead of pg_ctl, for example [systemctl, stop, postgresql]').optional(),
  tls: z
    .strictObject({
      mode: z.enum(['disable', 'require', 'verify-ca', 'verify-full']).describe('As sslmode of libpq'),
      ca: plainPath.optional().describe('File with the certificate authority to trust'),
    })
    .optional()
    .describe('Encryption of our connection and of the replication; default: disable'),
});
export type SiteOptions = z.output<typeof siteOptions>;

export function addressOf(site: SiteOptions): Address {
  const url = new URL(site.url);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 5432 : Number(url.port),
    user: decodeURIComponent(url.username),
    database: url.pathname.length > 1 ? decodeURIComponent(url.pathname.slice(1)) : 'postgres',
    password: site.password,
    tls: { mode: site.tls?.mode ?? 'disable', ca: site.tls?.ca },
  };
}

export function memberOf(component: string, region: string, site: SiteOptions): string {
  return (
    site.member ??
    `${component}_${region}`
      .toLowerCase()
      .replace(/[^a-z0-9_]/g, '_')
      .replace(/^(?=[0-9])/, '_')
      .slice(0, 63)
  );
}
