/** A value in a ConfigMap or Secret that says where clients inside of the clusters go: it follows the active region, and what reads it is restarted. Keeps no state of its own. */
import { HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { epochOf } from '../kubernetes-api/annotations.ts';
import { evidenceOfRefusal } from '../kubernetes-api/refusal.ts';
import { ConfigValue } from './config-value.ts';
import { type ConfigOptions, type ConfigSiteOptions, componentOptions, findFaults, revealed, siteOptions } from './options.ts';
import { type RouteParts, routeVerb } from './route.ts';

type ConfigContext = SiteContext<ConfigOptions, ConfigSiteOptions>;

async function observe(context: ConfigContext, own: ConfigValue, signal: AbortSignal): Promise<Reading> {
  const { options, region, sites, probeTimeoutMs, site } = context;
  try {
    const call = { timeoutMs: probeTimeoutMs, signal };
    const [object, identity] = await Promise.all([own.read(call), own.client.readClusterId(call)]);
    if (site['cluster-id'] !== undefined && identity !== site['cluster-id'])
      return readingOf({ kind: 'error', detail: `${own.client.name} is another cluster than cluster-id says` });
    const value = own.valueOf(object);
    const leadsTo = [...sites].find(([, each]) => revealed(each.value) === value)?.[0];
    const epoch = epochOf(object);
    return {
      ...readingOf({ kind: 'answered', detail: `${own.subject}: ${options.key} leads to ${leadsTo ?? 'none of the regions'}` }),
      role: leadsTo === undefined ? 'unknown' : leadsTo === region ? 'primary' : 'standby',
      ...(identity === undefined ? {} : { identity }),
      faults:
        leadsTo === undefined
          ? [
              {
                severity: 'problem',
                message: `${own.subject}: ${options.key} ${value === undefined ? 'is not set' : 'has the value of none of the regions'}`,
                hint: 'Set value of the sites to what stands there, or correct what stands there.',
              },
            ]
          : [],
      facts: { leadsTo: leadsTo ?? null, ...(epoch === undefined ? {} : { epoch }) },
    };
  } catch (error) {
    if (error instanceof HoldfastError && error.kind === 'bug') throw error;
    return readingOf(evidenceOfRefusal(error, own.client.name, 'the API'));
  }
}

function openSite(context: ConfigContext): Site {
  const { host, component, options, sites, region } = context;
  const values = new Map([...sites].map(([name, site]) => [name, new ConfigValue(host, component, options, site)]));
  const own = values.get(region) as ConfigValue;
  const parts: RouteParts = { options, sites, values, othersTimeoutMs: context.probeTimeoutMs };
  return {
    observe: (signal) => observe(context, own, signal),
    verbs: { route: routeVerb(parts) },
    readEpoch: async (signal) => epochOf(await own.read({ timeoutMs: options['call-timeout'], signal })),
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

export const driver = defineDriver<ConfigOptions, ConfigSiteOptions>({
  name: 'kubernetes-config',
  title: 'Kubernetes ConfigMap or Secret',
  summary: 'Leads clients inside of clusters to the active region by a value in a ConfigMap or Secret, and restarts what reads it.',
  kind: 'route',
  verbs: [{ verb: 'route', needsHands: false, typicalMs: 30_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
