/** HAProxy outside the regions: moves traffic by the runtime API, without a reload. */
import { defineDriver } from '../../contracts/driver.ts';
import { observeBalancers } from './observe.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions, validateOptions } from './options.ts';
import { type RouteParts, readKeptEpoch, routeVerb } from './route.ts';

export const driver = defineDriver<ComponentOptions, SiteOptions>({
  name: 'haproxy',
  title: 'HAProxy',
  summary: 'Sends traffic to the active region, or shares it by weight, by the runtime API of one or several HAProxy load balancers.',
  kind: 'route',
  verbs: [{ verb: 'route', needsHands: false, typicalMs: 200 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: validateOptions,
  open(context) {
    const parts: RouteParts = {
      host: context.host,
      options: context.options,
      sites: context.sites,
      probeTimeoutMs: context.probeTimeoutMs,
    };
    return {
      observe: (signal) => observeBalancers(parts, context.region, signal),
      verbs: { route: routeVerb(parts) },
      readEpoch: (signal) => readKeptEpoch(parts, signal),
      close: async () => {
        // Each command has a connection of its own, closed with its answer.
      },
    };
  },
});
