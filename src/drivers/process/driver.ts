/**
 * A workload made of processes on a host, started and stopped through hands.
 *
 * It keeps no data. A controller that dies while starting or stopping leaves some processes in the one state and some in the other; the verb, run again, finishes the rest.
 */
import { HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { SiteVerb, StepContext, Verb } from '../../contracts/verbs.ts';
import { Endpoint } from '../../contracts/workload/endpoint.ts';
import { HttpHealthProbe } from '../../contracts/workload/http-health.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import { SmokeChecks } from '../../contracts/workload/smoke-checks.ts';
import {
  awaitReadyVerb,
  checkVerb,
  fenceVerb,
  scaleVerb,
  type Workload,
  type WorkloadCounts,
  type WorkloadSize,
} from '../../contracts/workload/workload-verbs.ts';
import { type ControlledProcess, controlProcess } from './controlled-process.ts';
import { componentOptions, findFaults, mergeProcesses, type ProcessOptions, type ProcessSiteOptions, siteOptions } from './options.ts';

type Context = SiteContext<ProcessOptions, ProcessSiteOptions>;

/** Looks at the workload from outside; undefined where the spec names nothing to look at. */
function outsideView(context: Context): ((signal: AbortSignal) => Promise<Reading>) | undefined {
  const { host, options, site } = context;
  if (options.health && site.url !== undefined) {
    const probe = new HttpHealthProbe(host.net, new Endpoint(host, { ...site, url: site.url }), options.health, context.probeTimeoutMs);
    return (signal) => probe.read(signal);
  }
  const { tcp } = site;
  if (tcp === undefined) return undefined;
  const colon = tcp.lastIndexOf(':');
  const target = {
    host: tcp.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(tcp.slice(colon + 1)),
    timeoutMs: context.probeTimeoutMs,
  };
  return async (signal) => {
    try {
      const connection = await host.net.connectTcp({ ...target, signal });
      connection.close();
      return readingOf({ kind: 'answered', detail: `${tcp} accepts connections` });
    } catch (thrown) {
      return readingOf(evidenceOfNetError(thrown, tcp));
    }
  };
}

async function runningOf(processes: readonly ControlledProcess[], signal: AbortSignal): Promise<readonly ControlledProcess[]> {
  const running = await Promise.all(processes.map((each) => each.runs(signal)));
  return processes.filter((_, index) => running[index]);
}

/** Looks through the hands: each process by its status. */
async function insideView(processes: readonly ControlledProcess[], handsName: string, signal: AbortSignal): Promise<Reading> {
  try {
    const running = await runningOf(processes, signal);
    const replicas = { wanted: processes.length, ready: running.length };
    if (running.length === processes.length)
      return {
        ...readingOf({ kind: 'answered', detail: `${running.length} of ${processes.length} processes run on ${handsName}` }),
        replicas,
      };
    const missing = processes.filter((each) => !running.includes(each)).map((each) => each.name);
    // The host itself says that nothing runs: as good as a refused connection.
    const kind = running.length === 0 ? 'refused' : 'wrong-answer';
    return { ...readingOf({ kind, detail: `not running on ${handsName}: ${missing.join(', ')}` }), replicas };
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug') throw thrown;
    const kind = thrown.code === 'TIMED_OUT' ? 'timeout' : thrown.code === 'HANDS_UNREACHABLE' ? 'unreachable' : 'error';
    return readingOf({ kind, detail: thrown.message });
  }
}

async function bringSize(processes: readonly ControlledProcess[], started: boolean, bar: boolean, context: StepContext): Promise<void> {
  const ordered = started ? processes : processes.toReversed();
  for (const each of ordered) {
    context.progress(`${started ? 'starting' : 'stopping'} ${each.name}`);
    if (started) await each.start(context);
    else await each.stop(context, bar);
  }
}

function openSite(context: Context): Site {
  const { host, options, site, hands } = context;
  const definitions = [...mergeProcesses(options, site)];
  const processes = hands
    ? definitions.map(([name, definition]) => controlProcess(name, definition, hands, options['command-timeout']))
    : [];
  const outside = outsideView(context);
  const replicas = (size: WorkloadSize) =>
    size === 'none' || (size === 'standby' && options.standby === 'stopped') ? 0 : definitions.length;
  const observe = async (signal: AbortSignal): Promise<Reading> => {
    if (outside) return outside(signal);
    if (hands) return insideView(processes, hands.name, signal);
    return readingOf({ kind: 'error', detail: 'nothing to look at: the site has no health check, no tcp and no hands' });
  };
  const readCounts = async (signal: AbortSignal): Promise<WorkloadCounts> => {
    const { length } = await runningOf(processes, signal);
    return { wanted: length, ready: length };
  };
  const workload: Workload = {
    replicas,
    observe,
    ...(hands ? { readCounts, bring: (size, step, bar) => bringSize(processes, replicas(size) > 0, bar === true, step) } : {}),
  };
  const smoke =
    options.smoke && options.smoke.length > 0 && site.url !== undefined
      ? new SmokeChecks(host.net, new Endpoint(host, { ...site, url: site.url }), options.smoke)
      : undefined;
  const verbs: Partial<Record<SiteVerb, Verb>> = {
    'await-ready': awaitReadyVerb(workload),
    check: checkVerb(workload, smoke && ((signal) => smoke.inspect(signal))),
  };
  if (hands) {
    verbs.scale = scaleVerb(workload);
    verbs.fence = fenceVerb(workload, host.clock);
  }
  return { observe, verbs, close: async () => {} };
}

export const driver = defineDriver<ProcessOptions, ProcessSiteOptions>({
  name: 'process',
  title: 'Processes',
  summary: 'Starts, stops and watches processes on a host, by your own commands or by a pid file of its own.',
  kind: 'workload',
  verbs: [
    { verb: 'scale', needsHands: true, typicalMs: 1_000 },
    { verb: 'await-ready', needsHands: false, typicalMs: 3_000 },
    { verb: 'fence', needsHands: true, typicalMs: 1_000 },
    { verb: 'check', needsHands: false, typicalMs: 1_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
