/**
 * The verb `route`: in every cluster the value is that of the region which shall serve, and what reads it was restarted.
 *
 * The cluster of that region must confirm. One that can't be reached holds nobody up, for it may be what was lost: it is named in the output, and has the old value when it comes back. Dying in between leaves
 * some clusters changed; `inspect` finds the others.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { onlyRegion, parseRouteWant } from '../../contracts/route-want.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { CallOptions } from '../kubernetes-api/client.ts';
import type { ConfigValue, ValueStanding } from './config-value.ts';
import type { ConfigOptions, ConfigSiteOptions } from './options.ts';

export interface RouteParts {
  readonly options: ConfigOptions;
  readonly sites: ReadonlyMap<string, ConfigSiteOptions>;
  readonly values: ReadonlyMap<string, ConfigValue>;
  /** How long a cluster that need not confirm is waited for: the lost one must not use up the time of the failover. */
  readonly othersTimeoutMs: number;
}

export function routeVerb(parts: RouteParts): Verb {
  return {
    inspect: (want, context) => inspectRoute(parts, want, context),
    apply: (want, context) => applyRoute(parts, want, context),
  };
}

function regionOf({ sites }: RouteParts, want: JsonObject): string {
  const region = onlyRegion(parseRouteWant(want, sites.keys()));
  if (region === undefined) throw fail('PLAN_IMPOSSIBLE', { message: 'a value leads to one region: it can not share traffic by weight' });
  return region;
}

const callOf = ({ options, othersTimeoutMs }: RouteParts, { signal }: StepContext, mustConfirm: boolean): CallOptions => ({
  timeoutMs: mustConfirm ? options['call-timeout'] : Math.min(options['call-timeout'], othersTimeoutMs),
  signal,
});

/** Whether the failure of another cluster than the one that shall serve may be passed over: it is not there. */
const isGone = (error: unknown): error is HoldfastError =>
  error instanceof HoldfastError && error.kind === 'transient' && error.code !== 'STATE_CONFLICT';

async function inspectRoute(parts: RouteParts, want: JsonObject, context: StepContext): Promise<Inspection> {
  const to = regionOf(parts, want);
  const { value } = parts.sites.get(to) as ConfigSiteOptions;
  const standings = await Promise.all(
    [...parts.values].map(async ([region, each]): Promise<ValueStanding & { readonly region: string; readonly gone: boolean }> => {
      try {
        return { region, gone: false, ...(await each.inspect(value, context.epoch, callOf(parts, context, region === to))) };
      } catch (error) {
        if (region === to || !isGone(error)) throw error;
        return { region, gone: true, state: 'done', why: `${each.subject} can not be reached: ${error.message}` };
      }
    }),
  );
  for (const state of ['absent', 'pending'] as const) {
    const open = standings.filter((each) => each.state === state);
    if (open.length > 0) return { state, why: open.map(({ why }) => why).join('; ') };
  }
  return {
    state: 'done',
    output: {
      confirmedBy: standings.filter(({ gone }) => !gone).map(({ region }) => region),
      unconfirmed: standings.filter(({ gone }) => gone).map(({ region, why }) => ({ region, why })),
      ...previousOf(context),
    },
  };
}

function previousOf({ note }: StepContext): JsonObject {
  const previous = typeof note === 'object' && note !== null && !Array.isArray(note) ? (note as JsonObject).previous : undefined;
  return previous === undefined ? {} : { previous };
}

async function applyRoute(parts: RouteParts, want: JsonObject, context: StepContext): Promise<void> {
  const to = regionOf(parts, want);
  const { value } = parts.sites.get(to) as ConfigSiteOptions;
  const mark = `${context.executionId} ${context.stepId}`;
  if (parts.options.secret === undefined && context.note === undefined)
    await context.keepNote({ previous: await readPrevious(parts, context, to) });
  // Where clients are to be served first: the others follow.
  const others = [...parts.values].filter(([region]) => region !== to);
  await (parts.values.get(to) as ConfigValue).set(value, mark, context.epoch, callOf(parts, context, true));
  const outcomes = await Promise.allSettled(others.map(([, each]) => each.set(value, mark, context.epoch, callOf(parts, context, false))));
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue;
    const reason: unknown = outcome.reason;
    // Which clusters were not reached is what `inspect` finds, and puts out.
    if (!isGone(reason)) throw reason;
  }
}

/** The values as they were, for the journal: a controller that goes on later must not take our own for the old one. */
async function readPrevious(parts: RouteParts, context: StepContext, to: string): Promise<JsonObject> {
  const read = async ([region, each]: [string, ConfigValue]): Promise<[string, string | null]> => {
    try {
      return [region, each.valueOf(await each.read(callOf(parts, context, region === to))) ?? null];
    } catch (error) {
      // What is not there has no value to be recorded; setting it tells why.
      if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
      return [region, null];
    }
  };
  return Object.fromEntries(await Promise.all([...parts.values].map(read)));
}
