/**
 * The verb `route`: the record points to one region, at every name server, with the TTL of the spec.
 *
 * Invariant: one update changes record and epoch together, and only if both are still what was just read; so a lower epoch never overwrites a higher one, and a change by
 * somebody else is never overwritten unseen. Dying before the update changes nothing; dying after it leaves a finished change that `inspect` finds.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { onlyRegion, parseRouteWant } from '../../contracts/route-want.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { type DnsHost, sendUpdate } from './client.ts';
import { encodeEpochMark, epochRecord, epochRecordName, refuseOlderEpoch } from './epoch-record.ts';
import type { ComponentOptions, SiteOptions } from './options.ts';
import { canonicalValue, describeRecordSet, encodeValue, type RecordSet, sameRecordSet } from './record-set.ts';
import { type AuthorityView, type PrimaryView, readPrimary, readRoute } from './route-view.ts';
import type { TsigKey } from './tsig.ts';
import { recordClasses, recordTypes, type WireRecord } from './wire.ts';

export interface RouteParts {
  readonly host: DnsHost;
  readonly options: ComponentOptions;
  readonly key: TsigKey;
  readonly sites: ReadonlyMap<string, SiteOptions>;
  readonly probeTimeoutMs: number;
}

const updateTimeoutMs = 5_000;

export function routeVerb(parts: RouteParts): Verb {
  return {
    inspect: async (want, context) => inspectRoute(parts, targetRegion(parts, want), context),
    apply: async (want, context) => applyRoute(parts, targetRegion(parts, want), context),
  };
}

/** What the record is when it points to a region. */
export function wantedRecordSet(options: ComponentOptions, site: SiteOptions): RecordSet {
  return { values: site.address.map((address) => canonicalValue(options.type, address)).sort(), ttlSeconds: options.ttl / 1_000 };
}

function targetRegion(parts: RouteParts, want: JsonObject): string {
  const region = onlyRegion(parseRouteWant(want, parts.sites.keys()));
  if (region !== undefined) return region;
  throw fail('PLAN_IMPOSSIBLE', {
    message: `${parts.options.record} can't be shared between regions: plain DNS has no weights`,
    hint: 'Route to one region at a time, or put a load balancer or a name service with weights in front.',
  });
}

function targetSet(parts: RouteParts, region: string): RecordSet {
  return wantedRecordSet(parts.options, parts.sites.get(region) as SiteOptions);
}

async function inspectRoute(parts: RouteParts, region: string, context: StepContext): Promise<Inspection> {
  const view = await readRoute(parts.host, parts.options, { timeoutMs: parts.probeTimeoutMs, signal: context.signal });
  if (view.primary instanceof HoldfastError) throw view.primary;
  refuseOlderEpoch(view.primary.mark, context.epoch);
  const wanted = targetSet(parts, region);
  if (!holds(view.primary, wanted, region, context.epoch)) {
    const mark = view.primary.mark === undefined ? 'no epoch' : `epoch ${view.primary.mark.epoch} to ${view.primary.mark.region}`;
    return {
      state: 'absent',
      why: `${parts.options.record} is ${describeRecordSet(view.primary.set)}, ${mark}; wanted ${describeRecordSet(wanted)}, epoch ${context.epoch} to ${region}`,
    };
  }
  return inspectAuthorities(parts.options, view.authorities, wanted);
}

function inspectAuthorities(options: ComponentOptions, authorities: readonly AuthorityView[], wanted: RecordSet): Inspection {
  const silent = authorities.filter(({ error }) => error !== undefined);
  const others = authorities.filter(({ error, set }) => error === undefined && !sameRecordSet(set, wanted));
  const agreeing = authorities.filter(({ error, set }) => error === undefined && sameRecordSet(set, wanted));
  const waiting = [
    ...others.map(({ server, set }) => `${server} still answers ${describeRecordSet(set)}`),
    ...(options.confirm === 'every' || agreeing.length === 0
      ? silent.map(({ server, error }) => `${server} does not confirm: ${error?.message}`)
      : []),
  ];
  if (waiting.length > 0) return { state: 'pending', why: waiting.join('; ') };
  const output = { confirmedBy: agreeing.map(({ server }) => server), values: wanted.values, ttlSeconds: wanted.ttlSeconds };
  return { state: 'done', output: silent.length === 0 ? output : { ...output, silent: silent.map(({ server }) => server) } };
}

