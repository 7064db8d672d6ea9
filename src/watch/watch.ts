/**
 * The watch of one controller: a prober for each site, a canary writer for each data store, and the records of both in the state.
 *
 * Invariant: nothing here decides. It only says what was seen; `onChange` tells whoever decides that something may look different now.
 * When the process dies, the records stay; the next watch starts from them (canary numbers, what sites were like when last up).
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Site } from '../contracts/driver.ts';
import type { Observation } from '../contracts/observation.ts';
import type { Change, StateStore } from '../contracts/state-store.ts';
import type { Host } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';
import { type AcknowledgedCanary, CanaryWriter } from './canary-writer.ts';
import type { StandbyCanary } from './readiness.ts';
import { type SiteKey, siteKey } from './site-key.ts';
import { SiteProber } from './site-prober.ts';
import {
  type CanaryRecord,
  canaryRecordKey,
  presenceKey,
  putRecord,
  readCanaryRecords,
  readSiteRecords,
  siteRecordKey,
} from './watch-records.ts';

const leastFailingEveryMs = 25;
const dataRecordEveryMs = 1_000;
/** Also of sites where nothing changes: a record tells how long ago somebody looked. */
const otherRecordEveryMs = 5_000;
const presenceEveryMs = 1_000;
const canaryTimeoutMs = 5_000;

export interface WatchParts {
  readonly spec: Spec;
  readonly sites: ReadonlyMap<SiteKey, Site>;
  readonly store: StateStore;
  readonly host: Host;
  readonly controller: string;
  /** Whether to leave records and write canaries; a command that only looks does neither. */
  readonly publish: boolean;
  readonly pid: number;
}

