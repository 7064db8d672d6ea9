/** Opens one site of a driver from options as a spec has them: parsed by the driver's own schemas, checked by its own validation. */
import type { AnyDriver, Site } from '../../src/contracts/driver.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import type { Host } from '../../src/host/host.ts';

export interface OpenOptions {
  readonly host: Host;
  readonly options: unknown;
  readonly site: unknown;
  readonly hands?: Hands | undefined;
  readonly probeTimeoutMs?: number | undefined;
}

export function openDriverSite(driver: AnyDriver, { host, options, site, hands, probeTimeoutMs }: OpenOptions): Site {
  const parsedOptions = driver.componentOptions.parse(options);
  const parsedSite = driver.siteOptions.parse(site);
  const sites = new Map([['east', parsedSite]]);
  const faults = driver.validate?.({ options: parsedOptions, sites, replication: 'asynchronous' }) ?? [];
  if (faults.length > 0) throw new Error(faults.map((fault) => `${fault.path.join('.')}: ${fault.message}`).join('\n'));
  return driver.open({
    host,
    platform: 'test',
    component: 'api',
    region: 'east',
    options: parsedOptions,
    site: parsedSite,
    sites,
    replication: 'asynchronous',
    hands,
    probeTimeoutMs: probeTimeoutMs ?? 1_000,
  });
}
