/**
 * The verb `route`: on every load balancer the servers of the regions have the wanted weights, and those of regions without traffic are out of use.
 *
 * Invariant: the side that receives is opened before the other one is closed, so there is no instant without a server; and a lower epoch than the one that HAProxy keeps changes
 * nothing. HAProxy has no compare-and-swap: the epoch is read just before it is written, so two executions within those milliseconds are not told apart. Dying in between leaves some servers
 * changed; `inspect` finds it absent and `apply` sets all of them again.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { parseRouteWant } from '../../contracts/route-want.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { type BackendState, epochVariable, readBackend, type ServerState } from './backend-state.ts';
import { changeByCommand, type HaproxyHost } from './client.ts';
import { type AdminAddress, type ComponentOptions, formatAdminAddress, type SiteOptions } from './options.ts';
import { computeServerWeights } from './server-weights.ts';

export interface RouteParts {
  readonly host: HaproxyHost;
  readonly options: ComponentOptions;
  readonly sites: ReadonlyMap<string, SiteOptions>;
  readonly probeTimeoutMs: number;
}

/** How every server shall be, by its name. */
type WantedServers = ReadonlyMap<string, { readonly region: string; readonly weight: number }>;

/** What one load balancer says, or why it does not. */
export interface BalancerView {
  readonly address: AdminAddress;
  readonly state: BackendState | HoldfastError;
}

const commandTimeoutMs = 5_000;
const drainPollMs = 200;

export function routeVerb(parts: RouteParts): Verb {
  return {
    inspect: async (want, context) => inspectRoute(parts, wantedServers(parts, want), context),
    apply: async (want, context) => applyRoute(parts, wantedServers(parts, want), context),
  };
}

export async function readBalancers(parts: RouteParts, signal: AbortSignal): Promise<readonly BalancerView[]> {
  const read = async (address: AdminAddress): Promise<BalancerView> => {
    try {
      return { address, state: await readBackend(parts.host, address, parts.options, { timeoutMs: parts.probeTimeoutMs, signal }) };
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return { address, state: error };
    }
  };
  return Promise.all(parts.options.admin.map(read));
}

/** The highest that any of them keeps: one that was started anew keeps none. */
export async function readKeptEpoch(parts: RouteParts, signal: AbortSignal): Promise<number | undefined> {
  const views = await readBalancers(parts, signal);
  const kept = views.flatMap(({ state }) => (!(state instanceof HoldfastError) && typeof state.epoch === 'number' ? [state.epoch] : []));
  if (kept.length === 0 && views[0]?.state instanceof HoldfastError) throw views[0].state;
  return kept.length === 0 ? undefined : Math.max(...kept);
}

function wantedServers(parts: RouteParts, want: JsonObject): WantedServers {
  const weights = parseRouteWant(want, parts.sites.keys());
  const perServer = computeServerWeights(weights, new Map([...parts.sites].map(([region, site]) => [region, site.server.length])));
  const wanted = new Map<string, { region: string; weight: number }>();
  for (const [region, site] of parts.sites)
    for (const server of site.server) wanted.set(server, { region, weight: perServer.get(region) ?? 0 });
  return wanted;
}

async function inspectRoute(parts: RouteParts, wanted: WantedServers, context: StepContext): Promise<Inspection> {
  const views = await readBalancers(parts, context.signal);
  const silent: string[] = [];
  const absent: string[] = [];
  const pending: string[] = [];
  for (const { address, state } of views) {
    const name = formatAdminAddress(address);
    if (state instanceof HoldfastError) {
      // With every one of them silent, or one that is set up wrongly, the error itself says most.
      if (views.length === 1 || state.kind !== 'transient') throw state;
      silent.push(`${name} does not confirm: ${state.message}`);
      continue;
    }
    refuseOlderEpoch(state, name, context.epoch);
    absent.push(...differences(parts.options, state, wanted, context.epoch).map((difference) => `${name}: ${difference}`));
    pending.push(...withoutServers(state, wanted).map((region) => `${name}: none of the servers of ${region} is up`));
  }
  if (silent.length === views.length && views[0]?.state instanceof HoldfastError) throw views[0].state;
  if (absent.length > 0) return { state: 'absent', why: absent.join('; ') };
  if (pending.length + silent.length > 0) return { state: 'pending', why: [...silent, ...pending].join('; ') };
  return {
    state: 'done',
    output: {
      confirmedBy: views.map(({ address }) => formatAdminAddress(address)),
      servers: Object.fromEntries([...wanted].map(([server, { weight }]) => [server, weight])),
    },
  };
}

function refuseOlderEpoch(state: BackendState, name: string, epoch: number): void {
  if (typeof state.epoch !== 'number' || state.epoch <= epoch) return;
  throw fail('EPOCH_SUPERSEDED', {
    message: `${name} was set under epoch ${state.epoch}; this execution works under ${epoch}`,
    details: { epoch: state.epoch },
  });
}

function differences(options: ComponentOptions, state: BackendState, wanted: WantedServers, epoch: number): readonly string[] {
  const found: string[] = [];
  for (const [name, { weight }] of wanted) {
    const server = state.servers.get(name);
    if (server === undefined) throw missingServer(options, name);
    const difference = differenceOf(options, server, weight);
    if (difference !== undefined) found.push(difference);
  }
  if (state.epoch !== 'unsupported' && state.epoch !== epoch) found.push(`epoch ${state.epoch ?? 'not kept'} instead of ${epoch}`);
  return found;
}

function missingServer(options: ComponentOptions, server: string): HoldfastError {
  return fail('NOT_FOUND', {
    message: `the backend ${options.backend} has no server ${server}`,
    hint: 'Set server of the site to the name on its server line in the backend.',
  });
}

