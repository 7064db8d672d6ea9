/**
 * One object with every operation: what the faces call. It holds the spec, the opened sites, the watch and the state; the operations themselves are beside it, one file each.
 *
 * Invariant: nothing is changed in a user's systems but by an execution of the engine, whose plan was journalled whole before.
 */
import { fail } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { DriverCatalog } from '../contracts/driver.ts';
import type { Lease, StateStore } from '../contracts/state-store.ts';
import type { Host } from '../host/host.ts';
import type { PlanKind } from '../plans/plan.ts';
import type { Spec } from '../spec/spec.ts';
import { journalKeys, listOpenExecutions } from '../state/journal.ts';
import { ensurePlatformState, watchPlatformState } from '../state/platform-state.ts';
import type { ReadinessFault } from '../watch/readiness.ts';
import { type RegionVerdict, tallyVotes } from '../watch/verdict.ts';
import { Watch } from '../watch/watch.ts';
import { readPresences } from '../watch/watch-records.ts';
import { BackupParts, type OpenRepository } from './backups/backup-parts.ts';
import { readRecoveryInstants } from './backups/recovery-instants.ts';
import { checkHands } from './check-hands.ts';
import { type CutOff, Fleet } from './fleet/fleet.ts';
import { type OpenHands, type OpenSites, openSites } from './open-sites.ts';
import { OwnVotes } from './own-votes.ts';
import { checkLease } from './primary/check-lease.ts';
import type { GuardLocation } from './primary/open-keeper.ts';
import { readRecoveries, readTimings } from './timings.ts';
import type { PlatformParts } from './verbs/platform-verb.ts';
import type { ViewParts } from './view.ts';

const presenceStaleMs = 5_000;

export interface ControlParts {
  readonly spec: Spec;
  readonly catalog: DriverCatalog;
  readonly host: Host;
  readonly store: StateStore;
  readonly openHands: OpenHands;
  /** Unique per process: `serve-4711`; where several controllers share a state, with its region. */
  readonly controller: string;
  /** Where this process stands, where several controllers share a state: it decides whose local hands are ours. */
  readonly region?: string;
  /** Of this program. Controllers of different ones do not vote together. */
  readonly version?: string;
  /** Where a controller keeps what it last read of a shared state. */
  readonly lastKnownFile?: string;
  /** Where the guard of this controller's region is started and found; without it no right to serve is held by lease. */
  readonly guard?: GuardLocation;
  /** Nobody else is there: this process writes canaries and records for as long as it works. */
  readonly leadsAlone?: boolean;
  /** The shared state can't be reached, and `store` only stands in for it. */
  readonly cutOff?: CutOff;
  readonly pid: number;
  /** True for a controller that keeps watching, leaves records and writes canaries. */
  readonly publish: boolean;
  /** Opens what keeps the backups; without it nothing can be backed up. */
  readonly openRepository?: OpenRepository;
  /** Where copies are restored to for proofs. Default: /var/tmp. */
  readonly scratchDirectory?: string;
}

export class Control {
  readonly parts: ControlParts;
  readonly watch: Watch;
  readonly backups: BackupParts;
  /** Where several controllers share the state. */
  readonly fleet: Fleet | undefined;
  /** The lease under which this process begins things, where it is one of several and leads. */
  leadLease: () => Lease | undefined = () => undefined;
  readonly #open: OpenSites;
  readonly #ownVotes: OwnVotes;
  #unwatchPlatform: (() => void) | undefined;
  #unwatchExecutions: (() => void) | undefined;

  private constructor(parts: ControlParts, open: OpenSites, watch: Watch) {
    this.parts = parts;
    this.#open = open;
    this.watch = watch;
    const { spec, catalog, host, store, controller, region, cutOff } = parts;
    this.#ownVotes = new OwnVotes({ spec, watch, clock: host.clock, controller, amongOthers: spec.state !== undefined });
    this.fleet = spec.state
      ? new Fleet({
          spec,
          store,
          controller,
          version: parts.version ?? '0.0.0',
          ownVote: (of) => this.#ownVotes.vote(of),
          ...(region === undefined ? {} : { region }),
          ...(cutOff === undefined ? {} : { cutOff }),
        })
      : undefined;
    this.backups = new BackupParts({
      spec,
      catalog,
      host,
      store,
      contexts: open.contexts,
      openRepository: parts.openRepository ?? noRepositories,
      scratchDirectory: parts.scratchDirectory ?? '/var/tmp',
    });
  }

  /** Reads what the state remembers and makes the platform's record if there is none. Looks at no system yet. */
  static async open(parts: ControlParts): Promise<Control> {
    const { spec, store, host } = parts;
    const { state } = await ensurePlatformState(store, spec.name, activeRegionOf(spec));
    if (!spec.regions.has(state.activeRegion))
      throw fail('SPEC_INVALID', {
        subject: state.activeRegion,
        message: `the state says that ${state.activeRegion} is the active region, and the spec has no such region`,
        hint: 'Give the region its name back in the spec; it can be taken out once another one is active.',
      });
    const isOurs = (region: string) => spec.state === undefined || region === parts.region;
    const open = openSites(spec, parts.catalog, host, parts.openHands, isOurs);
    const { controller, publish, pid } = parts;
    const watch = new Watch({ spec, sites: open.sites, store, host, controller, publish, pid, shared: spec.state !== undefined });
    await watch.load();
    return new Control(parts, open, watch);
  }

