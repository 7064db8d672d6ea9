/**
 * Which of several controllers goes on with an execution that nobody runs. Any of them may: the lease of the execution settles it. This only keeps them from all reaching for it at
 * once, and lets those go first that are not in the region that the plan leads away from.
 */
import type { Unattended } from '../../engine/find-resumable.ts';
import type { Clock } from '../../host/host.ts';

/** Whoever began it is about to run it. */
const firstRunnerMs = 1_000;

export class TakeOver {
  readonly #clock: Clock;
  readonly #region: string;
  readonly #ttlMs: number;
  readonly #freeSince = new Map<string, number>();

  constructor(clock: Clock, region: string, ttlMs: number) {
    this.#clock = clock;
    this.#region = region;
    this.#ttlMs = ttlMs;
  }

  /** Those that this controller may take up now, of all that are unattended at this moment. */
  choose(unattended: readonly Unattended[]): readonly Unattended[] {
    const nowMs = this.#clock.monotonicMs();
    const ids = new Set(unattended.map(({ id }) => id));
    for (const id of this.#freeSince.keys()) if (!ids.has(id)) this.#freeSince.delete(id);
    return unattended.filter(({ id, wasRun, leadsAwayFrom }) => {
      const since = this.#freeSince.get(id) ?? nowMs;
      this.#freeSince.set(id, since);
      const waitMs = (wasRun ? 0 : firstRunnerMs) + (leadsAwayFrom === this.#region ? this.#ttlMs : 0);
      return nowMs - since >= waitMs;
    });
  }
}
