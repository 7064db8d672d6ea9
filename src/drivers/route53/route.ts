/**
 * The verb `route`: one weighted record for each region, with the wanted weights and the TTL of the spec, in sync at the servers of the service.
 *
 * Invariant: one batch deletes exactly the records that were just read and makes the new ones, epoch included. The service takes it whole or not at all, and not if one of the records has
 * changed in between: so a lower epoch never overwrites a higher one, and a change by somebody else is never overwritten unseen. (`UPSERT` would overwrite anything.)
 *
 * Dying before the batch changes nothing. Dying after it, before the id of the change is kept, leaves records that hold and no id to ask for: then the epoch record is written once more as it
 * is, which changes nothing and gives an id; changes of a zone come into sync in order.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { onlyRegion, parseRouteWant } from '../../contracts/route-want.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { askConfirmations } from './ask-servers.ts';
import type { CallLimits, Change, RecordSet } from './client.ts';
import { type EpochMark, epochRecord, epochRecordName, readEpochMark, refuseOlderEpoch } from './epoch-record.ts';
import type { ComponentOptions } from './options.ts';
import type { RouteParts } from './route-parts.ts';
import { describeRecords, policyOf, sameRecords, wantedRecords, wholeWeights } from './weighted-records.ts';

export interface RouteView {
  readonly sets: readonly RecordSet[];
  readonly markSets: readonly RecordSet[];
  readonly mark: EpochMark | undefined;
}

interface Wanted {
  readonly sets: readonly RecordSet[];
  readonly to: string;
}

const changeTimeoutMs = 10_000;

export function routeVerb(parts: RouteParts): Verb {
  return {
    inspect: async (want, context) => inspectRoute(parts, readWanted(parts, want), context),
    apply: async (want, context) => applyRoute(parts, readWanted(parts, want), context),
  };
}

export async function readRoute({ client, options }: RouteParts, limits: CallLimits): Promise<RouteView> {
  const [sets, markSets] = await Promise.all([
    client.listRecords(options.record, options.type, limits),
    client.listRecords(epochRecordName(options.record), 'TXT', limits),
  ]);
  return { sets, markSets, mark: readEpochMark(markSets) };
}

function readWanted(parts: RouteParts, want: JsonObject): Wanted {
  const weights = parseRouteWant(want, parts.sites.keys());
  const whole = wholeWeights(weights);
  const shared = [...whole].filter(([, weight]) => weight > 0).map(([region, weight]) => `${region}:${weight}`);
  return { sets: wantedRecords(parts.options, parts.sites, whole), to: onlyRegion(weights) ?? shared.join(',') };
}

async function inspectRoute(parts: RouteParts, wanted: Wanted, context: StepContext): Promise<Inspection> {
  const { client, options } = parts;
  const limits = { timeoutMs: parts.probeTimeoutMs, signal: context.signal };
  const view = await readRoute(parts, limits);
  refuseOlderEpoch(view.mark, context.epoch);
  if (!holds(parts, view, wanted, context.epoch)) return { state: 'absent', why: differenceOf(parts, view, wanted, context.epoch) };
  const changeId = noteOf(context.note, context.epoch);
  const inSync = changeId === undefined ? undefined : await client.isInSync(changeId, limits);
  if (changeId === undefined || inSync === undefined)
    return { state: 'absent', why: 'the records are as wanted, but nothing tells whether they are in sync' };
  if (!inSync) return { state: 'pending', why: `${changeId} is PENDING: not all servers of the service have it yet` };
  const { waiting, confirmedBy } = await askConfirmations(parts, wanted.sets, limits);
  if (waiting.length > 0) return { state: 'pending', why: waiting.join('; ') };
  const weights = Object.fromEntries(wanted.sets.map(({ SetIdentifier, Weight }) => [SetIdentifier as string, Weight as number]));
  return { state: 'done', output: { confirmedBy: [client.name, ...confirmedBy], changeId, weights, ttlSeconds: options.ttl / 1_000 } };
}

function holds({ options }: RouteParts, view: RouteView, wanted: Wanted, epoch: number): boolean {
  return sameRecords(options, view.sets, wanted.sets) && view.mark?.epoch === epoch && view.mark.to === wanted.to;
}

function differenceOf({ options }: RouteParts, view: RouteView, wanted: Wanted, epoch: number): string {
  const mark = view.mark === undefined ? 'no epoch' : `epoch ${view.mark.epoch} to ${view.mark.to}`;
  return `${options.record} is ${describeRecords(options, view.sets)}, ${mark}; wanted ${describeRecords(options, wanted.sets)}, epoch ${epoch} to ${wanted.to}`;
}

async function applyRoute(parts: RouteParts, wanted: Wanted, context: StepContext): Promise<void> {
  const { client, options } = parts;
  const before = await readRoute(parts, { timeoutMs: parts.probeTimeoutMs, signal: context.signal });
  refuseOlderEpoch(before.mark, context.epoch);
  refuseForeignPolicy(options, before.sets);
  const epochSet = epochRecord(options.record, { epoch: context.epoch, to: wanted.to }, options.ttl / 1_000);
  const already = holds(parts, before, wanted, context.epoch);
  if (already && noteOf(context.note, context.epoch) !== undefined) return;
  const changes: readonly Change[] = already
    ? [{ action: 'UPSERT', set: epochSet }]
    : [
        ...[...before.sets, ...before.markSets].map((set): Change => ({ action: 'DELETE', set })),
        ...[...wanted.sets, epochSet].map((set): Change => ({ action: 'CREATE', set })),
      ];
  const comment = `holdfast ${context.executionId}: epoch ${context.epoch}, to ${wanted.to}`;
  let changeId: string;
  try {
    changeId = await client.change(changes, comment, { timeoutMs: changeTimeoutMs, signal: context.signal });
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details.service !== 'InvalidChangeBatch') throw error;
    throw await conflictOr(parts, before, context, error);
  }
  await context.keepNote({ changeId, epoch: context.epoch });
}

/** The service refuses a batch for what somebody else changed in the same words as one that is wrong in itself: what is there now tells which. */
async function conflictOr(parts: RouteParts, before: RouteView, context: StepContext, refusal: HoldfastError): Promise<HoldfastError> {
  const now = await readRoute(parts, { timeoutMs: parts.probeTimeoutMs, signal: context.signal });
  refuseOlderEpoch(now.mark, context.epoch);
  const unchanged =
    sameRecords(parts.options, before.sets, now.sets) && before.mark?.epoch === now.mark?.epoch && before.mark?.to === now.mark?.to;
  if (unchanged) return refusal;
  return fail('STATE_CONFLICT', {
    message: `${parts.client.name} made no change: ${parts.options.record} was changed by somebody else in between`,
    cause: refusal,
  });
}

/** Failover, latency and the like say who is answered what by other rules than ours; they can't stand beside weights, and are not thrown away unasked. */
function refuseForeignPolicy(options: ComponentOptions, sets: readonly RecordSet[]): void {
  const foreign = sets.find((set) => policyOf(set) === 'other' || set.AliasTarget !== undefined);
  if (foreign === undefined) return;
  const what =
    foreign.AliasTarget === undefined ? `the record "${foreign.SetIdentifier}" with another routing policy than weights` : 'an alias';
  throw fail('SYSTEM_REFUSED', {
    message: `${options.record} has ${what}, which Holdfast does not replace`,
    hint: 'Remove these records, or give Holdfast a name of its own and let this one be a CNAME of it.',
  });
}

function noteOf(note: Json | undefined, epoch: number): string | undefined {
  if (typeof note !== 'object' || note === null || Array.isArray(note)) return undefined;
  const { changeId, epoch: noted } = note as JsonObject;
  return typeof changeId === 'string' && noted === epoch ? changeId : undefined;
}
