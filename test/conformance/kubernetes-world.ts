/** Opens sites of the Kubernetes drivers at a stand-in for their cluster. */
import type { AnyDriver, Site } from '../../src/contracts/driver.ts';
import type { Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import type { KubernetesStandIn } from '../systems/kubernetes/kubernetes.ts';

export const clusterHost = nodeHost({ logTo: 'silent' });

/** As a site's options name it: by a kubeconfig. */
export async function connectionTo(cluster: KubernetesStandIn, more: object = {}): Promise<object> {
  return { kubeconfig: await cluster.writeKubeconfig('stand-in'), ...more };
}

export function openAt(
  driver: AnyDriver,
  options: object,
  sites: Readonly<Record<string, object>>,
  {
    region = Object.keys(sites)[0] as string,
    host = clusterHost,
    probeTimeoutMs = 2_000,
  }: { readonly region?: string; readonly host?: Host; readonly probeTimeoutMs?: number } = {},
): Site {
  const parsedOptions = driver.componentOptions.parse(options);
  const parsed = new Map(Object.entries(sites).map(([name, site]) => [name, driver.siteOptions.parse(site)]));
  const faults = driver.validate?.({ options: parsedOptions, sites: parsed, replication: 'asynchronous' }) ?? [];
  if (faults.length > 0) throw new Error(faults.map((fault) => `${fault.path.join('.')}: ${fault.message}`).join('\n'));
  return driver.open({
    host,
    platform: 'test',
    component: 'api',
    region,
    options: parsedOptions,
    site: parsed.get(region),
    sites: parsed,
    replication: 'asynchronous',
    hands: undefined,
    probeTimeoutMs,
  });
}

export const probe = (): AbortSignal => AbortSignal.timeout(10_000);
