/**
 * What must hold in every disaster, whatever goes wrong. Checked from outside: from the servers themselves, from what clients were told, and from the journal.
 *
 *   I1  Once a server was promoted, no other one acknowledges a write that the promoted one does not hold; and at no instant could two servers acknowledge. The epoch only grows, the
 *       active region changes only together with it, and each promotion has an epoch of its own.
 *   I2  Where replication is synchronous and nothing may be lost, a server promoted by an automatic failover holds every write that a client was told was acknowledged.
 *   I3  An automatic failover goes on only where its region was really in trouble for the grace (but for what a watch with these intervals can't see), its target was there as a
 *       standby, the cool-down was over and nothing else was under way.
 *   I4  No event is missing from a journal. A promotion has a durable intent of an execution that is open, happens once per execution, and comes after the fence of the other site has given its proof.
 *   I7  Writes that were acknowledged are lost by order of a person only with the approvals that the plan asks for.
 *   bug No line of the log tells of a belief of the program that was broken.
 *   I8  No secret stands in the state, the journal or the log.
 */
import type { Entry, FakeServer } from '../../src/drivers/postgresql/fake-server.ts';
import type { JournalEvent } from '../../src/state/journal-events.ts';
import type { PlatformState } from '../../src/state/platform-state.ts';
import type { Place } from './network.ts';
import { controllerPlaces, otherRegion, type Region, regions, type SimulatedPlatform, secrets } from './simulated-platform.ts';
import { hasEnded, type MirroredExecution, placeOf, StateMirror } from './state-mirror.ts';

export interface Violation {
  readonly invariant: 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'bug' | 'liveness';
  readonly atMs: number;
  readonly message: string;
}

interface Stretch {
  readonly fromMs: number;
  readonly holds: boolean;
}

function note(stretches: Stretch[], nowMs: number, holds: boolean): void {
  // As it is at the beginning, it has always been.
  if (stretches.at(-1)?.holds !== holds) stretches.push({ fromMs: stretches.length === 0 ? Number.NEGATIVE_INFINITY : nowMs, holds });
}