  /** Starts looking, and follows the active region with the canaries. */
  async startWatching(): Promise<void> {
    const { store, spec, host } = this.parts;
    // First what can fail: until it is known nothing has begun, and it can be tried again.
    const entry = await ensurePlatformState(store, spec.name, activeRegionOf(spec));
    this.watch.start();
    this.watch.aim(entry.state.activeRegion, entry.state.epoch);
    if (this.parts.leadsAlone) await this.watch.lead(true);
    // An execution that has ended, here or in another process, leaves things other than they were: look now, not at the next turn.
    this.#unwatchExecutions = store.watch(journalKeys.openPrefix, (event) => event.kind === 'delete' && void this.watch.probeAll(), {
      onError: (error) => host.log.error('control.executions-watch-lost', { message: error.message }),
    });
    this.#unwatchPlatform = watchPlatformState(
      store,
      (state) => this.watch.aim(state.activeRegion, state.epoch),
      (error) => host.log.error('control.state-watch-lost', { message: error.message }),
    );
  }

  get sites(): OpenSites['sites'] {
    return this.#open.sites;
  }

  async view(): Promise<ViewParts> {
    const { spec, catalog, store, host } = this.parts;
    const withoutStandby = [...spec.components.values()].some(({ replication }) => replication === 'none');
    const [platform, timings, recoveries, recoveryInstants] = await Promise.all([
      ensurePlatformState(store, spec.name, activeRegionOf(spec)),
      readTimings(store),
      readRecoveries(store),
      withoutStandby ? readRecoveryInstants(store) : new Map<string, number>(),
    ]);
    return {
      spec,
      catalog,
      sites: this.sites,
      withHandsElsewhere: this.#open.withHandsElsewhere,
      watch: this.watch,
      platform: platform.state,
      timings,
      recoveries,
      recoveryInstants,
      canBringBack: (component, region) => this.backups.canBringBack(component, region),
      nowMs: host.clock.nowMs(),
    };
  }

  /** The verdict on a region by all controllers that there should be; what this process has to say of it is what its watch has seen. */
  async verdict(region: string, looked?: Promise<void>): Promise<RegionVerdict> {
    if (this.fleet) return this.fleet.verdict(region, looked);
    await looked;
    return tallyVotes(region, [this.#ownVotes.vote(region)], 1);
  }

  /** The same, without asking the state: good enough to see whether something may have changed. */
  async quickVerdict(region: string): Promise<RegionVerdict> {
    return this.fleet?.quickVerdict(region) ?? this.verdict(region);
  }

  /** Whether another process serves this platform now: its word is then as good as a look of our own. */
  async serverAlive(): Promise<boolean> {
    if (this.fleet)
      return (await this.fleet.read()).members.some((member) => member.present && member.controller !== this.parts.controller);
    const nowMs = this.parts.host.clock.nowMs();
    for (const presence of (await readPresences(this.parts.store)).values()) {
      if (presence.controller !== this.parts.controller && nowMs - presence.atMs < presenceStaleMs) return true;
    }
    return false;
  }

  /** Ids of the executions that have not ended. */
  openExecutions(): Promise<readonly string[]> {
    return listOpenExecutions(this.parts.store);
  }

  /** Whether some process runs the execution at this moment. */
  async isRunning(id: string): Promise<boolean> {
    return (await this.parts.store.readLease(journalKeys.lease(id)))?.held === true;
  }

  /** Proves that commands can be run at each site that has hands, all at once; and names the sites that plans need hands for and that have none, or that no lease would prove fenced. */
  async checkHands(): Promise<readonly ReadinessFault[]> {
    const { spec, catalog, host, region, store, cutOff } = this.parts;
    const leases = cutOff === undefined ? checkLease(spec, store) : [];
    return (await Promise.all([checkHands(spec, catalog, this.#open.hands, host.clock, region), leases])).flat();
  }

  /** An id for an execution that is about to begin. */
  newExecutionId(kind: PlanKind): string {
    const { clock, random } = this.parts.host;
    return makeId(kind, clock.nowMs(), () => random.next());
  }

  get platformParts(): PlatformParts {
    const { spec, store, host } = this.parts;
    return {
      backups: this.backups,
      spec,
      store,
      host,
      watch: this.watch,
      sites: this.sites,
      view: () => this.view(),
      verdict: (region, looked) => this.verdict(region, looked),
    };
  }

  async close(): Promise<void> {
    this.#unwatchPlatform?.();
    this.#unwatchExecutions?.();
    await this.watch.stop();
    await this.backups.close();
    await this.#open.close();
    await this.parts.store.close();
  }
}

const noRepositories: OpenRepository = async ({ name }) => {
  throw fail('REPOSITORY_MISSING', { subject: name, message: 'this program was put together without repositories' });
};

function activeRegionOf(spec: Spec): string {
  for (const region of spec.regions.values()) if (region.role === 'active') return region.name;
  return [...spec.regions.keys()][0] as string;
}
