/** A record in Route 53 that traffic follows: weighted records, changed by batches that fail where somebody else was faster. */
import { defineDriver } from '../../contracts/driver.ts';
import { Route53 } from './client.ts';
import { RouteObserver } from './observe.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions, validateOptions } from './options.ts';
import { readRoute, routeVerb } from './route.ts';
import type { RouteParts } from './route-parts.ts';

export const driver = defineDriver<ComponentOptions, SiteOptions>({
  name: 'route53',
  title: 'Route 53',
  summary: 'Points a DNS record in Amazon Route 53 to the active region, or shares it by weight, and waits until the change is in sync.',
  kind: 'route',
  verbs: [{ verb: 'route', needsHands: false, typicalMs: 45_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: validateOptions,
  open(context) {
    const client = new Route53(context.host, context.options['zone-id'], context.options);
    const parts: RouteParts = {
      host: context.host,
      client,
      options: context.options,
      sites: context.sites,
      probeTimeoutMs: context.probeTimeoutMs,
    };
    const observer = new RouteObserver(parts, context.region);
    return {
      observe: (signal) => observer.observe(signal),
      verbs: { route: routeVerb(parts) },
      readEpoch: async (signal) => (await readRoute(parts, { timeoutMs: parts.probeTimeoutMs, signal })).mark?.epoch,
      close: () => client.close(),
    };
  },
});
