/**
 * What a watching controller leaves in the state, so that any other process can answer `status`, decide, or go on after its death. Written on change; lags and positions
 * of data stores at most once a second. Several controllers that share a state leave less: only the one that leads does, many sites in one record, and who is there shows in leases.
 */
import type { Json, JsonObject } from '../base/json.ts';
import type { Observation } from '../contracts/observation.ts';
import type { Change, StateStore } from '../contracts/state-store.ts';
import type { Processes } from '../host/host.ts';
import type { AcknowledgedCanary } from './canary-writer.ts';
import type { StandbyCanary } from './readiness.ts';
import type { SiteKey } from './site-key.ts';

export interface SiteRecord {
  readonly latest: Observation;
  readonly lastUp?: Observation;
  readonly standbyCanary?: StandbyCanary;
}

export interface CanaryRecord {
  readonly newest: AcknowledgedCanary;
  /** The first row that was acknowledged in the newest row's region and epoch: the end of an outage. */
  readonly firstOfEpoch: AcknowledgedCanary;
}

export interface Presence extends JsonObject {
  readonly controller: string;
  readonly atMs: number;
  readonly startedAtMs: number;
  readonly specDigest: string;
  readonly pid: number;
  /** As `Processes.self` has it, where the system tells. */
  readonly process?: string;
}

const presenceStaleMs = 5_000;

/** Whether the controller that left this is there now: one that was killed leaves its presence behind. */
export function isPresent(presence: Presence, nowMs: number, processes: Pick<Processes, 'isGone'>): boolean {
  if (nowMs - presence.atMs >= presenceStaleMs) return false;
  return presence.process === undefined || processes.isGone?.(presence.process) !== true;
}

export const sitePackPrefix = 'site-packs/';
export const canaryPrefix = 'canaries/';
export const siteRecordKey = (site: SiteKey): string => `sites/${site}`;
export const canaryRecordKey = (component: string): string => `${canaryPrefix}${component}`;
export const presenceKey = (controller: string): string => `controllers/${controller}`;

/** A JSON copy without undefined members: what the state can hold. */
export function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}

export function putRecord(key: string, value: unknown): Change {
  return { kind: 'put', key, value: toJson(value), expected: 'any' };
}

async function readAll<T>(store: StateStore, prefix: string): Promise<Map<string, T>> {
  const entries = await store.range(prefix);
  return new Map(entries.map((entry) => [entry.key.slice(prefix.length), entry.value as T]));
}

export async function readSiteRecords(store: StateStore): Promise<Map<SiteKey, SiteRecord>> {
  const [single, packs] = await Promise.all([
    readAll<SiteRecord>(store, 'sites/'),
    readAll<Record<string, SiteRecord>>(store, sitePackPrefix),
  ]);
  const packed = [...packs.values()].flatMap((pack) => Object.entries(pack));
  return new Map([...single, ...packed]) as Map<SiteKey, SiteRecord>;
}
export const readCanaryRecords = (store: StateStore): Promise<Map<string, CanaryRecord>> => readAll<CanaryRecord>(store, canaryPrefix);
export const readPresences = (store: StateStore): Promise<Map<string, Presence>> => readAll<Presence>(store, 'controllers/');
