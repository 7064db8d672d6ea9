/**
 * What this process says of each region, by what its own watch has seen. Its times are those of the steady clock: a wall clock that jumps neither ends a grace nor lengthens it.
 *
 * Invariant: what a watch saw before it stood still, and what it did not see because it is itself cut off, is not voted with.
 */
import type { Observation } from '../contracts/observation.ts';
import type { Clock } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';
import { computeVote, type TimedVote } from '../watch/verdict.ts';
import type { Watch } from '../watch/watch.ts';

/** How late a look may be on a machine that is busy. */
const lookSlackMs = 1_000;
const opinionStaleMs = 5_000;

export interface OwnVotesParts {
  readonly spec: Spec;
  readonly watch: Watch;
  readonly clock: Clock;
  readonly controller: string;
  /** One of several controllers: one that nothing at all answers says nothing, for others see more. */
  readonly amongOthers: boolean;
}

export class OwnVotes {
  readonly #parts: OwnVotesParts;
  readonly #vitalComponents: ReadonlySet<string>;

  constructor(parts: OwnVotesParts) {
    this.#parts = parts;
    this.#vitalComponents = new Set([...parts.spec.components.values()].filter((each) => each.vital).map((each) => each.name));
  }

  vote(region: string): TimedVote {
    const { spec, watch, clock, controller } = this.#parts;
    const vital = [...this.#vitalComponents].filter((component) => spec.components.get(component)?.sites.has(region));
    const { graceMs, lostWhen } = spec.failover;
    const { failures, everyMs, timeoutMs } = spec.watch;
    const policy = { graceMs, lostWhen, failures, staleMs: opinionStaleMs, heardMs: failures * (everyMs + timeoutMs) };
    // A command that does not watch goes by the records of the process that does, which have no times but those of the wall.
    const [nowMs, observations] = watch.started
      ? [clock.monotonicMs(), this.#currentObservations()]
      : [clock.nowMs(), [...watch.observations.values()]];
    const vote = computeVote({ controller, atMs: nowMs, observations }, vital, region, policy, nowMs);
    const offsetMs = clock.nowMs() - nowMs;
    const times = {
      ...(vote.sinceMs === undefined ? {} : { sinceMs: vote.sinceMs + offsetMs }),
      ...(vote.graceEndsAtMs === undefined ? {} : { graceEndsAtMs: vote.graceEndsAtMs + offsetMs }),
    };
    const { noticedMs, ...untimed } = vote;
    if (!this.#parts.amongOthers || vote.says !== 'lost' || !watch.started) return { ...untimed, ...times };
    const oldestMs = Math.max(noticedMs ?? 0, nowMs - this.#newestWithinMs);
    if (watch.anythingAnsweredSince(oldestMs)) return { ...untimed, ...times };
    // It may as well be this one that is cut off as all the others that are gone.
    const because = ['nothing has answered anywhere since: it may be this controller that is cut off', ...vote.because];
    return { controller, says: 'unknown', because, ...times };
  }

  /** A look is no older than this, or the process itself stood still. */
  get #newestWithinMs(): number {
    const { everyMs, timeoutMs } = this.#parts.spec.watch;
    return 1.1 * everyMs + timeoutMs + lookSlackMs;
  }

  /** What this watch has seen a moment ago. After a pause of the process (a suspended machine) the newest observations are old, and must not be voted with. */
  #currentObservations(): readonly Observation[] {
    const { watch, clock } = this.#parts;
    const observations = watch.steadyObservations(this.#vitalComponents);
    const oldestMs = clock.monotonicMs() - this.#newestWithinMs;
    return observations.filter((observation) => observation.atMs >= oldestMs);
  }
}
