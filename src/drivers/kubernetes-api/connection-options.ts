/** How a site's cluster is reached, the same for every driver that acts through its API: by a kubeconfig, from within the cluster, or by server, token and authority. */
import { z } from 'zod';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { secretReference } from '../../contracts/secret-reference.ts';

const secret = (description: string) => (secretReference as unknown as z.ZodType<ResolvedSecret>).describe(description);
const path = (description: string) => z.string().min(1).describe(description);

export const connectionOptions = {
  kubeconfig: path('Path of a kubeconfig file on the controller').optional(),
  context: z.string().min(1).optional().describe('The context of the kubeconfig; default: its current-context'),
  'in-cluster': z.literal(true).optional().describe('Holdfast runs in this very cluster, and uses the service account of its pod'),
  server: z
    .string()
    .regex(/^https?:\/\/[^\s/@]+(?:\/[^\s@]*)?$/, 'is not of the form https://host:port')
    .optional()
    .describe('The address of the API server, where there is no kubeconfig: https://10.0.1.5:6443'),
  token: secret('The bearer token for server').optional(),
  ca: path('PEM file of the certificate authority of server, on the controller').optional(),
  certificate: path('PEM file of the client certificate for server').optional(),
  key: secret('The private key of the certificate').optional(),
  'cluster-id': z.uuid().optional().describe('The uid of the namespace kube-system: nothing is changed in a cluster that has another one'),
} as const;

export interface ConnectionOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly 'in-cluster'?: true | undefined;
  readonly server?: string | undefined;
  readonly token?: ResolvedSecret | undefined;
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: ResolvedSecret | undefined;
  readonly 'cluster-id'?: string | undefined;
}

export interface OptionFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What no schema of a single key can see. */
export function connectionFaults(sites: ReadonlyMap<string, ConnectionOptions>): OptionFault[] {
  return [...sites].flatMap(([region, site]) => faultsOfSite(site).map((fault) => ({ ...fault, path: ['sites', region, ...fault.path] })));
}

function faultsOfSite(site: ConnectionOptions): OptionFault[] {
  const faults: OptionFault[] = [];
  const ways = (['kubeconfig', 'in-cluster', 'server'] as const).filter((key) => site[key] !== undefined);
  if (ways.length !== 1)
    faults.push({
      path: ways.length === 0 ? [] : [ways[1] as string],
      message: ways.length === 0 ? 'nothing says how the cluster is reached' : `${ways.join(' and ')} exclude each other`,
      hint: 'Give one of kubeconfig, in-cluster: true, or server.',
    });
  if (site.context !== undefined && site.kubeconfig === undefined)
    faults.push({ path: ['context'], message: 'context says nothing without a kubeconfig', hint: 'Name the file in kubeconfig.' });
  for (const key of ['token', 'ca', 'certificate', 'key'] as const)
    if (site[key] !== undefined && site.server === undefined)
      faults.push({
        path: [key],
        message: `${key} is for server, which is missing`,
        hint: 'Give server too, or let the kubeconfig say it.',
      });
  if ((site.certificate === undefined) !== (site.key === undefined))
    faults.push({ path: [site.key === undefined ? 'certificate' : 'key'], message: 'certificate and key go together', hint: 'Give both.' });
  if (site.server !== undefined && isInTheClear(site.server))
    faults.push({
      path: ['server'],
      message: 'the token would go over the network in the clear',
      hint: 'Use https. Only loopback (kubectl proxy) may do without.',
    });
  return faults;
}

/** Plain HTTP to another machine. */
export const isInTheClear = (server: string): boolean =>
  server.startsWith('http:') && !/^http:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::|\/|$)/.test(server);
