/** Opens a site for each component and region of the spec: options, hands, everything that a driver is given. No I/O happens here. */
import { fail } from '../base/errors.ts';
import type { DriverCatalog, Site, SiteContext } from '../contracts/driver.ts';
import type { Hands } from '../contracts/hands.ts';
import type { Host } from '../host/host.ts';
import type { HandsSpec, Spec } from '../spec/spec.ts';
import { type SiteKey, siteKey } from '../watch/site-key.ts';

export type OpenHands = (spec: HandsSpec) => Hands;

export interface OpenSites {
  readonly sites: ReadonlyMap<SiteKey, Site>;
  /** What each site was opened with. */
  readonly contexts: ReadonlyMap<SiteKey, SiteContext<unknown, unknown>>;
  /** Sites whose hands are local to another controller: from here they have none. */
  readonly withHandsElsewhere: ReadonlySet<SiteKey>;
  /** The hands of each site that has some; several sites may share the same. */
  readonly hands: ReadonlyMap<SiteKey, Hands>;
  close(): Promise<void>;
}

/** @param isOurs whether local hands in a region are those of this machine */
export function openSites(
  spec: Spec,
  catalog: DriverCatalog,
  host: Host,
  openHands: OpenHands,
  isOurs: (region: string) => boolean = () => true,
): OpenSites {
  const sites = new Map<SiteKey, Site>();
  const contexts = new Map<SiteKey, SiteContext<unknown, unknown>>();
  const hands = new Map<string, Hands>();
  const handsOfSite = new Map<SiteKey, Hands>();
  const withHandsElsewhere = new Set<SiteKey>();
  const handsOf = (wanted: HandsSpec | undefined): Hands | undefined => {
    if (!wanted) return undefined;
    const name = JSON.stringify(wanted);
    const known = hands.get(name) ?? openHands(wanted);
    hands.set(name, known);
    return known;
  };
  for (const component of spec.components.values()) {
    const driver = catalog.get(component.driver);
    if (!driver) throw fail('SPEC_INVALID', { subject: component.name, message: `there is no driver "${component.driver}"` });
    const options = new Map([...component.sites].map(([region, site]) => [region, site.options]));
    for (const [region, site] of component.sites) {
      const elsewhere = site.hands?.kind === 'local' && !isOurs(region);
      if (elsewhere) withHandsElsewhere.add(siteKey(component.name, region));
      const own = handsOf(elsewhere ? undefined : site.hands);
      if (own) handsOfSite.set(siteKey(component.name, region), own);
      const context: SiteContext<unknown, unknown> = {
        host: { ...host, log: host.log.with({ component: component.name, region }) },
        platform: spec.name,
        component: component.name,
        region,
        options: component.options,
        site: site.options,
        sites: options,
        replication: component.replication,
        hands: own,
        probeTimeoutMs: spec.watch.timeoutMs,
      };
      contexts.set(siteKey(component.name, region), context);
      sites.set(siteKey(component.name, region), driver.open(context));
    }
  }
  return {
    sites,
    contexts,
    withHandsElsewhere,
    hands: handsOfSite,
    close: async () => {
      await Promise.all([...sites.values()].map((site) => site.close()));
      await Promise.all([...hands.values()].map((each) => each.close()));
    },
  };
}
