/** What the spec says about an HAProxy in front of the regions. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';

export type AdminAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** `/run/haproxy/admin.sock`, `10.0.0.7:9999`, `[2001:db8::7]:9999`; undefined for anything else. */
export function parseAdminAddress(text: string): AdminAddress | undefined {
  if (text.startsWith('/')) return { kind: 'unix', path: text };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { kind: 'tcp', host, port };
}

export function formatAdminAddress(address: AdminAddress): string {
  if (address.kind === 'unix') return address.path;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

const adminAddress = z
  .string()
  .meta({
    description: 'Runtime API of one load balancer: the path of its Unix socket, or host:port',
    examples: ['/run/haproxy/admin.sock', '10.0.0.7:9999'],
  })
  .transform((text, context) => {
    const address = parseAdminAddress(text);
    if (address !== undefined) return address;
    context.addIssue({
      code: 'custom',
      message: `"${text}" is not the address of a runtime API`,
      params: { hint: 'Write the path of the socket, or host:port, as in the line "stats socket" of its configuration.' },
    });
    return z.NEVER;
  });

/** Names go into commands: one with a blank, a semicolon or a slash would say something else there. */
const name = z.string().regex(/^[A-Za-z0-9_.:-]+$/, 'a name has letters, digits and _ . : - only');

export const componentOptions = z.strictObject({
  admin: z
    .union([adminAddress, z.array(adminAddress).min(1)])
    .transform((value) => (Array.isArray(value) ? value : [value]))
    .describe('Runtime API (at level admin) of the load balancer, or of each one where there are several: all of them must agree'),
  backend: name.describe('The backend whose servers stand for the regions'),
  idle: z
    .enum(['maint', 'drain'])
    .default('maint')
    .describe(
      'State of the servers that get no traffic: maint refuses everything but stops their health checks; drain keeps the checks and lets sticky sessions go on',
    ),
  'drain-time': duration('How long servers that lose their traffic may finish their sessions first').prefault('0s'),
  'shutdown-sessions': z.boolean().default(false).describe('Whether sessions that are still open after that are cut'),
  'survives-reload': z
    .boolean()
    .default(false)
    .describe(
      'Set to true where HAProxy reads its server states back when it is reloaded (load-server-state-from-file, and the file is written before each reload)',
    ),
});

export type ComponentOptions = z.output<typeof componentOptions>;

export const siteOptions = z.strictObject({
  server: z
    .union([name, z.array(name).min(1)])
    .transform((value) => (typeof value === 'string' ? [value] : value))
    .describe('The server of the backend that stands for this region, or several'),
});

export type SiteOptions = z.output<typeof siteOptions>;

export function validateOptions(component: { readonly options: ComponentOptions; readonly sites: ReadonlyMap<string, SiteOptions> }) {
  const faults: { readonly path: readonly (string | number)[]; readonly message: string; readonly hint: string }[] = [];
  const owners = new Map<string, string>();
  for (const [region, site] of component.sites) {
    for (const server of site.server) {
      const owner = owners.get(server);
      if (owner !== undefined)
        faults.push({
          path: ['sites', region, 'server'],
          message: `${server} is named twice, here and in ${owner}`,
          hint: 'A server stands for one region.',
        });
      owners.set(server, region);
    }
  }
  const { admin } = component.options;
  if (new Set(admin.map(formatAdminAddress)).size < admin.length)
    faults.push({ path: ['admin'], message: 'a load balancer is named twice', hint: 'Name each one once.' });
  return faults;
}
