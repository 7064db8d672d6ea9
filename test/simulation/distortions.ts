/**
 * What is said is not what is: in some of the disasters, beside everything else that goes wrong. Drawn from a stream of their own, each with a share of its own. Kinds:
 *   doubled   orders to a host or a name server are carried out twice, and answered once
 *   lying     of three controllers, one is told for a while that a database is well although it may be dead, or that it is dead although it may be well
 */
import type { Reading } from '../../src/contracts/observation.ts';
import type { Chance } from './chance.ts';
import { controllerPlaces, type Region, regions, type SimulatedPlatform } from './simulated-platform.ts';

const share = 0.12;
const spanMs = 40_000;

interface Lie {
  readonly place: string;
  readonly region: Region;
  readonly says: 'well' | 'dead';
}

const deadReading: Reading = { health: 'down', evidence: { kind: 'refused', detail: 'connection refused, says a probe that lies' } };

export class Distortions {
  readonly happened: string[] = [];
  readonly #platform: SimulatedPlatform;
  readonly #chance: Chance;
  /** What each probe saw when all was well. */
  readonly #well = new Map<string, Reading>();
  #lie: Lie | undefined;
  #over = false;

  constructor(platform: SimulatedPlatform, chance: Chance) {
    this.#platform = platform;
    this.#chance = chance;
    if (chance.happens(share)) this.#within(() => this.#double());
    if (platform.fleet && chance.happens(share)) this.#within(() => this.#beginLie());
  }

  /** Everything that is said is true again. */
  end(): void {
    this.#over = true;
    this.#lie = undefined;
    this.#platform.network.doubledShare = 0;
  }

  /** What the controller at that place is told when it looks at the database there. */
  async told(place: string, region: string, look: () => Promise<Reading>): Promise<Reading> {
    const lie = this.#lie;
    const key = `${place} ${region}`;
    if (lie?.place !== place || lie.region !== region) {
      const reading = await look();
      if (reading.health === 'up') this.#well.set(key, reading);
      return reading;
    }
    return lie.says === 'dead' ? deadReading : (this.#well.get(key) ?? look());
  }

  #within(act: () => void): void {
    this.#platform.time.after(this.#chance.between(2_500, spanMs), () => this.#over || act());
  }

  #note(what: string): void {
    this.happened.push(`${Math.round(this.#platform.time.nowMs)} ${what}`);
  }

  #double(): void {
    const { network, time } = this.#platform;
    network.doubledShare = this.#chance.pick([0.1, 0.5, 1]);
    this.#note(`${network.doubledShare} of all orders are carried out twice`);
    time.after(this.#chance.between(2_000, 20_000), () => {
      network.doubledShare = 0;
    });
  }

  #beginLie(): void {
    const lie = {
      place: this.#chance.pick(controllerPlaces),
      region: this.#chance.pick(regions),
      says: this.#chance.pick(['well', 'dead'] as const),
    };
    this.#lie = lie;
    this.#note(`${lie.place} is told that the database in ${lie.region} is ${lie.says}`);
    this.#platform.time.after(this.#chance.between(2_000, 25_000), () => {
      this.#lie = undefined;
    });
  }
}
