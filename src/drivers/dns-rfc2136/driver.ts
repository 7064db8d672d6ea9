/** DNS records changed by dynamic update (RFC 2136) with TSIG: BIND, Knot, PowerDNS, Windows DNS and others. */
import { assert } from '../../base/assert.ts';
import { Secret } from '../../base/secret.ts';
import { defineDriver } from '../../contracts/driver.ts';
import { observeRoute } from './observe.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions, validateOptions } from './options.ts';
import { type RouteParts, routeVerb } from './route.ts';
import { readPrimary } from './route-view.ts';

export const driver = defineDriver<ComponentOptions, SiteOptions>({
  name: 'dns-rfc2136',
  title: 'DNS (dynamic update)',
  summary:
    'Points a DNS record to the active region by signed dynamic updates (RFC 2136) and confirms it at every name server of the zone.',
  kind: 'route',
  verbs: [{ verb: 'route', needsHands: false, typicalMs: 1_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: validateOptions,
  open(context) {
    const { secret } = context.options.key;
    assert(secret instanceof Secret, 'secrets are resolved before a site is opened');
    const parts: RouteParts = {
      host: context.host,
      options: context.options,
      key: { ...context.options.key, secret },
      sites: context.sites,
      probeTimeoutMs: context.probeTimeoutMs,
    };
    return {
      observe: (signal) => observeRoute(parts, context.region, signal),
      verbs: { route: routeVerb(parts) },
      readEpoch: async (signal) => (await readPrimary(parts.host, parts.options, { timeoutMs: parts.probeTimeoutMs, signal })).mark?.epoch,
      close: async () => {
        // Nothing stays open between two questions.
      },
    };
  },
});
