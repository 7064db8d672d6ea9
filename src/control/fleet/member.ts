/**
 * One of several controllers: claims its region, watches, says what it sees, leads where it is its turn, and goes on with executions that nobody runs.
 *
 * Invariant: it decides, writes canaries and runs schedules only while it leads, by a lease whose end it knows; everything it begins is committed under that lease. A state that can't be
 * reached ends nothing: it goes on watching, and starts nothing. When the process dies, its leases run out and another goes on.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { chooseTarget, computeTargetFaults } from '../../watch/readiness.ts';
import { type CanaryRecord, canaryPrefix } from '../../watch/watch-records.ts';
import type { Archivers } from '../backups/archivers.ts';
import type { BackupScheduler } from '../backups/backup-scheduler.ts';
import type { Control } from '../control.ts';
import type { Decider } from '../decider.ts';
import { openKeeper } from '../primary/open-keeper.ts';
import type { RunningExecutions } from '../running-executions.ts';
import type { Fleet } from './fleet.ts';
import { keepWatching } from './keep-watching.ts';
import { KeepLastKnown } from './last-known.ts';
import { Lead } from './lead.ts';
import { computeUnsuited } from './lead-suitability.ts';
import { OpinionPublisher } from './opinion-publisher.ts';
import { opinionPrefix } from './opinion-records.ts';
import { Presence } from './presence.ts';
import { stateIsAway } from './state-is-away.ts';
import { TakeOver } from './take-over.ts';

const turnEveryMs = 250;
const readFleetEveryMs = 1_000;
/** There is nothing that this process could wait for: whoever starts it again is told the same, or finds it mended. */
const endings: ReadonlySet<string> = new Set([
  'REGION_CLAIMED',
  'STATE_WENT_BACK',
  'STATE_OTHER_CLUSTER',
  'STATE_OTHER_PLATFORM',
  'STATE_MOVED',
]);

export interface MemberParts {
  readonly control: Control;
  readonly fleet: Fleet;
  readonly region: string;
  readonly signal: AbortSignal;
  readonly executions: RunningExecutions;
  readonly decider: Decider;
  readonly scheduler: BackupScheduler;
  /** For as long as this leads. */
  readonly archivers: (signal: AbortSignal) => Archivers;
}

interface Term {
  readonly archivers: Archivers;
  readonly over: AbortController;
}

export class Member {
  readonly #parts: MemberParts;
  readonly #presence: Presence;
  readonly #lead: Lead;
  readonly #publisher: OpinionPublisher;
  readonly #takeOver: TakeOver;
  readonly #lastKnown: KeepLastKnown | undefined;
  #term: Term | undefined;
  #readFleetAtMonotonicMs: number | undefined;

