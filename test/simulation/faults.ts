/**
 * What goes wrong in one disaster, drawn from its seed: how often each kind comes, and when. Kinds:
 *   kill-region      every process of a region is killed; some come back by themselves, as the primary that they were
 *   dark-region      the same, and the hosts are off: nothing answers until they are back
 *   kill-store, kill-program  one component is killed and comes back, mostly within the grace
 *   hang             the database of a region stands still for a while (SIGSTOP)
 *   cut-link         the two databases do not hear each other
 *   cut-controller   the controller does not reach a region, which lives on
 *   cut-one-way      messages from one place to another get lost: questions, answers or replication
 *   lost-answers     some questions have their effect, and are never answered
 *   cut-off          both: the region lives on, alone with its clients
 *   crash            the controller dies at one of its next calls outside
 *   stall            the controller stands still; sometimes another one is started meanwhile
 *   shaky-store      calls to the state fail, or have their effect and fail
 *   slow-store       the state answers nothing for a while
 *   slow-probes      a region answers slowly
 *   clock-jump       the wall clock jumps
 *   cut-state, partition   one controller does not reach the state; some of all ways are cut, of all traffic or of one kind
 *   kill-guard, stall-guard, freeze   of one machine: its guard dies, its guard stands still, all of its processes stand still
 *   operator         a person looks, and re-protects what can be
 */
import type { Entry } from '../../src/drivers/postgresql/fake-server.ts';
import type { Chance } from './chance.ts';
import type { Controllers } from './controllers.ts';
import { allTraffic, type Place, type Traffic } from './network.ts';
import { otherRegion, type Region, regions, type SimulatedPlatform } from './simulated-platform.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** What goes wrong only where there are three regions with a controller each. */
const fleetKinds = ['cut-state', 'partition', 'kill-guard', 'stall-guard', 'freeze'] as const;
const kinds = [
  'kill-region',
  'dark-region',
  'kill-store',
  'kill-program',
  'hang',
  'cut-link',
  'cut-controller',
  'cut-one-way',
  'cut-off',
  'lost-answers',
  'crash',
  'stall',
  'shaky-store',
  'slow-store',
  'slow-probes',
  'clock-jump',
  'operator',
] as const;
type FaultKind = (typeof kinds)[number] | (typeof fleetKinds)[number];
const bootAgainMs = 500;
const clockNoiseMs = 30_000;
/** Those that make a failover necessary when they last. */
const severe = ['kill-region', 'dark-region', 'hang', 'cut-off', 'kill-store'] as const;

export interface FaultParts {
  readonly platform: SimulatedPlatform;
  readonly controllers: Controllers;
  readonly chance: Chance;
  /** A region may be booted now: nobody works on its files. */
  readonly mayBoot: (region: Region) => boolean;
  /** Something else is played, in which none of these happens. */
  readonly isCalm: boolean;
  readonly operatorLooks: () => void;
  /** A client was told that it is there, or another server has it. */
  readonly isPromised: (entry: Entry) => boolean;
}

export class Faults {
  readonly #parts: FaultParts;
  readonly endsAtMs: number;
  /** How likely the controller is to die in an execution. */
  readonly #crashShare: number;
  readonly happened: string[] = [];
  /** How many of those only stand still for a while. */
  readonly #stallShare: number;
  /** How likely the state is to fail while an execution begins. */
  readonly #badWeatherShare: number;
  /** How likely a region is to come back as its failover begins. */
  readonly #returnShare: number;
  /** How likely a server is to lose what it had not promised to keep when it is killed. */
  readonly #tornShare: number;
  #crashesLeft = 4;
  #over = false;

  constructor(parts: FaultParts) {
    this.#parts = parts;
    const { chance } = parts;
    const known: readonly FaultKind[] = parts.platform.fleet ? [...kinds, ...fleetKinds] : kinds;
    const weights = known.map((kind) => ({ kind, weight: chance.pick([0, 0.3, 1, 3]) }));
    const begins = chance.between(2_000, 6_000);
    // In some, a person re-protects as soon as it can be done, and then the region that took over is struck too.
    const strikesTwice = chance.happens(0.35);
    const secondAtMs = begins + chance.between(15_000, 35_000);
    this.endsAtMs = (strikesTwice ? secondAtMs : begins) + chance.between(8_000, 25_000);
    this.#crashShare = chance.pick([0, 0, 0.5, 1]);
    this.#stallShare = chance.pick([0, 0.5, 1]);
    this.#badWeatherShare = chance.pick([0, 0, 0.5]);
    this.#tornShare = chance.pick([0, 0.5, 1]);
    this.#returnShare = chance.pick([0, 0, 0, 0.5]);
    this.#strikeAt(begins + chance.between(0, 5_000), chance.pick(severe), true);
    // In some, the standby lags long before anything else goes wrong.
    if (chance.happens(0.15)) this.#strikeAt(1_900, 'cut-link', true);
    if (strikesTwice) {
      for (let atMs = begins; atMs < this.endsAtMs; atMs += 3_000) this.#strikeAt(atMs, 'operator', false);
      this.#strikeAt(secondAtMs, chance.pick(severe), true);
    }
    const count = chance.whole(1, 7);
    for (let place = 0; place < count; place += 1) this.#strikeAt(chance.between(begins, this.endsAtMs), draw(weights, chance), false);
  }

