/**
 * The controllers of a platform as the state shows them: who is there, what each says, whose word counts, who leads.
 *
 * Invariant: a word counts only while its author's presence lease is held under the token that it was said under, and only among controllers of one spec and version. The majority is
 * counted from the controllers that the spec wants, never from those that answer.
 */
import type { LeaseInfo, StateStore } from '../../contracts/state-store.ts';
import type { Spec } from '../../spec/spec.ts';
import { type RegionVerdict, type TimedVote, tallyVotes } from '../../watch/verdict.ts';
import { leadLease, type OpinionRecord, presenceLease, readOpinions, strangeness } from './opinion-records.ts';
import type { Presence } from './presence.ts';

export interface Member {
  readonly region: string;
  /** Undefined where none has ever been heard of. */
  readonly controller?: string;
  readonly present: boolean;
  /** Why its word does not count; undefined where it does. */
  readonly notCounted?: string;
  /** What it said last, whether it counts or not. */
  readonly opinion?: OpinionRecord;
}

export interface FleetView {
  readonly members: readonly Member[];
  /** How many of them make a majority. */
  readonly needed: number;
  /** Who leads now. */
  readonly lead?: string;
}

/** The state can't be reached: nobody can be asked. */
export interface CutOff {
  readonly message: string;
  /** From when what is known of the state is. */
  readonly asOfMs?: number;
}

export interface FleetParts {
  readonly spec: Spec;
  readonly store: StateStore;
  readonly controller: string;
  /** Undefined for a command on a machine that nobody has said the region of. */
  readonly region?: string;
  readonly version: string;
  readonly ownVote: (region: string) => TimedVote;
  readonly cutOff?: CutOff;
}

export class Fleet {
  readonly parts: FleetParts;
  /** Of the controller that this process is; undefined for a command. */
  presence: Presence | undefined;
  #newest: FleetView | undefined;

  constructor(parts: FleetParts) {
    this.parts = parts;
  }

  get needed(): number {
    return Math.floor(this.parts.spec.controllers.regions.length / 2) + 1;
  }

  /** What `read` found last. */
  get newest(): FleetView | undefined {
    return this.#newest;
  }

  /** Asks the state anew, for every record and every lease. */
  async read(): Promise<FleetView> {
    const { store, spec, cutOff } = this.parts;
    const { regions } = spec.controllers;
    const [opinions, lead, ...leases] = await Promise.all([
      readOpinions(store),
      cutOff ? undefined : store.readLease(leadLease),
      ...regions.map((region) => (cutOff ? undefined : store.readLease(presenceLease(region)))),
    ]);
    const members = regions.map((region, index) => this.#member(region, opinions.get(region), leases[index]));
    this.#newest = { members, needed: this.needed, ...(lead?.held ? { lead: lead.holder } : {}) };
    return this.#newest;
  }

  /** The majority's verdict on a region, by words that are sure to count at this moment. */
  async verdict(region: string, looked?: Promise<void>): Promise<RegionVerdict> {
    const [view] = await Promise.all([this.read(), looked]);
    return this.#tally(region, view);
  }

  /** The same by what was read last: good enough to notice that something may have changed. */
  quickVerdict(region: string): RegionVerdict | undefined {
    return this.#newest && this.#tally(region, this.#newest);
  }

  #member(region: string, opinion: OpinionRecord | undefined, lease: LeaseInfo | undefined): Member {
    const { spec, version, cutOff } = this.parts;
    const present = lease?.held === true;
    const controller = present ? lease.holder : opinion?.controller;
    const matches = present && opinion?.controller === lease.holder && opinion.token === lease.token;
    const strange = opinion && strangeness(opinion, { specDigest: spec.digest, version });
    const notCounted = cutOff
      ? 'nobody can be asked: the state can not be reached'
      : !present
        ? opinion
          ? 'it is gone'
          : 'it has never been there'
        : matches
          ? strange
          : 'it has not said anything yet';
    return {
      region,
      present,
      ...(controller === undefined ? {} : { controller }),
      ...(notCounted === undefined ? {} : { notCounted }),
      ...(opinion === undefined || (present && !matches) ? {} : { opinion }),
    };
  }

  #tally(region: string, view: FleetView): RegionVerdict {
    const { controller, ownVote, cutOff } = this.parts;
    const votes = view.members.map((member): TimedVote => {
      // Of itself each knows more than the state does, but for whether it is still the controller of its region.
      if (member.controller === controller)
        return { ...ownVote(region), ...(this.presence?.lease ? {} : { notCounted: 'its presence has run out' }) };
      const vote = member.opinion?.votes[region];
      const notCounted = member.notCounted === undefined ? {} : { notCounted: member.notCounted };
      const name = member.controller ?? member.region;
      return vote ? { controller: name, ...vote, ...notCounted } : { controller: name, says: 'unknown', because: [], ...notCounted };
    });
    if (cutOff) votes.push({ ...ownVote(region), notCounted: "this machine's own view" });
    return tallyVotes(region, votes, view.members.length);
  }
}