  constructor(parts: MemberParts) {
    this.#parts = parts;
    const { control, fleet, region } = parts;
    const { spec, store, host, controller, lastKnownFile } = control.parts;
    const { clock, log } = host;
    const { ttlMs, renewEveryMs } = spec.controllers;
    const leases = { store, clock, log, region, controller, ttlMs, renewEveryMs };
    this.#presence = new Presence(leases);
    fleet.presence = this.#presence;
    // Another may be writing canaries from this instant on.
    this.#lead = new Lead({ ...leases, onLost: () => void this.#endTerm() });
    control.leadLease = () => this.#lead.lease;
    this.#publisher = new OpinionPublisher({
      store,
      clock,
      log,
      presence: this.#presence,
      region,
      controller,
      version: fleet.parts.version,
      specDigest: spec.digest,
      regions: [...spec.regions.values()].filter((each) => each.role !== 'witness').map((each) => each.name),
      vote: fleet.parts.ownVote,
      faults: () => this.#faults(),
    });
    this.#takeOver = new TakeOver(clock, region, ttlMs);
    this.#lastKnown =
      lastKnownFile === undefined
        ? undefined
        : new KeepLastKnown({ store, clock, log, files: host.files, path: lastKnownFile, of: { platform: spec.name, controller, region } });
  }

  /** Leads now, as far as its own clock can tell. */
  get leads(): boolean {
    return this.#lead.lease !== undefined && this.#presence.lease !== undefined;
  }

  /** Until the signal is aborted. REGION_CLAIMED when another process is the controller of this region. */
  async run(onReady: () => Promise<void>): Promise<void> {
    const { control, decider, executions, signal } = this.#parts;
    const { host } = control.parts;
    await this.#presence.take(signal, true);
    const keeper = this.#openKeeper();
    const unwatch = [
      control.watch.onChange(() => this.#somethingChanged()),
      this.#follow(opinionPrefix, () => this.#opinionsChanged()),
      this.#follow(canaryPrefix, (key, value) => control.watch.adoptCanary(key.slice(canaryPrefix.length), value as CanaryRecord)),
    ];
    try {
      await this.#startWatching();
      keeper?.start();
      await onReady();
      while (!signal.aborted) {
        await this.#turn();
        await host.clock.sleep(turnEveryMs, signal).catch(() => undefined);
      }
    } finally {
      for (const stop of unwatch) stop();
      this.#publisher.stop();
      decider.stop();
      await Promise.allSettled([this.#endTerm(), executions.ended()]);
      await keeper?.stop();
      await Promise.allSettled([this.#lead.release(), this.#presence.release()]);
    }
  }

  /** The state was there a moment ago, and may be away again. */
  async #startWatching(): Promise<void> {
    const { control, region, signal } = this.#parts;
    const { host, spec } = control.parts;
    for (;;) {
      try {
        return await control.startWatching();
      } catch (thrown) {
        if (signal.aborted || !stateIsAway(thrown)) throw thrown;
        host.log.warn('fleet.state-awaited', { region, message: asHoldfastError(thrown).message });
        await host.clock.sleep(spec.controllers.renewEveryMs, signal).catch(() => undefined);
      }
    }
  }

  /** Nothing of it is told apart from the turns of this controller: it has turns of its own, which nothing here can hold up. */
  #openKeeper() {
    const { control, region } = this.#parts;
    const { spec, store, host, guard } = control.parts;
    return guard && openKeeper({ spec, region, store, host, sites: control.sites, watch: control.watch, guard });
  }

  #follow(prefix: string, onPut: (key: string, value: unknown) => void): () => void {
    const { store, host } = this.#parts.control.parts;
    return keepWatching({ store, clock: host.clock, log: host.log, prefix, onPut });
  }

  /** Only another controller of this region ends it; whatever else goes wrong with the state is tried again. */
  async #turn(): Promise<void> {
    const { control, executions, signal } = this.#parts;
    const { host, spec } = control.parts;
    try {
      await this.#presence.take(signal);
      this.#publisher.look();
      // A word that can't be taken back must not go on counting.
      if (this.#publisher.behindMs > spec.controllers.ttlMs) {
        this.#publisher.forget();
        await this.#presence.release();
      }
      await this.#readState();
      await this.#lead.turn(this.#unsuited());
      await this.#settleTerm();
      await executions.takeUp((unattended) => this.#takeOver.choose(unattended));
      if (this.leads) await this.#leadOn();
      await this.#lastKnown?.turn();
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (signal.aborted) return;
      if (endings.has(error.code)) throw error;
      if (!this.leads) await this.#endTerm();
      host.log.error('serve.turn-failed', { code: error.code, message: error.message });
    }
  }

  async #leadOn(): Promise<void> {
    const { decider, scheduler } = this.#parts;
    await decider.evaluate();
    await this.#term?.archivers.turn();
    await scheduler.turn(() => this.leads);
  }

  /** Who is there, and where the platform is: a watch may be late, so this is read too. */
  async #readState(): Promise<void> {
    const { control, fleet } = this.#parts;
    const { store, host } = control.parts;
    const nowMs = host.clock.monotonicMs();
    if (this.#readFleetAtMonotonicMs !== undefined && nowMs - this.#readFleetAtMonotonicMs < readFleetEveryMs) return;
    const [platform] = await Promise.all([readPlatformState(store), fleet.read()]);
    if (platform) control.watch.aim(platform.state.activeRegion, platform.state.epoch);
    this.#readFleetAtMonotonicMs = nowMs;
  }

  #unsuited() {
    const { control, fleet, region } = this.#parts;
    const { activeRegion } = control.watch;
    if (!fleet.newest || activeRegion === undefined) return undefined;
    const target = chooseTarget(control.parts.spec, activeRegion);
    return computeUnsuited(region, fleet.newest, { activeRegion, target, verdict: fleet.quickVerdict(activeRegion) });
  }

  async #settleTerm(): Promise<void> {
    const { control, archivers, signal } = this.#parts;
    if (!this.leads) return this.#endTerm();
    if (this.#term) return;
    await control.watch.adoptCanaries();
    const over = new AbortController();
    this.#term = { over, archivers: archivers(AbortSignal.any([signal, over.signal])) };
    await control.watch.lead(true);
  }

  async #endTerm(): Promise<void> {
    const term = this.#term;
    if (!term) return;
    this.#term = undefined;
    term.over.abort(fail('INTERRUPTED', { message: 'this controller no longer leads' }));
    await Promise.allSettled([this.#parts.control.watch.lead(false), term.archivers.ended()]);
  }

  #somethingChanged(): void {
    this.#publisher.look();
    if (this.leads) void this.#parts.decider.evaluate();
  }

  #opinionsChanged(): void {
    if (this.leads) this.#parts.decider.reconsider();
  }

  /** What keeps each region from taking over, as it is seen from here. */
  #faults(): Readonly<Record<string, readonly string[]>> {
    const { control } = this.#parts;
    const { spec, host } = control.parts;
    const { watch } = control;
    const { activeRegion } = watch;
    if (activeRegion === undefined) return {};
    const input = {
      spec,
      activeRegion,
      nowMs: host.clock.nowMs(),
      observations: watch.observations,
      lastUp: watch.lastUp,
      acknowledged: watch.acknowledged,
      standbyCanaries: watch.standbyCanaries,
      provenRtoMs: new Map<string, number>(),
    };
    const others = [...spec.regions.values()].filter((each) => each.role !== 'witness' && each.name !== activeRegion);
    return Object.fromEntries(others.map(({ name }) => [name, computeTargetFaults(name, input).map((fault) => fault.message)]));
  }
}
