/**
 * What must not be failed over, or not yet, in some of the disasters, with nothing else going wrong: whoever fails over then was taken in. And a person who is too late, in some of the
 * others. Drawn from a stream of their own. Kinds:
 *   blind     one controller does not reach the active region, whose standby still receives (mostly)
 *   flap      the database of the active region is away for less than the grace, twice; in between the controllers stand still for longer than that
 *   leap      the database of the active region is away for less than the grace, in which the clocks on the wall leap forward
 *   wander    of three controllers first one does not reach the active region; then it reaches the state no more, and another one does not reach the region
 *   minority  two of three machines stand still, and the controller of the third does not reach the active region
 *   alone     of three regions the active one is cut off from all others, with clients that its database goes on to serve for as long as its lease allows
 *   lag       the standby receives nothing for longer than may be lost, then the database of the active region dies (asynchronous replication);
 *             in some, clocks that were fast are set right meanwhile
 *   both      the database of the active region stands still just after its standby died (asynchronous replication)
 *   late      a person orders a failover by hand, or a re-protection of a standby that is away, thinks it over, and says yes when a failover has long happened by itself
 */
import type { Chance } from './chance.ts';
import type { Controllers } from './controllers.ts';
import { allTraffic, type Place, type Traffic } from './network.ts';
import { type Region, regions, type SimulatedPlatform } from './simulated-platform.ts';

const share = 0.25;
type Kind = 'blind' | 'flap' | 'leap' | 'wander' | 'minority' | 'alone' | 'lag' | 'both' | 'late';

function kindsOf({ regions: count, synchronous, localHands }: SimulatedPlatform['draw']): readonly Kind[] {
  const kinds: Kind[] = ['blind', 'flap', 'leap', 'late'];
  if (count === 3) kinds.push('wander', 'minority');
  if (!synchronous) kinds.push('lag', 'lag', 'both', 'both');
  if (!synchronous && localHands) kinds.push('alone', 'alone', 'alone');
  return kinds;
}

/** The controllers have begun to watch and know the canaries. */
const earliestMs = 3_500;

export interface DeceptionParts {
  readonly platform: SimulatedPlatform;
  readonly controllers: Controllers;
  readonly chance: Chance;
  /** Somebody works on the platform: a server is not to be started by anybody else. */
  readonly isBusy: () => boolean;
  /** A person orders something, and says yes to its plan after so long. */
  readonly order: (kind: 'failover' | 'reprotect', thinksMs: number) => void;
}

export class Deceptions {
  readonly #parts: DeceptionParts;
  readonly #kind: Kind | undefined;
  readonly happened: string[] = [];
  /** Until when it takes to see what comes of it; 0 where there is none. */
  readonly endsAtMs: number = 0;
  #over = false;

