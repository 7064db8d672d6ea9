/**
 * What the observations of several controllers amount to, for one region. Pure: the same opinions at the same instant give the same verdict.
 *
 * Invariant: `lost` needs a majority of all controllers that should be there, never of those that happen to answer; a controller that is cut off or late counts
 * as saying nothing. Silence of a site counts only after the policy's number of failed probes; a live host's refusal counts at once; an answer that only keeps us out
 * (wrong password) never counts. A site whose own standby goes on receiving from it is alive, whatever we can reach: it never counts as lost.
 */
import { formatDuration } from '../base/durations.ts';
import { type EvidenceKind, isImmediateEvidence, type Observation } from '../contracts/observation.ts';

/** `failing`: bad evidence, not yet enough of it. `unknown`: nothing that can be relied on. */
export type SiteState = 'up' | 'failing' | 'down' | 'unknown';
export type RegionState = 'healthy' | 'failing' | 'lost' | 'unknown';

export interface VerdictPolicy {
  readonly graceMs: number;
  readonly failures: number;
  readonly lostWhen: 'any' | 'all';
  /** An opinion older than this counts for nothing. */
  readonly staleMs: number;
  /** What a standby has heard from its primary shows for so long that the primary lives. */
  readonly heardMs: number;
}

/** What one controller has seen of the vital sites of a region. */
export interface Opinion {
  readonly controller: string;
  /** When it last said that this is still its view. */
  readonly atMs: number;
  readonly observations: readonly Observation[];
}

export interface Vote {
  readonly controller: string;
  readonly says: RegionState;
  /** One sentence per vital site that is not up. */
  readonly because: readonly string[];
  /** Why a site that we can't reach does not count as lost: what its standby says of it. */
  readonly contradictedBy?: readonly string[];
  /** Why it is shown and has no weight: its author is gone, or works from another spec. */
  readonly notCounted?: string;
}

/** A vote with the times that it rests on, by the clock of `nowMs`: of use to its author only. */
export interface TimedVote extends Vote {
  readonly sinceMs?: number;
  /** When the trouble was noticed: the first look had failed. */
  readonly noticedMs?: number;
  readonly graceEndsAtMs?: number;
}

export interface RegionVerdict {
  readonly region: string;
  readonly state: RegionState;
  readonly votes: readonly Vote[];
  /** How many votes for `lost` it takes. */
  readonly needed: number;
  /** The first sign of trouble that the present state rests on. */
  readonly sinceMs?: number;
  /** When the grace of the site that fails longest is over, if the region is not lost by then. */
  readonly graceEndsAtMs?: number;
}

const countsAfterRepetition: ReadonlySet<EvidenceKind> = new Set(['timeout', 'unreachable', 'wrong-answer']);

export function computeSiteState(observation: Observation | undefined, failuresNeeded: number): SiteState {
  if (!observation) return 'unknown';
  if (observation.health === 'up') return 'up';
  const { kind } = observation.evidence;
  if (isImmediateEvidence(kind)) return 'down';
  if (!countsAfterRepetition.has(kind)) return 'unknown';
  return observation.failures >= failuresNeeded ? 'down' : 'failing';
}

function describe(observation: Observation, state: SiteState, nowMs: number): string {
  const since = observation.failingSinceMs === undefined ? '' : ` for ${formatDuration(nowMs - observation.failingSinceMs)}`;
  return `${observation.component} in ${observation.region} is ${state}${since}: ${observation.evidence.detail}`;
}

/** From here on whatever is seen elsewhere was seen after the trouble began. */
const seenFailingMs = (observation: Observation): number => observation.failureSeenMs ?? observation.failingSinceMs ?? observation.atMs;

/**
 * What a standby says against the loss of the site that it follows. A look at it from before the trouble says nothing yet, so it is waited for: without that, whoever loses its own
 * way to a live primary would decide before it had asked. A primary that has nothing to send is not heard of; then nothing is said here, and the fence has to keep it harmless.
 */
