/**
 * The canaries of all data stores: a writer for each, aimed at the region that takes writes, and what is known of their rows on both sides.
 *
 * Invariant: whoever writes goes on above every number that it was told of. Nothing durable is kept here: `onAcknowledged` tells whoever keeps it.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Site } from '../contracts/driver.ts';
import type { Host } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';
import { type AcknowledgedCanary, CanaryWriter } from './canary-writer.ts';
import type { StandbyCanary } from './readiness.ts';
import { type SiteKey, siteKey } from './site-key.ts';
import type { CanaryRecord } from './watch-records.ts';

const timeoutMs = 5_000;

export interface CanaryRowsParts {
  readonly spec: Spec;
  readonly sites: ReadonlyMap<SiteKey, Site>;
  readonly host: Host;
  /** There is no sense in reading there. */
  readonly isDown: (site: SiteKey) => boolean;
  readonly onAcknowledged: (component: string, record: CanaryRecord) => void;
}

export class CanaryRows {
  readonly #parts: CanaryRowsParts;
  readonly #writers = new Map<string, CanaryWriter>();
  #aimedAt: { readonly region: string; readonly epoch: number } | undefined;
  /** Of each component, the newest that was acknowledged. */
  readonly known = new Map<string, CanaryRecord>();
  /** The newest seen at each standby. */
  readonly standby = new Map<SiteKey, StandbyCanary>();

  constructor(parts: CanaryRowsParts) {
    this.#parts = parts;
  }

  /** The region that takes writes, as far as this was told. */
  get region(): string | undefined {
    return this.#aimedAt?.region;
  }

  /** Begins to write, wherever it is aimed at. */
  begin(): void {
    for (const component of this.#parts.spec.components.values())
      if (component.kind === 'data') this.#writers.set(component.name, this.#writerOf(component.name, component.canaryEveryMs));
    if (this.#aimedAt) this.aim(this.#aimedAt.region, this.#aimedAt.epoch);
  }

  aim(region: string, epoch: number): void {
    this.#aimedAt = { region, epoch };
    for (const [component, writer] of this.#writers) {
      const canary = this.#parts.sites.get(siteKey(component, region))?.canary;
      writer.aim(canary ? { region, canary, epoch } : undefined);
    }
  }

  /** What somebody else has had acknowledged. */
  adopt(component: string, record: CanaryRecord): void {
    const own = this.known.get(component);
    if (own && own.newest.number >= record.newest.number) return;
    this.known.set(component, record);
    this.#writers.get(component)?.raiseNumber(record.newest.number);
    void this.readOthers(component, record.newest.region);
  }

  /** Which row has come to the sites besides this one. */
  async readOthers(component: string, region: string): Promise<void> {
    const others = [...(this.#parts.spec.components.get(component)?.sites.keys() ?? [])].filter((other) => other !== region);
    await Promise.all(others.map((other) => this.#readStandby(component, other)));
  }

  /** Writes no more; it may begin again. */
  async stop(): Promise<void> {
    const writers = [...this.#writers.values()];
    this.#writers.clear();
    await Promise.all(writers.map((writer) => writer.stop()));
  }

  #writerOf(component: string, everyMs: number): CanaryWriter {
    const { host } = this.#parts;
    return new CanaryWriter(
      {
        component,
        everyMs,
        timeoutMs,
        clock: host.clock,
        log: host.log,
        onAcknowledged: (row) => this.#acknowledged(row, component),
        onRefused: () => {},
      },
      this.known.get(component)?.newest,
    );
  }

  #acknowledged(row: AcknowledgedCanary, component: string): void {
    const before = this.known.get(component);
    const sameEpoch = before?.newest.epoch === row.epoch && before.newest.region === row.region;
    const record: CanaryRecord = { newest: row, firstOfEpoch: sameEpoch ? before.firstOfEpoch : row };
    this.known.set(component, record);
    this.#parts.onAcknowledged(component, record);
    void this.readOthers(component, row.region);
  }

  async #readStandby(component: string, region: string): Promise<void> {
    const key = siteKey(component, region);
    const { sites, host, spec, isDown } = this.#parts;
    const canary = sites.get(key)?.canary;
    if (!canary || isDown(key)) return;
    const limit = new AbortController();
    const cancel = host.clock.after(spec.watch.timeoutMs, () => limit.abort(new Error('the standby did not answer in time')));
    try {
      const row = await canary.read(limit.signal);
      if (row) this.standby.set(key, { number: row.number, atMs: row.atMs, readAtMs: host.clock.nowMs() });
    } catch (thrown) {
      // An old reading stays, with its time: readiness sees how old it is.
      host.log.debug('canary.unread', { component, region, message: asHoldfastError(thrown).message });
    } finally {
      cancel();
    }
  }
}