function heldMs(stretches: readonly Stretch[], fromMs: number, toMs: number): number {
  return stretches.reduce((sum, { fromMs: beginsMs, holds }, place) => {
    const endsMs = stretches[place + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
    return holds ? sum + Math.max(0, Math.min(endsMs, toMs) - Math.max(beginsMs, fromMs)) : sum;
  }, 0);
}

/** Under which the platform begins, with the primary that it begins with. */
const firstEpoch = 1;

/** What the spec names when it names nothing. */
const approversNeeded = 2;
const brokenBelief = /BUG_|TypeError|ReferenceError|RangeError/;

/** What a probe at one instant can miss of the instants around it. */
const missedMs = (draw: SimulatedPlatform['draw']) => 1.1 * draw.everyMs + draw.timeoutMs + 1_000;

export class Invariants {
  readonly violations: Violation[] = [];
  readonly mirror: StateMirror;
  readonly acknowledged: { readonly entry: Entry; readonly record: string; readonly atMs: number; readonly wasSeen: boolean }[] = [];
  /** Whether a controller was looking at that region at this moment: what nobody could see, nobody could estimate. */
  isWatched: (region: Region) => boolean = () => false;
  readonly promotions: { readonly region: Region; readonly executionId: string; readonly epoch: number; readonly atMs: number }[] = [];
  onBegun: (execution: MirroredExecution) => void = () => {};
  /** An automatic failover has confirmed its verdict, at that time. */
  onConfirmed: (execution: MirroredExecution, atMs: number) => void = () => {};
  onExecutionEvent: (execution: MirroredExecution, event: JournalEvent) => void = () => {};
  readonly #platform: SimulatedPlatform;
  /** When the controller could have reached the database of a region, however slowly; and when it would have had an answer in time. */
  readonly #there: Readonly<Record<Region, Stretch[]>> = { east: [], west: [] };
  readonly #well: Readonly<Record<Region, Stretch[]>> = { east: [], west: [] };
  /** When the standby of a region received from it, and the controller could have heard that. */
  readonly #heard: Readonly<Record<Region, Stretch[]>> = { east: [], west: [] };
  /** What the wall clock of each machine has shown. */
  readonly #wall: Record<string, { readonly fromMs: number; readonly offsetMs: number }[]> = {};
  readonly #places: readonly Place[];
  #newest: FakeServer;

  constructor(platform: SimulatedPlatform) {
    this.#platform = platform;
    this.#newest = platform.servers.east;
    this.#places = platform.fleet ? controllerPlaces : ['outside'];
    this.mirror = new StateMirror(platform.state.open(), {
      onPlatform: (before, now) => this.#checkPlatform(before, now),
      onBegun: (execution) => {
        this.#checkSingle();
        this.onBegun(execution);
      },
      onEvent: (execution, event) => {
        if (event.seq !== execution.events.length)
          this.violate('I4', `event ${execution.events.length} is missing from the journal of ${execution.header.id}`);
        this.#checkConfirmed(execution, event);
        this.#checkEnd(execution, event);
        this.onExecutionEvent(execution, event);
      },
      onText: (key, text) => this.checkSecrets(`the state's ${key}`, text),
    });
    for (const server of platform.postgresql.servers) {
      const promote = server.promote.bind(server);
      server.promote = () => {
        this.#promoting(server);
        promote();
      };
    }
    this.afterEvent();
  }

  violate(invariant: Violation['invariant'], message: string): void {
    if (this.violations.some((one) => one.invariant === invariant)) return;
    this.violations.push({ invariant, atMs: Math.round(this.#platform.time.nowMs), message });
  }

  liveness(message: string): void {
    this.violate('liveness', message);
  }

  checkSecrets(where: string, text: string): void {
    for (const secret of Object.values(secrets)) if (text.includes(secret)) this.violate('I8', `${where} holds a secret`);
  }

  /** A line of the log: it holds no secret, and tells of no belief of the program that was broken. */
  checkLine(event: string, text: string): void {
    this.checkSecrets(`the log line ${event}`, text);
    if (brokenBelief.test(text)) this.violate('bug', `${event}: ${text}`);
  }

  /** What a person was shown of writes that are lost has at least two names under it, or the failover was the kind that may lose nothing that it knew of. */
  #checkApproved(server: FakeServer, execution: MirroredExecution, lost: number): void {
    const approve = execution.header.plan.steps.filter((step) => step.verb === 'approve').map((step) => step.id);
    if (lost === 0 || isAutomatic(execution) || approve.length === 0) return;
    for (const id of approve) {
      const names = new Set(execution.events.flatMap((event) => (event.type === 'approved' && event.stepId === id ? [event.data.by] : [])));
      if (names.size < approversNeeded)
        this.violate(
          'I7',
          `${execution.header.id} loses ${lost} writes of ${server.host} with ${names.size} approvals of ${approversNeeded}`,
        );
    }
  }

  /** Called whenever the world has come to rest after an event. */
  afterEvent(): void {
    const { servers, network, time } = this.#platform;
    if (!this.#hasChanged()) return;
    for (const region of regions) {
      const server = servers[region];
      const seers = server.answers ? this.#seers(region) : 0;
      note(this.#there[region], time.nowMs, seers > 0);
      note(this.#well[region], time.nowMs, seers > this.#places.length / 2 && !network.isSlow(region));
      const other = servers[otherRegion(region)];
      const isHeard = other.answers && other.upstream === server && server.answers && !network.isSlow(otherRegion(region));
      note(this.#heard[region], time.nowMs, isHeard && this.#seers(otherRegion(region)) > this.#places.length / 2);
    }
    for (const place of this.#places) {
      const offsetMs = this.#platform.wallMsAt(place) - Math.floor(time.nowMs);
      this.#wall[place] ??= [];
      const shown = this.#wall[place];
      if (shown.at(-1)?.offsetMs !== offsetMs) shown.push({ fromMs: time.nowMs, offsetMs });
    }
    if (!servers.east.inRecovery && !servers.west.inRecovery && regions.every((region) => this.#platform.canAcknowledge(servers[region])))
      this.violate('I1', 'both servers could acknowledge writes');
  }

  /** Whether anything is other than it was when it was looked at last. */
  #hasChanged(): boolean {
    const { network, servers, skews } = this.#platform;
    let place = 0;
    let changed = false;
    const look = (now: unknown) => {
      if (this.#looks[place] !== now) {
        this.#looks[place] = now;
        changed = true;
      }
      place += 1;
    };
    look(network.version);
    look(network.dark.size);
    look(this.#platform.wallMs() - Math.floor(this.#platform.time.nowMs));
    for (const each of this.#places) look(skews[each]?.offsetMs);
    for (const region of regions) {
      const { answers, inRecovery, upstream, settings } = servers[region];
      look(answers);
      look(inRecovery);
      look(upstream);
      look(network.isSlow(region));
      look(settings.default_transaction_read_only);
      look(settings.synchronous_standby_names);
    }
    return changed;
  }
  readonly #looks: unknown[] = [];

  /** How many controllers could see the region, if they live. */
  #seers(region: Region): number {
    return this.#places.filter((place) => this.#platform.network.isReachable('sites', place, region)).length;
  }

  /** A client was told that its write is there. */
  wasAcknowledged(server: FakeServer, entry: Entry & { readonly kind: 'record' }): void {
    if (server !== this.#newest && !this.#newest.log.includes(entry))
      this.violate('I1', `${server.host} acknowledged ${entry.record} after ${this.#newest.host} was promoted`);
    const { nowMs } = this.#platform.time;
    const wasSeen = this.#there[this.#platform.regionOf(server)].at(-1)?.holds === true && this.isWatched(this.#platform.regionOf(server));
    this.acknowledged.push({ entry, record: entry.record, atMs: nowMs, wasSeen });
  }

  /** The writes that clients were told of and the server lacks. */
  lostAt(server: FakeServer): readonly string[] {
    const held = new Set(server.log);
    return this.acknowledged.filter(({ entry }) => !held.has(entry)).map(({ record }) => record);
  }

  /** An automatic failover may lose no more time than the budget: as far as anybody saw what was written. */
  #checkBudget(server: FakeServer, execution: MirroredExecution): void {
    const held = new Set(server.log);
    const lost = this.acknowledged.filter(({ entry }) => !held.has(entry));
    const lastSeenAtMs = lost.findLast(({ wasSeen }) => wasSeen)?.atMs;
    const { draw } = this.#platform;
    if (lost.length === 0 || lastSeenAtMs === undefined || !isAutomatic(execution) || draw.synchronous) return;
    const lossMs = lastSeenAtMs - (lost[0]?.atMs ?? 0);
    // A canary sees no finer than its period, and the newest one may be under way.
    if (lossMs > draw.lossBudgetMs + 2 * draw.canaryEveryMs + draw.everyMs + draw.timeoutMs)
      this.violate(
        'I7',
        `${execution.header.id} loses ${Math.round(lossMs)} ms of writes by itself; the budget is ${draw.lossBudgetMs} ms`,
      );
  }

  #promoting(server: FakeServer): void {
    const { draw, time } = this.#platform;
    const region = this.#platform.regionOf(server);
    const epoch = this.mirror.platform?.epoch ?? 0;
    const execution = this.mirror.open.find((one) => intends(one, region));
    if (!execution) {
      this.violate('I4', `${server.host} is promoted without a durable intent of an open execution`);
      return;
    }
    const { id, plan } = execution.header;
    if (this.promotions.some((one) => one.executionId === id && one.region === region))
      this.violate('I4', `${id} promotes ${server.host} twice`);
    if (epoch <= (this.promotions.at(-1)?.epoch ?? firstEpoch)) this.violate('I1', `a second primary under epoch ${epoch}`);
    if (epoch !== plan.epoch) this.violate('I1', `${id} promotes under epoch ${plan.epoch} while the platform is at ${epoch}`);
    const fence = plan.steps.find((step) => step.verb === 'fence' && step.component === 'orders-db' && step.region === otherRegion(region));
    if (!fence || !hasEnded(execution, fence.id))
      this.violate('I4', `${server.host} is promoted before the fence of the other site is proven`);
    const lost = this.lostAt(server);
    if (lost.length > 0 && isAutomatic(execution) && draw.synchronous)
      this.violate('I2', `${server.host} is promoted without ${lost.length} acknowledged writes, the first ${lost[0]}`);
    this.#checkBudget(server, execution);
    this.#checkApproved(server, execution, lost.length);
    // What a failover was allowed to lose is not looked for again.
    if (lost.length > 0)
      for (const gone of lost)
        this.acknowledged.splice(
          this.acknowledged.findIndex(({ record }) => record === gone),
          1,
        );
    this.promotions.push({ region, executionId: id, epoch, atMs: time.nowMs });
    this.#newest = server;
  }

  #checkPlatform(before: PlatformState | undefined, now: PlatformState): void {
    if (!before) return;
    if (now.epoch < before.epoch) this.violate('I1', `the epoch fell from ${before.epoch} to ${now.epoch}`);
    if (now.activeRegion === before.activeRegion) return;
    const promotion = this.promotions.at(-1);
    if (promotion?.region !== now.activeRegion || promotion.epoch !== now.epoch)
      this.violate('I1', `${now.activeRegion} became active under epoch ${now.epoch} without a promotion under it`);
  }

  #checkSingle(): void {
    const { open } = this.mirror;
    if (open.length > 1) this.violate('I3', `${open.map(({ header }) => header.id).join(' and ')} are under way at once`);
  }

  #checkConfirmed(execution: MirroredExecution, event: JournalEvent): void {
    const { header } = execution;
    if (event.type !== 'step-done') return;
    const step = header.plan.steps.find((each) => each.id === event.stepId);
    const automatic = header.plan.steps.some((each) => each.verb === 'confirm-verdict');
    if (!step || !automatic || (step.verb !== 'confirm-verdict' && step.verb !== 'check-target')) return;
    const atMs = this.#timeOf(event.atMs, placeOf(execution));
    if (step.verb === 'check-target') {
      this.#checkTarget(header.plan.to as Region, atMs);
      return;
    }
    this.onConfirmed(execution, atMs);
    const { graceMs, coolDownMs } = this.#platform.draw;
    const unseenMs = missedMs(this.#platform.draw);
    const wellMs = heldMs(this.#well[header.plan.from as Region], atMs - graceMs, atMs);
    if (wellMs > unseenMs)
      this.violate('I3', `${header.id}: ${header.plan.from} was well for ${Math.round(wellMs)} ms of the grace of ${graceMs} ms`);
    const lookedAtMs = unseenMs + 500;
    if (heldMs(this.#well[header.plan.from as Region], atMs - lookedAtMs, atMs) >= lookedAtMs - 1)
      this.violate('I3', `${header.id}: ${header.plan.from} was well all the time, for ${lookedAtMs} ms`);
    if (heldMs(this.#heard[header.plan.from as Region], atMs - lookedAtMs - graceMs, atMs) >= lookedAtMs + graceMs - 1)
      this.violate('I3', `${header.id}: ${header.plan.from} sent to its standby all the time, for ${lookedAtMs + graceMs} ms`);
    const changedAtMs = this.mirror.platform?.changedAtMs;
    if (changedAtMs !== undefined && header.startedAtMs - changedAtMs < coolDownMs)
      this.violate('I3', `${header.id} began within the cool-down`);
  }

  /** A failover that says it went well has left somebody who takes writes. */
  #checkEnd({ header }: MirroredExecution, event: JournalEvent): void {
    if (event.type !== 'finished' || event.data.outcome !== 'done' || header.kind !== 'failover') return;
    const server = this.#platform.servers[header.plan.to as Region];
    if (server.answers && !server.inRecovery && !this.#platform.canAcknowledge(server))
      this.violate('liveness', `${header.id} ended well, and ${server.host} acknowledges nothing`);
  }

  #checkTarget(target: Region, atMs: number): void {
    const backMs = missedMs(this.#platform.draw) + 2_000;
    if (heldMs(this.#there[target], atMs - backMs, atMs + 1) === 0)
      this.violate('I3', `the target ${target} was not there for ${backMs} ms`);
    if (!this.#platform.servers[target].inRecovery && this.#newest === this.#platform.servers[target])
      this.violate('I3', `the target ${target} is the primary already`);
  }

  /** When the wall clock of that machine showed that time, the last time that it did. */
  #timeOf(wallMs: number, machine: Place): number {
    const nowMs = this.#platform.time.nowMs;
    const shown = this.#wall[machine] ?? [];
    for (let place = shown.length - 1; place >= 0; place -= 1) {
      const { fromMs, offsetMs } = shown[place] as { fromMs: number; offsetMs: number };
      const untilMs = shown[place + 1]?.fromMs ?? nowMs;
      if (wallMs - offsetMs >= fromMs - 1 && wallMs - offsetMs <= untilMs + 1) return wallMs - offsetMs;
    }
    return nowMs;
  }
}

export function isAutomatic({ header }: MirroredExecution): boolean {
  return header.plan.steps.some((step) => step.verb === 'confirm-verdict');
}

function intends({ header, events }: MirroredExecution, region: Region): boolean {
  const step = header.plan.steps.find((each) => each.verb === 'promote' && each.component === 'orders-db' && each.region === region);
  return step !== undefined && events.some((event) => event.type === 'step-intent' && event.stepId === step.id);
}