  constructor(parts: DeceptionParts) {
    this.#parts = parts;
    const { chance, platform } = parts;
    this.#kind = chance.happens(share) ? chance.pick(kindsOf(platform.draw)) : undefined;
    if (this.#kind === undefined) return;
    if (this.#kind === 'late') this.#orderLate();
    else this.endsAtMs = this.#begin(this.#kind);
  }

  /** Nothing else goes wrong. */
  get isAlone(): boolean {
    return this.endsAtMs > 0;
  }

  /** Whoever was stopped goes on, and nothing more happens. */
  end(): void {
    this.#over = true;
  }

  #in(durationMs: number, what: string, act: () => void): void {
    const { time, postgresql } = this.#parts.platform;
    time.after(durationMs, () => {
      if (this.#over) return;
      this.happened.push(`${Math.round(time.nowMs)} ${what}`);
      act();
      postgresql.flow();
    });
  }

  /** After so long a controller whose questions get no answer takes a site for lost. */
  get #untilLostMs(): number {
    const { graceMs, failures, everyMs, timeoutMs } = this.#parts.platform.draw;
    return graceMs + (failures + 1) * (everyMs + timeoutMs) + 1_500;
  }

  #begin(kind: Exclude<Kind, 'late'>): number {
    const { chance, platform, controllers } = this.#parts;
    const beginsMs = earliestMs + chance.between(0, 2_000);
    // The controller of the active region is beside it, and reaches it always.
    const [one, other] = chance.happens(0.5) ? (['west', 'witness'] as const) : (['witness', 'west'] as const);
    const place: Place = platform.fleet ? one : 'outside';
    if (kind === 'blind') {
      this.#in(beginsMs, `${place} does not reach east`, () => this.#cut(['sites'], [[place, 'east'] as const]));
      if (chance.happens(platform.fleet ? 0.5 : 0.2)) this.#cutLink(beginsMs);
      return beginsMs + this.#untilLostMs + 5_000;
    }
    if (kind === 'minority') {
      const stillMs = platform.draw.ttlMs + this.#untilLostMs + 5_000;
      if (chance.happens(0.5)) this.#cutLink(beginsMs);
      this.#in(beginsMs, `east and ${other} stand still, and ${one} does not reach east`, () => {
        for (const stopped of ['east', other] as const) for (const process of platform.machines[stopped].living) process.stall(stillMs);
        this.#cut(['sites'], [[one, 'east']]);
      });
      return beginsMs + stillMs;
    }
    if (kind === 'wander') {
      const thenMs = beginsMs + this.#untilLostMs;
      // Otherwise the standby would say that the region lives.
      this.#cutLink(beginsMs);
      let mend = () => {};
      this.#in(beginsMs, `${one} does not reach east`, () => {
        mend = this.#cut(['sites'], [[one, 'east']]);
      });
      this.#in(thenMs, `${one} does not reach the state`, () => {
        this.#cut(
          ['state'],
          controllers.places.filter((each) => each !== one).map((each) => [one, each] as const),
        );
        mend();
      });
      const lastMs = thenMs + 2 * platform.draw.ttlMs + 4_000;
      this.#in(lastMs, `${other} does not reach east`, () => this.#cut(['sites'], [[other, 'east']]));
      return lastMs + this.#untilLostMs + 3_000;
    }
    if (kind === 'alone') {
      const others = ['west', 'witness', 'outside'] as const;
      // Where its controller reaches the state all the while, it hears of the failover.
      const traffic = chance.happens(0.5) ? allTraffic : (['sites', 'servers'] as const);
      this.#in(beginsMs, `east is cut off from ${traffic.join()}`, () =>
        this.#cut(
          traffic,
          others.map((each) => ['east', each] as const),
        ),
      );
      return beginsMs + platform.draw.ttlMs + this.#untilLostMs + 8_000;
    }
    if (kind === 'lag') {
      const lagMs = Math.min(platform.draw.lossBudgetMs, 5_000) + chance.between(6_000, 9_000);
      this.#cutLink(beginsMs);
      if (chance.happens(0.5)) this.#in(beginsMs + lagMs / 2, 'the clocks go back', () => this.#leap(-60_000));
      this.#in(beginsMs + lagMs, 'the database in east is killed', () => this.#bounce('east', this.#untilLostMs + 5_000));
      return beginsMs + lagMs + this.#untilLostMs + 5_000;
    }
    if (kind === 'both') {
      const awayMs = this.#untilLostMs + 6_000;
      this.#in(beginsMs, 'the database in east stands still', () => this.#hang(awayMs));
      this.#in(beginsMs + chance.between(-2.8, -1) * platform.draw.canaryEveryMs, 'the database in west is killed', () =>
        this.#bounce('west', awayMs),
      );
      return beginsMs + awayMs + 500;
    }
    if (kind === 'leap') {
      const awayMs = platform.draw.graceMs * chance.between(0.6, 0.8);
      this.#in(beginsMs, 'the database in east is killed', () => this.#bounce('east', awayMs));
      this.#in(beginsMs + awayMs * chance.between(0.2, 0.6), 'the clocks leap forward', () => this.#leap(chance.pick([5_000, 60_000])));
      return beginsMs + awayMs + this.#untilLostMs;
    }
    return this.#flap(beginsMs);
  }

  #flap(beginsMs: number): number {
    const { chance, platform, controllers } = this.#parts;
    const { graceMs, everyMs } = platform.draw;
    const awayMs = graceMs * chance.between(0.3, 0.8);
    const stillMs = graceMs + everyMs + chance.between(1_000, 4_000);
    const stopsMs = beginsMs + Math.min(awayMs, 500);
    this.#in(beginsMs, 'the database in east is killed', () => this.#bounce('east', awayMs));
    this.#in(stopsMs, 'the controllers stand still', () => {
      for (const { process } of controllers.living) process.stall(stillMs);
    });
    const againMs = Math.max(beginsMs + awayMs + 200, stopsMs + stillMs - chance.between(50, 0.2 * graceMs + 50));
    this.#in(againMs, 'the database in east is killed again', () => this.#bounce('east', awayMs));
    return againMs + awayMs + this.#untilLostMs;
  }

  /** A database dies, and comes back by itself. */
  #bounce(region: Region, awayMs: number): void {
    const { platform, isBusy } = this.#parts;
    const server = platform.servers[region];
    if (isBusy() || !server.running) return;
    server.kill();
    this.#in(awayMs, 'and comes back', () => {
      if (!isBusy() && !server.running) server.start();
    });
  }

  #hang(durationMs: number): void {
    const server = this.#parts.platform.servers.east;
    server.hung = true;
    this.#in(durationMs, 'and goes on', () => {
      server.hung = false;
    });
  }

  #leap(byMs: number): void {
    const { platform } = this.#parts;
    const skews = Object.values(platform.skews);
    if (skews.length === 0) platform.jumpClock(byMs);
    for (const skew of skews) skew.offsetMs += byMs;
  }

  #orderLate(): void {
    const { chance, platform, order } = this.#parts;
    if (chance.happens(0.5)) {
      const beginsMs = chance.between(2_000, 3_000);
      this.#in(beginsMs, 'the database in west is killed', () => this.#bounce('west', 800));
      this.#in(beginsMs + 400, 'a person orders a re-protection', () =>
        order('reprotect', this.#untilLostMs + chance.between(5_000, 15_000)),
      );
      return;
    }
    // As soon as nobody takes writes any more, as people look: every second.
    const look = () => {
      if (this.#over) return;
      const isAway = !regions.some((region) => platform.servers[region].answers && !platform.servers[region].inRecovery);
      if (!isAway) {
        platform.time.after(1_000, look);
        return;
      }
      this.happened.push(`${Math.round(platform.time.nowMs)} a person orders a failover`);
      order('failover', this.#untilLostMs + chance.between(0, 15_000));
    };
    platform.time.after(2_000, look);
  }

  #cutLink(atMs: number): void {
    this.#in(atMs, 'the standby receives nothing', () => this.#cut(['servers'], [['east', 'west']]));
  }

  #cut(traffic: readonly Traffic[], pairs: readonly (readonly [Place, Place])[]): () => void {
    const { network } = this.#parts.platform;
    const mends = pairs.flatMap(([from, to]) => [network.cut(traffic, from, to), network.cut(traffic, to, from)]);
    return () => {
      for (const mend of mends) mend();
    };
  }
}
