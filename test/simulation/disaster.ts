/**
 * One disaster, from its seed alone: a platform that is well, faults, then everything healed and a person who re-protects; and in the end all must be as if nothing had been,
 * except for which region is active. The same seed gives the same run, event by event; its digest is taken over the whole final state.
 */
import { createHash } from 'node:crypto';
import { Chance } from './chance.ts';
import { Clients } from './clients.ts';
import { Controllers } from './controllers.ts';
import { Deceptions } from './deceptions.ts';
import { Distortions } from './distortions.ts';
import { Faults } from './faults.ts';
import { Invariants, isAutomatic, type Violation } from './invariants.ts';
import { Operator } from './operator.ts';
import { otherRegion, type Region, regions, SimulatedPlatform } from './simulated-platform.ts';
import { StateAudit } from './state-audit.ts';
import { hasEnded, type MirroredExecution } from './state-mirror.ts';
import { VirtualTime } from './virtual-time.ts';

const convergesWithinMs = 900_000;
/** Far more than any disaster needs: a controller that spins shows here. */
const mostEvents = 400_000;
const lookEveryMs = 1_000;
/** It must hold for so long to count. */
const settledMs = 3_000;

export interface DisasterResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly converged: boolean;
  readonly digest: string;
  readonly failovers: number;
  readonly crashes: number;
  readonly virtualMs: number;
  readonly events: number;
  /** What went wrong and what was done about it, for whoever looks into it. */
  readonly story: readonly string[];
}

/** @param regionCount 2: one controller outside of both; 3: a controller in each, a witness among them */
export async function runDisaster(seed: number, regionCount: 2 | 3 = 2): Promise<DisasterResult> {
  const disaster = new Disaster(seed, regionCount);
  await disaster.run();
  return disaster.result();
}

/** A re-protection that has not made the database of the region follow yet works on its files. */
function worksOnFiles(execution: MirroredExecution, region: Region): boolean {
  const { kind, plan } = execution.header;
  if (kind !== 'reprotect' || plan.from !== region) return false;
  return plan.steps.some((step) => step.verb === 'follow' && !hasEnded(execution, step.id));
}

class Disaster {
  readonly #seed: number;
  readonly #time: VirtualTime;
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #controllers: Controllers;
  readonly #operator: Operator;
  readonly #faults: Faults;
  readonly #clients: Clients;
  readonly #deceptions: Deceptions;
  readonly #stateAudit: StateAudit;
  readonly #distortions: Distortions;
  #converged = false;

