/** Opens one site of a route from options as a spec has them: parsed by the driver's own schemas, checked by its own validation. */
import type { AnyDriver, Site } from '../../src/contracts/driver.ts';
import type { Host } from '../../src/host/host.ts';

export interface OpenRouteOptions {
  readonly host: Host;
  readonly region: string;
  readonly options: unknown;
  readonly sites: Readonly<Record<string, unknown>>;
  readonly probeTimeoutMs: number;
}

export function openRouteSite(driver: AnyDriver, { host, region, options, sites, probeTimeoutMs }: OpenRouteOptions): Site {
  const parsedOptions = driver.componentOptions.parse(options);
  const parsedSites = new Map(Object.entries(sites).map(([name, site]) => [name, driver.siteOptions.parse(site)]));
  const faults = driver.validate?.({ options: parsedOptions, sites: parsedSites, replication: 'asynchronous' }) ?? [];
  if (faults.length > 0) throw new Error(faults.map((fault) => `${fault.path.join('.')}: ${fault.message}`).join('\n'));
  return driver.open({
    host,
    platform: 'test',
    component: 'name',
    region,
    options: parsedOptions,
    site: parsedSites.get(region),
    sites: parsedSites,
    replication: 'asynchronous',
    hands: undefined,
    probeTimeoutMs,
  });
}