function holds(primary: PrimaryView, wanted: RecordSet, region: string, epoch: number): boolean {
  return sameRecordSet(primary.set, wanted) && primary.mark?.epoch === epoch && primary.mark.region === region;
}

async function applyRoute(parts: RouteParts, region: string, context: StepContext): Promise<void> {
  const { host, options, key } = parts;
  const readLimits = { timeoutMs: parts.probeTimeoutMs, signal: context.signal };
  const wanted = targetSet(parts, region);
  const before = await readPrimary(host, options, readLimits);
  refuseOlderEpoch(before.mark, context.epoch);
  if (holds(before, wanted, region, context.epoch)) return;
  const update = {
    zone: options.zone,
    prerequisites: prerequisites(options, before),
    changes: changes(options, wanted, region, context.epoch),
  };
  try {
    await sendUpdate(host, options.server, key, update, { timeoutMs: updateTimeoutMs, signal: context.signal });
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'STATE_CONFLICT') throw error;
    await explainConflict(parts, wanted, region, context, before, error);
    return;
  }
  const after = await readPrimary(host, options, readLimits);
  refuseOlderEpoch(after.mark, context.epoch);
  if (after.mark === undefined || !sameRecordSet(after.set, wanted)) {
    throw fail('SYSTEM_REFUSED', {
      message: `${options.record} is ${describeRecordSet(after.set)} although the server acknowledged the update to ${describeRecordSet(wanted)}`,
      hint: 'Another type of record at the same name, or somebody who changes it back, stands in the way.',
    });
  }
}

/** Somebody was faster. If it was with our own wish, that is success; if it was with a newer epoch, we are out of date. */
async function explainConflict(
  parts: RouteParts,
  wanted: RecordSet,
  region: string,
  context: StepContext,
  before: PrimaryView,
  conflict: HoldfastError,
): Promise<void> {
  const now = await readPrimary(parts.host, parts.options, { timeoutMs: parts.probeTimeoutMs, signal: context.signal });
  refuseOlderEpoch(now.mark, context.epoch);
  if (holds(now, wanted, region, context.epoch)) return;
  throw fail('STATE_CONFLICT', {
    message: `${parts.options.record} was changed by somebody else in between: it was ${describeRecordSet(before.set)} and is ${describeRecordSet(now.set)}`,
    hint: 'Nothing was changed; it is read and tried again. Find out who else changes the record.',
    details: conflict.details,
    cause: conflict,
  });
}

/** Both record sets are exactly those just read. */
function prerequisites(options: ComponentOptions, before: PrimaryView): readonly WireRecord[] {
  return [
    ...unchanged(options.record, recordTypes[options.type], before.records),
    ...unchanged(epochRecordName(options.record), recordTypes.TXT, before.markRecords),
  ];
}

function unchanged(name: string, type: number, records: readonly WireRecord[]): readonly WireRecord[] {
  if (records.length === 0) return [{ name, type, class: recordClasses.NONE, ttl: 0, data: new Uint8Array() }];
  return records.map((record) => ({ name, type, class: recordClasses.IN, ttl: 0, data: record.data }));
}

function changes(options: ComponentOptions, wanted: RecordSet, region: string, epoch: number): readonly WireRecord[] {
  const type = recordTypes[options.type];
  const markName = epochRecordName(options.record);
  const remove = (name: string, removed: number): WireRecord => ({
    name,
    type: removed,
    class: recordClasses.ANY,
    ttl: 0,
    data: new Uint8Array(),
  });
  const added = wanted.values.map((value) => ({
    name: options.record,
    type,
    class: recordClasses.IN,
    ttl: wanted.ttlSeconds,
    data: encodeValue(options.type, value),
  }));
  return [
    remove(options.record, type),
    ...added,
    remove(markName, recordTypes.TXT),
    epochRecord(markName, encodeEpochMark({ epoch, region }), wanted.ttlSeconds),
  ];
}