export class Watch {
  readonly #parts: WatchParts;
  readonly #probers = new Map<SiteKey, SiteProber>();
  readonly #writers = new Map<string, CanaryWriter>();
  readonly #canaries = new Map<string, CanaryRecord>();
  readonly #lastUp = new Map<SiteKey, Observation>();
  readonly #latest = new Map<SiteKey, Observation>();
  readonly #standbyCanaries = new Map<SiteKey, StandbyCanary>();
  readonly #recordedAtMs = new Map<SiteKey, number>();
  readonly #listeners = new Set<(observation: Observation) => void>();
  readonly #startedAtMs: number;
  #pending: Change[] = [];
  #writing: Promise<void> | undefined;
  #cancelPresence: (() => void) | undefined;
  #activeRegion: string | undefined;
  #stopped = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#startedAtMs = parts.host.clock.nowMs();
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
    return this.#standbyCanaries;
  }
  get canaries(): ReadonlyMap<string, CanaryRecord> {
    return this.#canaries;
  }
  get acknowledged(): ReadonlyMap<string, AcknowledgedCanary> {
    return new Map([...this.#canaries].map(([component, record]) => [component, record.newest]));
  }

  /** Takes over what the state remembers; looks at nothing yet. */
  async load(): Promise<void> {
    const { store, sites } = this.#parts;
    for (const [key, record] of await readSiteRecords(store)) {
      if (!sites.has(key)) continue;
      this.#latest.set(key, record.latest);
      if (record.lastUp) this.#lastUp.set(key, record.lastUp);
      if (record.standbyCanary) this.#standbyCanaries.set(key, record.standbyCanary);
    }
    for (const [component, record] of await readCanaryRecords(store)) this.#canaries.set(component, record);
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
    if (!this.#parts.publish) return;
    for (const component of spec.components.values())
      if (component.kind === 'data') this.#makeWriter(component.name, component.canaryEveryMs);
    this.#beat();
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
    this.#activeRegion = region;
    for (const [component, writer] of this.#writers) {
      const canary = this.#parts.sites.get(siteKey(component, region))?.canary;
      writer.aim(canary ? { region, canary, epoch } : undefined);
    }
  }

  /** Calls back after each observation that differs from the one before, or is not `up`; the returned function ends it. */
  onChange(listener: (observation: Observation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPresence?.();
    await Promise.all([
      ...[...this.#probers.values()].map((prober) => prober.stop()),
      ...[...this.#writers.values()].map((writer) => writer.stop()),
    ]);
    await this.#writing;
    if (this.#parts.publish && this.#probers.size > 0) await this.#leave();
  }

  /** Whoever looks next must not take this watch for one that goes on. A record that stays behind says the same after some seconds. */
  async #leave(): Promise<void> {
    const { store, host, controller } = this.#parts;
    await store.commit([{ kind: 'delete', key: presenceKey(controller), expected: 'any' }]).catch((thrown) => {
      host.log.warn('watch.presence-left', { message: asHoldfastError(thrown).message });
    });
  }

  #makeWriter(component: string, everyMs: number): void {
    const { host } = this.#parts;
    const writer = new CanaryWriter(
      {
        component,
        everyMs,
        timeoutMs: canaryTimeoutMs,
        clock: host.clock,
        log: host.log,
        onAcknowledged: (row) => this.#acknowledged(row, component),
        onRefused: () => {},
      },
      this.#canaries.get(component)?.newest,
    );
    this.#writers.set(component, writer);
  }

  #acknowledged(row: AcknowledgedCanary, component: string): void {
    const before = this.#canaries.get(component);
    const sameEpoch = before?.newest.epoch === row.epoch && before.newest.region === row.region;
    const record: CanaryRecord = { newest: row, firstOfEpoch: sameEpoch ? before.firstOfEpoch : row };
    this.#canaries.set(component, record);
    this.#publish(putRecord(canaryRecordKey(component), record));
    this.#readOtherCanaries(component, row.region);
  }

  async #readStandbyCanary(component: string, region: string): Promise<void> {
    const key = siteKey(component, region);
    const { sites, host, spec } = this.#parts;
    const canary = sites.get(key)?.canary;
    if (!canary || this.#stopped || this.#latest.get(key)?.health === 'down') return;
    const limit = new AbortController();
    const cancel = host.clock.after(spec.watch.timeoutMs, () => limit.abort(new Error('the standby did not answer in time')));
    try {
      const row = await canary.read(limit.signal);
      if (row) this.#standbyCanaries.set(key, { number: row.number, atMs: row.atMs, readAtMs: host.clock.nowMs() });
    } catch (thrown) {
      // An old reading stays, with its time: readiness sees how old it is.
      host.log.debug('canary.unread', { component, region, message: asHoldfastError(thrown).message });
    } finally {
      cancel();
    }
  }

  #observed(key: SiteKey, observation: Observation): void {
    const before = this.#latest.get(key);
    this.#latest.set(key, observation);
    if (observation.health === 'up') this.#lastUp.set(key, observation);
    const changed =
      before?.health !== observation.health ||
      before.role !== observation.role ||
      before.writable !== observation.writable ||
      before.evidence.kind !== observation.evidence.kind;
    const isData = this.#parts.spec.components.get(observation.component)?.kind === 'data';
    const recordedAtMs = this.#recordedAtMs.get(key) ?? 0;
    // A jump of the clock backwards must not stop the records.
    const recordAgeMs = Math.abs(observation.atMs - recordedAtMs);
    if (changed || recordAgeMs >= (isData ? dataRecordEveryMs : otherRecordEveryMs)) {
      this.#recordedAtMs.set(key, observation.atMs);
      const lastUp = this.#lastUp.get(key);
      const standbyCanary = this.#standbyCanaries.get(key);
      this.#publish(
        putRecord(siteRecordKey(key), { latest: observation, ...(lastUp ? { lastUp } : {}), ...(standbyCanary ? { standbyCanary } : {}) }),
      );
    }
    if (isData && before?.health === 'up' && observation.health !== 'up') {
      // What the standby has got by now is what would survive: the estimate of the loss must not rest on an older reading.
      if (this.#parts.publish) this.#readOtherCanaries(observation.component, observation.region);
      // And whether it still receives says whether the site is gone or only our way to it.
      this.#probeOthers(observation.component, observation.region);
    }
    // A site that goes on being up tells nothing new: with thousands of sites, only what may matter is passed on.
    if (changed || observation.health !== 'up') for (const listener of this.#listeners) listener(observation);
  }

  #probeOthers(component: string, region: string): void {
    for (const other of this.#parts.spec.components.get(component)?.sites.keys() ?? [])
      if (other !== region) void this.#probers.get(siteKey(component, other))?.probeNow();
  }

  #readOtherCanaries(component: string, region: string): void {
    for (const other of this.#parts.spec.components.get(component)?.sites.keys() ?? [])
      if (other !== region) void this.#readStandbyCanary(component, other);
  }

  #beat(): void {
    const { host, controller, spec, pid } = this.#parts;
    this.#publish(
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

  /** Records go out in order, many in one commit. What can't be written now goes with the next: at the latest with the next sign of life, unless something newer has taken its place. */
  #publish(change: Change): void {
    if (!this.#parts.publish || this.#stopped) return;
    this.#pending.push(change);
    this.#writing ??= this.#flush().finally(() => {
      this.#writing = undefined;
    });
  }

  async #flush(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = [...new Map(this.#pending.map((change) => [change.key, change])).values()];
      this.#pending = [];
      try {
        await this.#parts.store.commit(batch);
      } catch (thrown) {
        this.#parts.host.log.warn('watch.records-not-written', { message: asHoldfastError(thrown).message, count: batch.length });
        this.#pending.unshift(...batch);
        return;
      }
    }
  }

  get activeRegion(): string | undefined {
    return this.#activeRegion;
  }
}
