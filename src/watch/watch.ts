/**
 * The watch of one controller: a prober for each site, a canary writer for each data store, and the records of both in the state.
 *
 * Invariant: nothing here decides. It only says what was seen; `onChange` tells whoever decides that something may look different now.
 * When the process dies, the records stay; the next watch starts from them (canary numbers, what sites were like when last up).
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Site } from '../contracts/driver.ts';
import type { EvidenceKind, Observation } from '../contracts/observation.ts';
import type { StateStore } from '../contracts/state-store.ts';
import type { Host } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';
import { CanaryRows } from './canary-rows.ts';
import type { AcknowledgedCanary } from './canary-writer.ts';
import type { StandbyCanary } from './readiness.ts';
import { RecordWriter } from './record-writer.ts';
import { type SiteKey, siteKey } from './site-key.ts';
import { SitePacks } from './site-packs.ts';
import { SiteProber } from './site-prober.ts';
import {
  type CanaryRecord,
  canaryRecordKey,
  presenceKey,
  putRecord,
  readCanaryRecords,
  readSiteRecords,
  type SiteRecord,
  siteRecordKey,
} from './watch-records.ts';

const leastFailingEveryMs = 25;
const dataRecordEveryMs = 1_000;
/** Also of sites where nothing changes: a record tells how long ago somebody looked. */
const otherRecordEveryMs = 5_000;
const presenceEveryMs = 1_000;
/** Least time between two writes to a state that several controllers share. */
const sharedPauseMs = 250;

/** Somebody who is there says something. */
const answers: ReadonlySet<EvidenceKind> = new Set(['answered', 'wrong-answer', 'refused', 'not-allowed']);

export interface WatchParts {
  readonly spec: Spec;
  readonly sites: ReadonlyMap<SiteKey, Site>;
  readonly store: StateStore;
  readonly host: Host;
  readonly controller: string;
  /** Whether to leave records and write canaries; a command that only looks does neither. */
  readonly publish: boolean;
  readonly pid: number;
  /** Several controllers share the state: this one leaves records and writes canaries only while it leads, and who is there shows elsewhere. */
  readonly shared?: boolean;
}