function contradiction(lost: Observation, others: readonly Observation[], heardMs: number, nowMs: number): string | undefined {
  const sinceMs = seenFailingMs(lost);
  for (const other of others) {
    const upstream = other.replication?.upstream;
    if (other.component !== lost.component || other.health !== 'up' || upstream?.link !== 'up' || upstream.region !== lost.region) continue;
    const name = `${other.component} in ${other.region}`;
    if (other.atMs <= sinceMs) return `${name} has not been asked yet whether it still receives from ${lost.region}`;
    if (upstream.heardAgeMs === undefined) continue;
    const heardAtMs = other.atMs - other.tookMs - upstream.heardAgeMs;
    if (heardAtMs > sinceMs && nowMs - heardAtMs <= heardMs)
      return `${name} still receives from ${lost.region}, the last time ${formatDuration(Math.max(0, nowMs - heardAtMs))} ago`;
  }
  return undefined;
}

/**
 * What one controller says of a region, by what it has seen.
 *
 * @param vital names of the vital components that have a site in the region
 */
export function computeVote(opinion: Opinion, vital: readonly string[], region: string, policy: VerdictPolicy, nowMs: number): TimedVote {
  if (nowMs - opinion.atMs > policy.staleMs)
    return { controller: opinion.controller, says: 'unknown', because: [`its newest word is ${formatDuration(nowMs - opinion.atMs)} old`] };
  const seen = new Map(
    opinion.observations.filter((observation) => observation.region === region).map((observation) => [observation.component, observation]),
  );
  const because: string[] = [];
  const contradictedBy: string[] = [];
  let lost = 0;
  let failing = 0;
  let unknown = 0;
  let sinceMs: number | undefined;
  let noticedMs: number | undefined;
  for (const component of vital) {
    const observation = seen.get(component);
    const state = computeSiteState(observation, policy.failures);
    if (state === 'up') continue;
    because.push(observation ? describe(observation, state, nowMs) : `${component} in ${region} has not been looked at`);
    if (!observation || state === 'unknown') {
      unknown += 1;
      continue;
    }
    const failingSinceMs = observation.failingSinceMs ?? observation.atMs;
    sinceMs = Math.min(sinceMs ?? failingSinceMs, failingSinceMs);
    noticedMs = Math.min(noticedMs ?? Number.POSITIVE_INFINITY, seenFailingMs(observation));
    const against = state === 'down' ? contradiction(observation, opinion.observations, policy.heardMs, nowMs) : undefined;
    if (against !== undefined) contradictedBy.push(against);
    if (state === 'down' && against === undefined && nowMs - failingSinceMs >= policy.graceMs) lost += 1;
    else failing += 1;
  }
  const enough = policy.lostWhen === 'any' ? lost > 0 : vital.length > 0 && lost === vital.length;
  const says: RegionState = enough ? 'lost' : lost + failing > 0 ? 'failing' : unknown > 0 ? 'unknown' : 'healthy';
  return {
    controller: opinion.controller,
    says,
    because,
    ...(contradictedBy.length === 0 ? {} : { contradictedBy }),
    ...(sinceMs === undefined || noticedMs === undefined ? {} : { sinceMs, noticedMs, graceEndsAtMs: sinceMs + policy.graceMs }),
  };
}

/**
 * @param votes one per controller; those that do not count are carried along, to be shown
 * @param controllers how many there should be: the majority is counted from it
 */
export function tallyVotes(region: string, votes: readonly TimedVote[], controllers: number): RegionVerdict {
  const counted = votes.filter((each) => each.notCounted === undefined);
  const needed = Math.floor(Math.max(controllers, counted.length) / 2) + 1;
  const saying = (state: RegionState) => counted.filter((each) => each.says === state);
  const lost = saying('lost').length >= needed;
  const state: RegionState = lost
    ? 'lost'
    : saying('healthy').length >= needed
      ? 'healthy'
      : saying('lost').length + saying('failing').length > 0
        ? 'failing'
        : 'unknown';
  const troubled = counted.filter((each) => each.says === 'lost' || each.says === 'failing');
  const since = troubled.flatMap((each) => each.sinceMs ?? []);
  const graceEnds = troubled.flatMap((each) => each.graceEndsAtMs ?? []);
  return {
    region,
    state,
    votes: votes.map(({ sinceMs: _sinceMs, noticedMs: _noticedMs, graceEndsAtMs: _graceEndsAtMs, ...vote }) => vote),
    needed,
    ...(since.length > 0 ? { sinceMs: Math.min(...since) } : {}),
    ...(graceEnds.length > 0 && !lost ? { graceEndsAtMs: Math.min(...graceEnds) } : {}),
  };
}
