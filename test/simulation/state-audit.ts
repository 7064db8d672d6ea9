/**
 * Watches over what stands in the state, from outside.
 *
 *   I1  An epoch belongs to one execution for ever, and an execution begins under the epoch that its plan was made for.
 *   I3  When an automatic failover goes on after its verdict, a majority of the controllers that should be there said a moment ago that the region is lost: each of them under a presence
 *       lease that it held.
 */
import type { StateStore } from '../../src/contracts/state-store.ts';
import { type OpinionRecord, opinionPrefix, presenceLease } from '../../src/control/fleet/opinion-records.ts';
import type { Plan } from '../../src/plans/plan.ts';
import type { ExecutionHeader } from '../../src/state/execution-state.ts';
import type { PlatformState } from '../../src/state/platform-state.ts';
import type { Invariants } from './invariants.ts';
import type { Place } from './network.ts';
import { controllerPlaces, type SimulatedPlatform } from './simulated-platform.ts';
import { type MirroredExecution, placeOf } from './state-mirror.ts';

interface Word {
  readonly fromMs: number;
  readonly controller: string;
  readonly token: number;
  readonly votes: OpinionRecord['votes'];
}

/** A runner that stands still for longer than its lease lasts goes on with nothing: what it read is no older than that, and what it asks for takes a while. */
const readingMs = 2_500;

export class StateAudit {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #words = new Map<string, Word[]>();
  /** When somebody was last seen to hold the presence of a place, under each token. */
  readonly #heldMs = new Map<string, number>();
  #epoch = 0;

  constructor(platform: SimulatedPlatform, invariants: Invariants) {
    this.#platform = platform;
    this.#invariants = invariants;
    const store = platform.state.open();
    this.#watchEpochs(store);
    this.#watchBeginnings(store);
    if (!platform.fleet) return;
    store.watch(opinionPrefix, ({ key, value }) => {
      const record = value as unknown as OpinionRecord | undefined;
      const { controller = '', token = 0, votes = {} } = record ?? {};
      const region = key.slice(opinionPrefix.length);
      this.#words.set(region, [...(this.#words.get(region) ?? []), { fromMs: platform.time.nowMs, controller, token, votes }]);
    });
    invariants.onConfirmed = (execution, atMs) => this.#checkMajority(execution, atMs);
  }

  /** Called whenever the world has come to rest after an event. */
  afterEvent(): void {
    if (!this.#platform.fleet) return;
    for (const place of controllerPlaces) {
      const lease = this.#platform.state.leaseNow(presenceLease(place));
      if (lease?.held) this.#heldMs.set(`${place} ${lease.holder} ${lease.token}`, this.#platform.time.nowMs);
    }
  }

  #watchEpochs(store: StateStore): void {
    const owners = new Map<number, string>();
    store.watch('platform', ({ value }) => {
      const { epoch, epochOwner = '' } = value as PlatformState;
      const owner = owners.get(epoch) ?? epochOwner;
      owners.set(epoch, owner);
      this.#epoch = epoch;
      if (owner !== epochOwner) this.#invariants.violate('I1', `epoch ${epoch} of ${owner} is taken by ${epochOwner}`);
    });
  }

  #watchBeginnings(store: StateStore): void {
    store.watch('executions/', ({ key, value }) => {
      if (key.split('/').length !== 2 || value === undefined) return;
      const { id, plan } = value as unknown as ExecutionHeader<Plan>;
      const madeForEpoch = plan.steps.some((step) => step.verb === 'advance-epoch') ? plan.epoch - 1 : plan.epoch;
      if (madeForEpoch !== this.#epoch)
        this.#invariants.violate('I1', `${id} begins at epoch ${this.#epoch}; its plan was made at epoch ${madeForEpoch}`);
    });
  }

  #checkMajority(execution: MirroredExecution, atMs: number): void {
    const { from } = execution.header.plan;
    const sinceMs = atMs - this.#platform.draw.ttlMs - readingMs;
    // Of what the one that asks sees itself the state need not tell.
    const saying = controllerPlaces.filter((place) => place === placeOf(execution) || this.#saidLost(place, from, sinceMs));
    if (saying.length <= controllerPlaces.length / 2)
      this.#invariants.violate('I3', `${execution.header.id}: nobody but ${saying.join()} said that ${from} is lost`);
  }

  #saidLost(place: Place, region: string, sinceMs: number): boolean {
    const words = this.#words.get(place) ?? [];
    return words.some(({ controller, token, votes }, index) => {
      const untilMs = words[index + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
      const heldMs = this.#heldMs.get(`${place} ${controller} ${token}`) ?? Number.NEGATIVE_INFINITY;
      return votes[region]?.says === 'lost' && untilMs >= sinceMs && heldMs >= sinceMs;
    });
  }
}