function differenceOf(options: ComponentOptions, server: ServerState, weight: number): string | undefined {
  if (weight > 0) {
    if (server.inMaintenance) return `${server.name} is in maintenance`;
    if (server.draining) return `${server.name} is draining`;
    return server.weight === weight ? undefined : `${server.name} has weight ${server.weight} instead of ${weight}`;
  }
  const idle = options.idle === 'maint' ? server.inMaintenance : server.draining || server.inMaintenance;
  if (!idle) return `${server.name} is in use`;
  return options['shutdown-sessions'] && server.sessions > 0 ? `${server.name} still has ${server.sessions} sessions` : undefined;
}

/** Regions that shall get traffic and have no server which could take it. */
function withoutServers(state: BackendState, wanted: WantedServers): readonly string[] {
  const receiving = new Set([...wanted.values()].filter(({ weight }) => weight > 0).map(({ region }) => region));
  for (const [name, { region }] of wanted) if (state.servers.get(name)?.isUp === true) receiving.delete(region);
  return [...receiving];
}

/** Each load balancer is set on its own: one that is gone holds up none of the others. */
async function applyRoute(parts: RouteParts, wanted: WantedServers, context: StepContext): Promise<void> {
  const drainUntilMs = await drainDeadline(parts, context);
  const outcomes = await Promise.allSettled(parts.options.admin.map((address) => applyTo(parts, address, wanted, context, drainUntilMs)));
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason as unknown);
  // What can't be mended by trying again is worth more than what can.
  const telling = failures.find((error) => !(error instanceof HoldfastError) || error.kind !== 'transient');
  if (failures.length > 0) throw telling ?? failures[0];
}

/** Kept across a restart, so that resuming does not begin to wait anew. */
async function drainDeadline(parts: RouteParts, context: StepContext): Promise<number | undefined> {
  const drainMs = parts.options['drain-time'];
  if (drainMs === 0) return undefined;
  const kept = noteOf(context.note);
  if (kept !== undefined) return kept;
  const drainUntilMs = parts.host.clock.nowMs() + drainMs;
  await context.keepNote({ drainUntilMs });
  return drainUntilMs;
}

function noteOf(note: Json | undefined): number | undefined {
  const value = typeof note === 'object' && note !== null && !Array.isArray(note) ? (note as JsonObject).drainUntilMs : undefined;
  return typeof value === 'number' ? value : undefined;
}

async function applyTo(
  parts: RouteParts,
  address: AdminAddress,
  wanted: WantedServers,
  context: StepContext,
  drainUntilMs: number | undefined,
): Promise<void> {
  const { host, options } = parts;
  const before = await readBackend(host, address, options, { timeoutMs: parts.probeTimeoutMs, signal: context.signal });
  refuseOlderEpoch(before, formatAdminAddress(address), context.epoch);
  const missing = [...wanted.keys()].find((name) => !before.servers.has(name));
  if (missing !== undefined) throw missingServer(options, missing);
  const change = (command: string) => changeByCommand(host, address, command, { timeoutMs: commandTimeoutMs, signal: context.signal });
  if (before.epoch !== 'unsupported' && before.epoch !== context.epoch)
    await change(`experimental-mode on; set var ${epochVariable(options)} int(${context.epoch})`);
  for (const [name, { weight }] of wanted)
    if (weight > 0) await openServer(options, change, before.servers.get(name) as ServerState, weight);
  const idle = [...wanted].filter(([, { weight }]) => weight === 0).map(([name]) => before.servers.get(name) as ServerState);
  const closing = idle.filter((server) => differenceOf(options, server, 0) !== undefined);
  if (drainUntilMs !== undefined && closing.length > 0) {
    for (const { name, inMaintenance, draining } of closing)
      if (!inMaintenance && !draining) await change(`set server ${options.backend}/${name} state drain`);
    await awaitDrained(parts, address, closing, drainUntilMs, context);
  }
  for (const { name, inMaintenance, draining } of closing) {
    const isIdle = options.idle === 'maint' ? inMaintenance : draining || inMaintenance || drainUntilMs !== undefined;
    if (!isIdle) await change(`set server ${options.backend}/${name} state ${options.idle}`);
    if (options['shutdown-sessions']) await change(`shutdown sessions server ${options.backend}/${name}`);
  }
}

/** Its weight first: a server must not start with the share of another plan. */
async function openServer(
  options: ComponentOptions,
  change: (command: string) => Promise<void>,
  server: ServerState,
  weight: number,
): Promise<void> {
  if (server.weight !== weight) await change(`set weight ${options.backend}/${server.name} ${weight}`);
  if (server.inMaintenance || server.draining) await change(`set server ${options.backend}/${server.name} state ready`);
}

async function awaitDrained(
  parts: RouteParts,
  address: AdminAddress,
  closing: readonly ServerState[],
  drainUntilMs: number,
  context: StepContext,
): Promise<void> {
  const { host, options } = parts;
  for (;;) {
    const { servers } = await readBackend(host, address, options, { timeoutMs: parts.probeTimeoutMs, signal: context.signal });
    const sessions = closing.reduce((sum, { name }) => sum + (servers.get(name)?.sessions ?? 0), 0);
    const leftMs = drainUntilMs - host.clock.nowMs();
    if (sessions === 0 || leftMs <= 0) return;
    context.progress(`${sessions} sessions are still open on the old side of ${formatAdminAddress(address)}`);
    await host.clock.sleep(Math.min(drainPollMs, leftMs), context.signal);
  }
}