export class Watch {
  readonly #parts: WatchParts;
  readonly #probers = new Map<SiteKey, SiteProber>();
  readonly #canaryRows: CanaryRows;
  readonly #lastUp = new Map<SiteKey, Observation>();
  readonly #latest = new Map<SiteKey, Observation>();
  readonly #recordedAtMs = new Map<SiteKey, number>();
  /** When each newest observation was made, by the steady clock. */
  readonly #seenAtMonotonicMs = new Map<SiteKey, number>();
  readonly #listeners = new Set<(observation: Observation) => void>();
  readonly #startedAtMs: number;
  readonly #records: RecordWriter;
  readonly #packs: SitePacks | undefined;
  #cancelPresence: (() => void) | undefined;
  #leads: boolean;
  #stopped = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#startedAtMs = parts.host.clock.nowMs();
    this.#leads = parts.publish && parts.shared !== true;
    this.#records = new RecordWriter({ store: parts.store, host: parts.host, pauseMs: parts.shared ? sharedPauseMs : 0 });
    this.#packs = parts.shared ? new SitePacks(parts.sites.keys()) : undefined;
    const { spec, sites, host } = parts;
    this.#canaryRows = new CanaryRows({
      spec,
      sites,
      host,
      isDown: (key) => this.#stopped || this.#latest.get(key)?.health === 'down',
      onAcknowledged: (component, record) => {
        if (this.#leads) this.#records.put(putRecord(canaryRecordKey(component), record));
      },
    });
  }

  get observations(): ReadonlyMap<SiteKey, Observation> {
    return this.#latest;
  }
  /** Whether it looks itself; before that, observations are what the state remembers. */
  get started(): boolean {
    return this.#probers.size > 0;
  }
  get lastUp(): ReadonlyMap<SiteKey, Observation> {
    return this.#lastUp;
  }
  get standbyCanaries(): ReadonlyMap<SiteKey, StandbyCanary> {
    return this.#canaryRows.standby;
  }
  get canaries(): ReadonlyMap<string, CanaryRecord> {
    return this.#canaryRows.known;
  }
  get acknowledged(): ReadonlyMap<string, AcknowledgedCanary> {
    return new Map([...this.canaries].map(([component, record]) => [component, record.newest]));
  }

  /** Takes over what the state remembers; looks at nothing yet. */
  async load(): Promise<void> {
    const { store, sites } = this.#parts;
    for (const [key, record] of await readSiteRecords(store)) {
      if (!sites.has(key)) continue;
      this.#latest.set(key, record.latest);
      const lastUp = record.lastUp ?? (record.latest.health === 'up' ? record.latest : undefined);
      if (lastUp) this.#lastUp.set(key, lastUp);
      if (record.standbyCanary) this.#canaryRows.standby.set(key, record.standbyCanary);
    }
    for (const [component, record] of await readCanaryRecords(store)) this.#canaryRows.known.set(component, record);
  }

  /** Starts the probes, and the canaries once `aim` has said where. From here on only what this watch sees itself counts: the sites may have changed since the records were made. */
  start(): void {
    const { spec, sites, host } = this.#parts;
    this.#latest.clear();
    for (const [key, site] of sites) {
      const [component, region] = key.split('@') as [string, string];
      const prober = new SiteProber({
        component,
        region,
        site,
        clock: host.clock,
        random: host.random,
        policy: {
          everyMs: spec.watch.everyMs,
          timeoutMs: spec.watch.timeoutMs,
          failingEveryMs: Math.min(spec.watch.everyMs, Math.max(leastFailingEveryMs, spec.failover.graceMs / 4)),
        },
        onObservation: (observation) => this.#observed(key, observation),
      });
      this.#probers.set(key, prober);
      prober.start();
    }
    if (!this.#leads) return;
    this.#canaryRows.begin();
    this.#beat();
  }

  /** Begins or ends to write canaries and records, where several controllers share the state. Numbers go on from what the others were seen to have written. */
  async lead(on: boolean): Promise<void> {
    if (!this.#parts.publish || this.#leads === on || this.#stopped) return;
    this.#leads = on;
    if (on) return this.#canaryRows.begin();
    this.#records.drop();
    await this.#canaryRows.stop();
  }

  /** Which of the known rows have come to the other sites by now. */
  async readCanaries(): Promise<void> {
    await Promise.all([...this.canaries].map(([component, { newest }]) => this.#canaryRows.readOthers(component, newest.region)));
  }

  /** What the state has of rows that others have had acknowledged. */
  async adoptCanaries(): Promise<void> {
    for (const [component, record] of await readCanaryRecords(this.#parts.store)) this.adoptCanary(component, record);
  }

  /** What the controller that leads has had acknowledged. */
  adoptCanary(component: string, record: CanaryRecord): void {
    this.#canaryRows.adopt(component, record);
  }

  /** The newest observations with all their times by the steady clock, which does not jump. */
  steadyObservations(components: ReadonlySet<string>): readonly Observation[] {
    const found: Observation[] = [];
    for (const [key, observation] of this.#latest) {
      if (!components.has(observation.component)) continue;
      const atMs = this.#seenAtMonotonicMs.get(key);
      if (atMs === undefined) continue;
      const { failingSinceMs, failureSeenMs } = observation;
      if (failingSinceMs === undefined || failureSeenMs === undefined) {
        found.push({ ...observation, atMs });
        continue;
      }
      const lateMs = atMs - observation.atMs;
      found.push({ ...observation, atMs, failingSinceMs: failingSinceMs + lateMs, failureSeenMs: failureSeenMs + lateMs });
    }
    return found;
  }

  /** Whether anything anywhere has answered since then (by the steady clock), be it with a refusal. */
  anythingAnsweredSince(monotonicMs: number): boolean {
    for (const [key, { health, evidence }] of this.#latest)
      if ((health === 'up' || answers.has(evidence.kind)) && (this.#seenAtMonotonicMs.get(key) ?? 0) >= monotonicMs) return true;
    return false;
  }

  /** Looks at every site once, now, and returns when all have answered or run out of time. */
  async probeAll(): Promise<void> {
    // Whoever asks for all of it wants all of it recorded, unchanged or not.
    this.#recordedAtMs.clear();
    await Promise.all([...this.#probers.values()].map((prober) => prober.probeNow()));
  }

  async probeNow(component: string, region: string): Promise<Observation | undefined> {
    return this.#probers.get(siteKey(component, region))?.probeNow();
  }

  /** Tells the canaries which region takes writes. */
  aim(region: string, epoch: number): void {
    this.#canaryRows.aim(region, epoch);
  }

  /** Calls back after each observation that differs from the one before, or is not `up`; the returned function ends it. */
  onChange(listener: (observation: Observation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPresence?.();
    await Promise.all([...[...this.#probers.values()].map((prober) => prober.stop()), this.#canaryRows.stop()]);
    await this.#records.stop();
    if (this.#parts.publish && !this.#parts.shared && this.#probers.size > 0) await this.#leave();
  }

  /** Whoever looks next must not take this watch for one that goes on. A record that stays behind says the same after some seconds. */
  async #leave(): Promise<void> {
    const { store, host, controller } = this.#parts;
    await store.commit([{ kind: 'delete', key: presenceKey(controller), expected: 'any' }]).catch((thrown) => {
      host.log.warn('watch.presence-left', { message: asHoldfastError(thrown).message });
    });
  }

  #observed(key: SiteKey, observation: Observation): void {
    const before = this.#latest.get(key);
    this.#latest.set(key, observation);
    this.#seenAtMonotonicMs.set(key, this.#parts.host.clock.monotonicMs());
    if (observation.health === 'up') this.#lastUp.set(key, observation);
    const changed =
      before?.health !== observation.health ||
      before.role !== observation.role ||
      before.writable !== observation.writable ||
      before.evidence.kind !== observation.evidence.kind;
    const isData = this.#parts.spec.components.get(observation.component)?.kind === 'data';
    if (this.#leads) this.#record(key, observation, changed, isData);
    if (isData && before?.health === 'up' && observation.health !== 'up') {
      // What the standby has got by now is what would survive: the estimate of the loss must not rest on an older reading.
      if (this.#parts.publish) void this.#canaryRows.readOthers(observation.component, observation.region);
      // And whether it still receives says whether the site is gone or only our way to it.
      this.#probeOthers(observation.component, observation.region);
    }
    // A site that goes on being up tells nothing new: with thousands of sites, only what may matter is passed on.
    if (changed || observation.health !== 'up') for (const listener of this.#listeners) listener(observation);
  }

  #record(key: SiteKey, observation: Observation, changed: boolean, isData: boolean): void {
    const record = (site: SiteKey) => this.#recordOf(site);
    if (this.#packs) {
      const pack = changed ? this.#packs.changed(key, record) : this.#packs.refresh(this.#parts.host.clock.monotonicMs(), record);
      if (pack) this.#records.put(pack);
      return;
    }
    // A jump of the clock backwards must not stop the records.
    const recordAgeMs = Math.abs(observation.atMs - (this.#recordedAtMs.get(key) ?? 0));
    if (!changed && recordAgeMs < (isData ? dataRecordEveryMs : otherRecordEveryMs)) return;
    this.#recordedAtMs.set(key, observation.atMs);
    this.#records.put(putRecord(siteRecordKey(key), record(key)));
  }

  #recordOf(key: SiteKey): SiteRecord | undefined {
    const latest = this.#latest.get(key);
    if (!latest) return undefined;
    const lastUp = this.#lastUp.get(key);
    const standbyCanary = this.#canaryRows.standby.get(key);
    // A site that is up is its own memory, which in a pack of many is worth not to be said twice.
    const remembered = lastUp && !(this.#packs && lastUp === latest);
    return { latest, ...(remembered ? { lastUp } : {}), ...(standbyCanary ? { standbyCanary } : {}) };
  }

  #probeOthers(component: string, region: string): void {
    for (const other of this.#parts.spec.components.get(component)?.sites.keys() ?? [])
      if (other !== region) void this.#probers.get(siteKey(component, other))?.probeNow();
  }

  #beat(): void {
    const { host, controller, spec, pid } = this.#parts;
    if (this.#parts.shared) return;
    this.#records.put(
      putRecord(presenceKey(controller), {
        controller,
        atMs: host.clock.nowMs(),
        startedAtMs: this.#startedAtMs,
        specDigest: spec.digest,
        pid,
        ...(host.processes.self === undefined ? {} : { process: host.processes.self }),
      }),
    );
    this.#cancelPresence = host.clock.after(presenceEveryMs, () => this.#beat());
  }

  get activeRegion(): string | undefined {
    return this.#canaryRows.region;
  }
}
