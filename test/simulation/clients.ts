/**
 * Clients that write numbered rows to whatever server takes them, also to one that was a primary long ago: the worst that a split brain could meet. What was acknowledged to them
 * is told to the invariants.
 */
import type { FakeServer } from '../../src/drivers/postgresql/fake-server.ts';
import type { Chance } from './chance.ts';
import type { Invariants } from './invariants.ts';
import { regions, type SimulatedPlatform } from './simulated-platform.ts';

const writeTimeoutMs = 2_000;

export class Clients {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #chance: Chance;
  readonly #everyMs: number;
  #written = 0;
  /** When a write was last acknowledged. */
  acknowledgedAtMs = 0;

  constructor(platform: SimulatedPlatform, invariants: Invariants, chance: Chance) {
    this.#platform = platform;
    this.#invariants = invariants;
    this.#chance = chance;
    this.#everyMs = chance.pick(platform.fleet ? [150, 300, 600] : [60, 150, 400]);
    this.#next();
  }

  #next(): void {
    this.#platform.time.after(this.#everyMs * this.#chance.between(0.5, 1.5), () => {
      for (const region of regions) if (this.#chance.happens(0.8)) void this.#write(this.#platform.servers[region]);
      this.#next();
    });
  }

  async #write(server: FakeServer): Promise<void> {
    const { postgresql, time } = this.#platform;
    if (!server.answers || server.inRecovery) return;
    this.#written += 1;
    const entry = { kind: 'record', record: `row-${this.#written}` } as const;
    try {
      await postgresql.commit(server, entry, { timeoutMs: writeTimeoutMs, signal: new AbortController().signal });
    } catch {
      return; // Refused or silent: nothing was promised.
    }
    this.acknowledgedAtMs = time.nowMs;
    this.#invariants.wasAcknowledged(server, entry);
  }
}
