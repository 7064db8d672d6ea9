/**
 * An HTTP service: watched by its health check, scaled by the user's own commands, verified by smoke checks.
 *
 * It keeps no data, so a site can be started anew anywhere; when the controller dies within a verb, the commands are run again (see `scale.ts`).
 */
import { defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import { Endpoint } from '../../contracts/workload/endpoint.ts';
import { HttpHealthProbe } from '../../contracts/workload/http-health.ts';
import { SmokeChecks } from '../../contracts/workload/smoke-checks.ts';
import {
  awaitReadyVerb,
  checkVerb,
  fenceVerb,
  scaleVerb,
  type Workload,
  type WorkloadSize,
} from '../../contracts/workload/workload-verbs.ts';
import { componentOptions, findFaults, type HttpServiceOptions, type HttpServiceSiteOptions, siteOptions } from './options.ts';
import { bringSize, readCounts, type ScaleCommands } from './scale.ts';

function openSite(context: SiteContext<HttpServiceOptions, HttpServiceSiteOptions>): Site {
  const { host, options, site, hands } = context;
  const endpoint = new Endpoint(host, site);
  const probe = new HttpHealthProbe(host.net, endpoint, options.health, context.probeTimeoutMs);
  const commands: ScaleCommands = {
    scale: site['scale-command'] ?? options['scale-command'],
    count: site['count-command'] ?? options['count-command'],
    start: site.start ?? options.start,
    stop: site.stop ?? options.stop,
    env: { ...options.env, ...site.env },
    timeoutMs: options['command-timeout'],
    region: context.region,
    component: context.component,
  };
  const full = options['full-replicas'];
  const replicas = (size: WorkloadSize) => (size === 'none' ? 0 : size === 'full' ? full : (options['standby-replicas'] ?? full));
  const { count } = commands;
  const workload: Workload = {
    replicas,
    observe: (signal) => probe.read(signal),
    ...(hands && count ? { readCounts: (signal: AbortSignal) => readCounts(hands, count, commands, signal) } : {}),
    ...(hands ? { bring: (size, step) => bringSize(hands, commands, size, replicas(size), step.signal) } : {}),
  };
  const smoke = options.smoke && options.smoke.length > 0 ? new SmokeChecks(host.net, endpoint, options.smoke) : undefined;
  const verbs: Partial<Record<SiteVerb, Verb>> = {
    'await-ready': awaitReadyVerb(workload),
    check: checkVerb(workload, smoke && ((signal) => smoke.inspect(signal))),
  };
  const canStop = commands.scale !== undefined || commands.stop !== undefined;
  if (hands && canStop) {
    verbs.fence = fenceVerb(workload, host.clock);
    if (commands.scale ?? commands.start) verbs.scale = scaleVerb(workload);
  }
  return { observe: (signal) => probe.read(signal), verbs, close: async () => {} };
}

export const driver = defineDriver<HttpServiceOptions, HttpServiceSiteOptions>({
  name: 'http-service',
  title: 'HTTP service',
  summary: 'Watches a service by its health check, scales it by your own commands and verifies it by smoke checks.',
  kind: 'workload',
  verbs: [
    { verb: 'scale', needsHands: true, typicalMs: 5_000 },
    { verb: 'await-ready', needsHands: false, typicalMs: 10_000 },
    { verb: 'fence', needsHands: true, typicalMs: 3_000 },
    { verb: 'check', needsHands: false, typicalMs: 1_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
