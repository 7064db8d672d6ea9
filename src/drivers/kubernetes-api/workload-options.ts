/** Options of a deployment or a stateful set. Strict: an unknown key is a fault with a line number, never a silent no-op. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { endpointOptions } from '../../contracts/workload/endpoint.ts';
import { httpHealthOptions } from '../../contracts/workload/http-health.ts';
import { smokeOptions } from '../../contracts/workload/smoke-checks.ts';
import { argoOptions } from './argo-owner.ts';
import { type ConnectionOptions, connectionFaults, connectionOptions, type OptionFault } from './connection-options.ts';

const count = z.int().min(0);

export const workloadComponentOptions = z.strictObject({
  namespace: z.string().min(1).describe('The namespace; there is no default, for a command without one changes something else'),
  name: z.string().min(1).describe('The name of the deployment or stateful set'),
  'full-replicas': count
    .min(1)
    .optional()
    .describe('How many replicas carry the whole load; default: as many as there were before Holdfast set fewer'),
  'standby-replicas': count.optional().describe('How many replicas run in a standby region; default: as many as full-replicas'),
  zones: z.int().min(1).optional().describe('In how many zones at least there must be ready pods'),
  'deny-network': z
    .boolean()
    .default(false)
    .describe('A fence also puts a NetworkPolicy in place that lets nothing in or out of the pods, until they are scaled up again'),
  argocd: argoOptions.prefault({}),
  health: httpHealthOptions.optional(),
  smoke: smokeOptions.optional(),
  'call-timeout': duration('How long one request to the API may take in a step').prefault('10s'),
});

export const workloadSiteOptions = z.strictObject({
  ...connectionOptions,
  namespace: z.string().min(1).optional().describe('The namespace in this region, where it is another one'),
  service: z.strictObject(endpointOptions).optional().describe('Where the pods answer over HTTP, for health and smoke'),
});

export type WorkloadComponentOptions = z.output<typeof workloadComponentOptions>;
export type WorkloadSiteOptions = z.output<typeof workloadSiteOptions>;

export function findWorkloadFaults(
  options: WorkloadComponentOptions,
  sites: ReadonlyMap<string, WorkloadSiteOptions>,
): readonly OptionFault[] {
  const faults = connectionFaults(sites as ReadonlyMap<string, ConnectionOptions>);
  const [standby, full] = [options['standby-replicas'], options['full-replicas']];
  if (standby !== undefined && full !== undefined && standby > full)
    faults.push({
      path: ['standby-replicas'],
      message: `${standby} standby replicas are more than the ${full} of full-replicas`,
      hint: 'Raise full-replicas or lower standby-replicas.',
    });
  for (const [region, site] of sites)
    if (site.service === undefined && (options.health !== undefined || options.smoke !== undefined))
      faults.push({
        path: ['sites', region],
        message: 'health and smoke need the service of the site',
        hint: 'Add service: { url: ... }, where the pods answer.',
      });
  return faults;
}
