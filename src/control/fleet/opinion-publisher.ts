/**
 * Says to the others what this controller sees, when it changes, under its presence lease.
 *
 * Invariant: what stands in the state is what was last found, or this knows since when it is not (`behindMs`): a word that can't be taken back must not go on counting.
 */
import { asHoldfastError } from '../../base/errors.ts';
import type { Change, StateStore } from '../../contracts/state-store.ts';
import type { Clock, Log } from '../../host/host.ts';
import type { TimedVote } from '../../watch/verdict.ts';
import { toJson } from '../../watch/watch-records.ts';
import { type OpinionRecord, opinionKey } from './opinion-records.ts';
import type { Presence } from './presence.ts';

/** Sites that flap must not fill the state's history. */
const pauseMs = { told: 200, refused: 1_000 };
/** A leader of the state that is lost takes what it was sent with it, and nobody answers: somebody waits for this word. */
const answerWithinMs = 500;

export interface PublisherParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly presence: Presence;
  readonly region: string;
  readonly controller: string;
  readonly version: string;
  readonly specDigest: string;
  /** Regions that are voted on. */
  readonly regions: readonly string[];
  readonly vote: (region: string) => TimedVote;
  readonly faults: () => Readonly<Record<string, readonly string[]>>;
}

export class OpinionPublisher {
  readonly #parts: PublisherParts;
  readonly #startedAtMs: number;
  #published = '';
  #publishedAtMonotonicMs: number | undefined;
  #behindSinceMonotonicMs: number | undefined;
  #publishing = false;
  /** Of the record as it was last known to stand. A word whose answer was lost may yet arrive: not over a later one. */
  #revision: number | 'absent' | undefined;
  #pauseMs = pauseMs.told;
  #cancelGrace: (() => void) | undefined;
  #cancelPause: (() => void) | undefined;
  #stopped = false;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#startedAtMs = parts.clock.nowMs();
  }

  /** For how long the state has been saying something else than what is seen here. */
  get behindMs(): number {
    return this.#behindSinceMonotonicMs === undefined ? 0 : this.#parts.clock.monotonicMs() - this.#behindSinceMonotonicMs;
  }

  /** What it has said counts no more: whatever it says next, it has its time to say it. */
  forget(): void {
    this.#published = '';
    this.#behindSinceMonotonicMs = undefined;
  }

  /** Looks whether there is something new to say, and says it. Cheap where there is not. */
  look(): void {
    const { presence, clock } = this.#parts;
    if (this.#stopped) return;
    const votes = this.#votes();
    const { lease } = presence;
    if (!lease) return;
    const faults = this.#parts.faults();
    const shape = JSON.stringify([
      lease.token,
      [...votes].map(([region, vote]) => [region, vote.says, vote.because.length, vote.contradictedBy?.length ?? 0]),
      faults,
    ]);
    if (shape === this.#published) {
      this.#behindSinceMonotonicMs = undefined;
      return;
    }
    this.#behindSinceMonotonicMs ??= clock.monotonicMs();
    if (this.#publishing) return;
    const restMs = this.#pauseMs - (clock.monotonicMs() - (this.#publishedAtMonotonicMs ?? Number.NEGATIVE_INFINITY));
    if (restMs > 0) {
      this.#cancelPause ??= clock.after(restMs, () => {
        this.#cancelPause = undefined;
        this.look();
      });
      return;
    }
    void this.#publish(shape, votes, faults);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelGrace?.();
    this.#cancelPause?.();
  }

  /** A grace ends without anything being seen: looked at again then. */
  #votes(): ReadonlyMap<string, TimedVote> {
    const { regions, vote, clock } = this.#parts;
    const votes = new Map(regions.map((region) => [region, vote(region)]));
    const leftMs = [...votes.values()]
      .flatMap(({ says, graceEndsAtMs }) => (says === 'failing' && graceEndsAtMs !== undefined ? graceEndsAtMs - clock.nowMs() : []))
      .filter((each) => each > 0);
    this.#cancelGrace?.();
    this.#cancelGrace = leftMs.length === 0 ? undefined : clock.after(Math.min(...leftMs) + 1, () => this.look());
    return votes;
  }

  async #publish(shape: string, votes: ReadonlyMap<string, TimedVote>, faults: OpinionRecord['faults']): Promise<void> {
    const { presence, store, clock, log, region, controller, version, specDigest } = this.#parts;
    const { lease } = presence;
    if (!lease) return;
    const record: OpinionRecord = {
      region,
      controller,
      token: lease.token,
      version,
      specDigest,
      startedAtMs: this.#startedAtMs,
      atMs: clock.nowMs(),
      votes: Object.fromEntries(
        [...votes].map(([of, { says, because, contradictedBy }]) => [of, { says, because, ...(contradictedBy ? { contradictedBy } : {}) }]),
      ),
      faults,
    };
    this.#publishing = true;
    this.#publishedAtMonotonicMs = clock.monotonicMs();
    try {
      this.#revision ??= (await store.get(opinionKey(region)))?.revision ?? 'absent';
      const put: Change = { kind: 'put', key: opinionKey(region), value: toJson(record), expected: this.#revision, lease };
      this.#revision = await store.commit([put], { answerWithinMs });
      this.#published = shape;
      this.#pauseMs = pauseMs.told;
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      // Whether it is there now can't be known: it is said again in either case.
      if (error.code !== 'STATE_LEASE_LOST' && error.code !== 'STATE_CONFLICT')
        log.warn('fleet.opinion-not-told', { code: error.code, message: error.message });
      this.#published = '';
      if (error.code === 'STATE_CONFLICT') this.#revision = undefined;
      this.#pauseMs = error.code === 'STATE_CONFLICT' || error.kind === 'unknown-outcome' ? pauseMs.told : pauseMs.refused;
    } finally {
      this.#publishing = false;
    }
    // Something may have changed meanwhile; and what could not be said is tried again, no faster than the pause.
    this.look();
  }
}