  #strikeAt(atMs: number, kind: FaultKind, isSevere: boolean): void {
    this.#parts.platform.time.after(atMs, () => {
      if (!this.#over && !this.#parts.isCalm) this.#strike(kind, isSevere);
    });
  }

  /** An execution was begun or taken over: the moments in which a death, a pause or a state that fails hurts most. */
  executionMoves(holder: string): void {
    const { chance, controllers, platform, isCalm } = this.#parts;
    if (this.#over || isCalm) return;
    if (this.#crashesLeft > 0 && chance.happens(this.#crashShare)) {
      this.#crashesLeft -= 1;
      const stallMs = chance.happens(this.#stallShare) ? chance.between(500, 6_000) : undefined;
      const doom = { inCalls: chance.whole(1, 120), when: chance.pick(['before', 'after'] as const) };
      controllers.named(holder)?.process.doom(stallMs === undefined ? doom : { ...doom, stallMs });
    }
    if (chance.happens(this.#badWeatherShare)) {
      platform.time.after(chance.between(0, 300), () => this.#over || this.#bring(chance.pick(['shaky-store', 'slow-store']), 'east', 0));
    }
  }

  /** A failover was begun by itself: the moment in which its region may come back. */
  failoverBegins(from: Region): void {
    const { chance, platform, isCalm } = this.#parts;
    if (this.#over || isCalm || !chance.happens(this.#returnShare)) return;
    const server = platform.servers[from];
    this.happened.push(`${Math.round(platform.time.nowMs)} ${from} comes back as its failover begins`);
    if (chance.happens(0.7)) platform.weather.pauseUntilMs = platform.time.nowMs + chance.between(500, 5_000);
    server.hung = false;
    platform.network.heal();
    this.#boot(from);
    platform.postgresql.flow();
  }

  /** Everything that goes wrong is over, and what was broken is whole again. */
  heal(): void {
    const { platform } = this.#parts;
    this.#over = true;
    platform.network.heal();
    platform.weather.errorShare = 0;
    platform.weather.pauseUntilMs = 0;
    // A clock that was set wrong is set right again.
    for (const skew of Object.values(platform.skews)) if (Math.abs(skew.offsetMs) > clockNoiseMs) skew.offsetMs = 0;
    for (const region of regions) {
      platform.servers[region].hung = false;
      this.#boot(region);
    }
    platform.postgresql.flow();
  }

  #pickGuard(): SimulatedProcess | undefined {
    const { platform, chance } = this.#parts;
    const guards = regions.flatMap((region) => platform.machines[region].living).filter(({ name }) => name.startsWith('guard-'));
    return guards.length === 0 ? undefined : chance.pick(guards);
  }

  /** A disk keeps what was acknowledged; what nobody was told of may be gone. */
  #killServer(region: Region): void {
    const { platform, chance } = this.#parts;
    const server = platform.servers[region];
    server.kill();
    if (server.inRecovery || !chance.happens(this.#tornShare)) return;
    while (server.log.at(-1)?.kind === 'record' && !this.#parts.isPromised(server.log.at(-1) as Entry)) server.log.pop();
  }

  #strike(kind: FaultKind, isSevere: boolean): void {
    const { chance, platform } = this.#parts;
    const active = platform.servers.west.inRecovery ? 'east' : 'west';
    const region = isSevere || chance.happens(0.7) ? active : otherRegion(active);
    const { graceMs } = platform.draw;
    const longMs = chance.pick([graceMs * chance.between(0.1, 0.9), graceMs + chance.between(0, 15_000), 1_000_000]);
    if (kind !== 'operator') this.happened.push(`${Math.round(platform.time.nowMs)} ${kind} ${region} ${Math.round(longMs)}`);
    this.#bring(kind, region, isSevere ? graceMs + chance.between(2_000, 20_000) : longMs);
  }

  #bring(kind: FaultKind, region: Region, durationMs: number): void {
    const { platform, controllers, chance, operatorLooks } = this.#parts;
    const { network, servers, weather, time, postgresql } = platform;
    const server = servers[region];
    const kill = () => {
      this.#killServer(region);
      platform.killProgram(region);
      platform.machines[region].killAll();
      postgresql.flow();
    };
    const places = controllers.places;
    const place = chance.pick(places);
    const cut = (traffic: readonly Traffic[], ways: readonly (readonly [Place, Place])[]) => {
      const mends = ways.map(([from, to]) => network.cut(traffic, from, to));
      postgresql.flow();
      this.#later(durationMs, () => {
        for (const mend of mends) mend();
        postgresql.flow();
      });
    };
    const bothWays = (one: Place, other: Place) => [[one, other] as const, [other, one] as const];
    const link = bothWays('east', 'west');
    const way = bothWays(place === region ? otherRegion(region) : place, region);
    const apart = (one: Place) => [...places, ...regions].filter((each) => each !== one).flatMap((each) => bothWays(one, each));
    const briefMs = chance.happens(0.8) ? platform.draw.graceMs * chance.between(0.05, 0.9) : durationMs;
    const bringers: Readonly<Record<FaultKind, () => void>> = {
      'kill-region': () => {
        kill();
        this.#later(durationMs, () => this.#boot(region));
      },
      'dark-region': () => {
        kill();
        network.dark.add(region);
        this.#later(durationMs, () => {
          network.dark.delete(region);
          this.#boot(region);
        });
      },
      'kill-store': () => {
        this.#killServer(region);
        postgresql.flow();
        this.#later(briefMs, () => this.#boot(region));
      },
      'kill-program': () => {
        platform.killProgram(region);
        this.#later(briefMs, () => this.#boot(region));
      },
      hang: () => {
        if (!server.running) return;
        server.hung = true;
        postgresql.flow();
        this.#later(durationMs, () => {
          server.hung = false;
          postgresql.flow();
        });
      },
      'cut-link': () => cut(['servers'], link),
      'cut-controller': () => cut(['sites'], way),
      'cut-one-way': () => cut(allTraffic, [chance.pick([...way, ...link])]),
      'cut-off': () => cut(allTraffic, apart(region)),
      'cut-state': () => cut(['state'], apart(place)),
      partition: () => {
        const ways = places.flatMap((one) => apart(one)).filter(() => chance.happens(0.3));
        cut(chance.pick([allTraffic, allTraffic, ['sites'], ['state'], ['servers']] as const), ways);
      },
      'kill-guard': () => this.#pickGuard()?.kill(),
      'stall-guard': () => this.#pickGuard()?.stall(chance.between(500, 12_000)),
      freeze: () => {
        if (place === 'outside') return;
        const frozenMs = chance.between(500, 20_000);
        for (const process of platform.machines[place].living) process.stall(frozenMs);
      },
      'lost-answers': () => {
        network.lostShare = chance.pick([0.02, 0.1, 0.3]);
        this.#later(chance.between(1_000, 15_000), () => {
          network.lostShare = 0;
        });
      },
      crash: () => controllers.current?.process.doom({ inCalls: chance.whole(1, 60), when: chance.pick(['before', 'after']) }),
      stall: () => {
        const stalled = controllers.current;
        stalled?.process.stall(chance.between(500, 12_000));
        if (stalled && chance.happens(0.4))
          time.after(chance.between(100, 3_000), () => void (this.#over || controllers.start(stalled.place)));
      },
      'shaky-store': () => {
        weather.errorShare = chance.pick([0.05, 0.2, 0.6]);
        this.#later(chance.between(1_000, 10_000), () => {
          weather.errorShare = 0;
        });
      },
      'slow-store': () => {
        weather.pauseUntilMs = time.nowMs + chance.between(500, 8_000);
      },
      'slow-probes': () => network.slowDown(region, chance.between(1_000, 15_000), chance.pick([300, 1_500, 4_000])),
      'clock-jump': () => {
        const byMs = chance.pick([1, -1]) * chance.pick([1_500, 5_000, 60_000, 7_200_000]);
        const skew = platform.skews[place];
        if (skew) skew.offsetMs += byMs;
        else platform.jumpClock(byMs);
      },
      operator: operatorLooks,
    };
    bringers[kind]();
  }

  #later(durationMs: number, mend: () => void): void {
    this.#parts.platform.time.after(durationMs, () => {
      if (!this.#over) mend();
    });
  }

  #boot(region: Region): void {
    const { platform, controllers, mayBoot } = this.#parts;
    if (platform.network.dark.has(region)) return;
    controllers.ensure();
    const server = platform.servers[region];
    // What may acknowledge alone is started only beside a controller that holds the right to it: a machine's own start would not ask.
    const mustWait = platform.startsByLease && !server.running && !server.barred && !platform.mayServe(region);
    if (!mayBoot(region) || mustWait) {
      if (platform.fleet || this.#over) platform.time.after(bootAgainMs, () => this.#boot(region));
      return;
    }
    server.start();
    platform.postgresql.flow();
    if (!platform.programRuns(region)) void platform.startProgram(region);
  }
}

function draw(weights: readonly { readonly kind: FaultKind; readonly weight: number }[], chance: Chance): FaultKind {
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  let rest = chance.between(0, total);
  for (const { kind, weight } of weights) {
    rest -= weight;
    if (rest < 0) return kind;
  }
  return chance.pick(kinds);
}