  constructor(seed: number, regionCount: 2 | 3) {
    this.#seed = seed;
    this.#time = new VirtualTime(new Chance(seed, 'order').random);
    this.#platform = new SimulatedPlatform(this.#time, new Chance(seed, 'platform'), regionCount);
    for (const region of regions) void this.#platform.startProgram(region);
    this.#invariants = new Invariants(this.#platform);
    this.#distortions = new Distortions(this.#platform, new Chance(seed, 'distortions'));
    this.#controllers = new Controllers(this.#platform, this.#invariants, seed, this.#distortions);
    this.#operator = new Operator(this.#platform, this.#invariants, this.#controllers, new Chance(seed, 'operator'));
    this.#clients = new Clients(this.#platform, this.#invariants, new Chance(seed, 'clients'));
    this.#stateAudit = new StateAudit(this.#platform, this.#invariants);
    this.#deceptions = new Deceptions({
      platform: this.#platform,
      controllers: this.#controllers,
      chance: new Chance(seed, 'guises'),
      isBusy: () => this.#invariants.mirror.open.length > 0,
      order: (kind, thinksMs) => this.#operator.interfere(kind, thinksMs),
    });
    this.#faults = new Faults({
      platform: this.#platform,
      controllers: this.#controllers,
      chance: new Chance(seed, 'faults'),
      isCalm: this.#deceptions.isAlone,
      mayBoot: (region) => !this.#invariants.mirror.open.some((execution) => worksOnFiles(execution, region)),
      operatorLooks: () => this.#operator.look(false),
      isPromised: (entry) =>
        this.#invariants.acknowledged.some((each) => each.entry === entry) ||
        regions.filter((region) => this.#platform.servers[region].log.includes(entry)).length > 1,
    });
    this.#invariants.onExecutionEvent = (_execution, event) => {
      if (event.type === 'started' || event.type === 'runner-changed') this.#faults.executionMoves(String(event.data.holder));
    };
    this.#invariants.onBegun = (execution) => {
      if (isAutomatic(execution)) this.#faults.failoverBegins(execution.header.plan.from as Region);
    };
  }

  async run(): Promise<void> {
    const { violations } = this.#invariants;
    const afterEach = () => {
      this.#invariants.afterEvent();
      this.#stateAudit.afterEvent();
    };
    const stop = () => {
      if (this.#time.fired > mostEvents) this.#invariants.liveness(`${mostEvents} events, and no rest`);
      return violations.length > 0;
    };
    await this.#time.run(this.#deceptions.isAlone ? this.#deceptions.endsAtMs : this.#faults.endsAtMs, afterEach, stop);
    this.#deceptions.end();
    this.#distortions.end();
    this.#faults.heal();
    this.#controllers.restartAfterMs = () => 100;
    this.#controllers.ensure();
    const untilMs = this.#time.nowMs + convergesWithinMs;
    let sinceMs: number | undefined;
    while (!stop() && this.#time.nowMs < untilMs && !this.#converged) {
      await this.#time.run(this.#time.nowMs + lookEveryMs, afterEach, stop);
      if (this.#whatIsWrong() === undefined) sinceMs ??= this.#time.nowMs;
      else sinceMs = undefined;
      this.#converged = sinceMs !== undefined && this.#time.nowMs - sinceMs >= settledMs;
      if (!this.#converged && !stop()) this.#operator.look(true);
    }
    if (!stop() && !this.#converged) this.#invariants.liveness(this.#whatIsWrong() ?? 'it does not come to rest');
  }

  /** Undefined when all is as it should be. */
  #whatIsWrong(): string | undefined {
    const { servers, draw } = this.#platform;
    const { mirror } = this.#invariants;
    const active = mirror.platform?.activeRegion as Region;
    const [primary, standby] = [servers[active], servers[otherRegion(active)]];
    if (mirror.open.length > 0) return `${mirror.open[0]?.header.id} has not ended`;
    if (!primary.answers || primary.inRecovery) return `the database in ${active} is not a primary`;
    if (!standby.inRecovery) return 'both databases are primaries';
    if (!this.#operator.isProtected(active)) return `the database in ${active} is not protected`;
    if (draw.synchronous !== (primary.settings.synchronous_standby_names !== ''))
      return 'replication is not of the kind that the spec wants';
    if (!this.#platform.canAcknowledge(primary)) return `the database in ${active} acknowledges nothing`;
    if (this.#time.nowMs - this.#clients.acknowledgedAtMs > 2_000) return 'no client was acknowledged a write';
    const promoted = this.#invariants.promotions.at(-1);
    const region = promoted?.region ?? 'east';
    if (region !== active) return `${region} was promoted last, and ${active} is the active region`;
    const epoch = primary.epoch('orders-db')?.epoch;
    if (promoted && epoch !== promoted.epoch) return `the database holds epoch ${epoch}, promoted under ${promoted.epoch}`;
    if (!this.#platform.programRuns(active)) return `the application does not run in ${active}`;
    if (this.#platform.nameLeadsTo().join() !== active) return `the name leads to ${this.#platform.nameLeadsTo().join()}, not ${active}`;
    const lost = this.#invariants.lostAt(primary);
    if (lost.length > 0) return `the database lacks ${lost.length} acknowledged writes, the first ${lost[0]}`;
    return this.#controllers.places.every((place) => this.#controllers.at(place)?.control) ? undefined : 'a controller does not run';
  }

  result(): DisasterResult {
    const { mirror, violations, promotions } = this.#invariants;
    return {
      seed: this.#seed,
      violations,
      converged: this.#converged,
      digest: this.#digest(),
      failovers: [...mirror.executions.values()].filter(
        (one) => isAutomatic(one) && promotions.some((each) => each.executionId === one.header.id),
      ).length,
      crashes: this.#controllers.crashes,
      virtualMs: Math.round(this.#time.nowMs),
      events: this.#time.fired,
      story: [
        JSON.stringify(this.#platform.draw),
        ...this.#faults.happened,
        ...this.#distortions.happened,
        ...this.#deceptions.happened,
        ...this.#operator.did,
        ...[...mirror.executions.values()].flatMap(({ header, events }) => [
          `execution ${header.id} by ${header.startedBy} under epoch ${header.plan.epoch}: ${header.plan.madeBecause}`,
          ...events.map(
            (event) =>
              `  ${event.atMs - Date.UTC(2026, 0, 1)} ${event.type} ${'stepId' in event ? event.stepId : ''} ${event.type === 'step-failed' ? event.data.error.message : ''}`,
          ),
        ]),
      ],
    };
  }

  #digest(): string {
    const hash = createHash('sha256');
    const { servers } = this.#platform;
    for (const region of regions) {
      const { log, timeline, running, inRecovery, settings } = servers[region];
      hash.update(
        JSON.stringify([region, timeline, running, inRecovery, settings, log], (_key, value) =>
          typeof value === 'bigint' ? String(value) : value,
        ),
      );
    }
    const { executions, platform } = this.#invariants.mirror;
    hash.update(JSON.stringify([platform, [...executions.values()], this.#time.fired, this.#time.nowMs]));
    return hash.digest('hex');
  }
}
