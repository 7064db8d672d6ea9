import { describe, expect, it } from 'vitest';
import type { Observation } from '../contracts/observation.ts';
import { computeVote, type RegionVerdict, tallyVotes, type VerdictPolicy } from './verdict.ts';

const nowMs = 1_000_000;
const policy: VerdictPolicy = { graceMs: 100, failures: 3, lostWhen: 'any', staleMs: 5_000, heardMs: 3_000 };

/** The primary, out of our reach for two seconds. */
const gone: Observation = {
  component: 'db',
  region: 'east',
  health: 'down',
  evidence: { kind: 'timeout', detail: 'no answer' },
  atMs: nowMs,
  tookMs: 1_000,
  failures: 3,
  failingSinceMs: nowMs - 2_000,
};

type Upstream = NonNullable<NonNullable<Observation['replication']>['upstream']>;

function standby(upstream: Upstream, parts: Partial<Observation> = {}): Observation {
  return {
    component: 'db',
    region: 'west',
    health: 'up',
    role: 'standby',
    evidence: { kind: 'answered', detail: 'answers as a standby' },
    atMs: nowMs,
    tookMs: 2,
    failures: 0,
    replication: { upstream },
    ...parts,
  };
}

/** What the only controller there is makes of it. */
const verdictOf = (observations: readonly Observation[], parts: Partial<VerdictPolicy> = {}, vital = ['db']): RegionVerdict =>
  tallyVotes('east', [computeVote({ controller: 'a', atMs: nowMs, observations }, vital, 'east', { ...policy, ...parts }, nowMs)], 1);

const verdictWith = (
  others: readonly Observation[],
  parts: Partial<VerdictPolicy> = {},
  vital = ['db'],
  more: readonly Observation[] = [],
) => verdictOf([gone, ...more, ...others], parts, vital);

describe('a standby that goes on receiving', () => {
  it('[X-01] [S5-19] keeps a region from counting as lost that only we can not reach, and is named', () => {
    const verdict = verdictWith([standby({ link: 'up', region: 'east', heardAgeMs: 40 })]);
    expect(verdict.state).toBe('failing');
    expect(verdict.votes[0]?.contradictedBy).toEqual(['db in west still receives from east, the last time 42 ms ago']);
  });
  it('counts only for what it heard after the trouble began: the last words of a dead primary are no sign of life', () => {
    expect(verdictWith([standby({ link: 'up', region: 'east', heardAgeMs: 1_997 })]).state).toBe('failing');
    expect(verdictWith([standby({ link: 'up', region: 'east', heardAgeMs: 1_998 })]).state).toBe('lost');
  });
  it('counts for as long as silence takes to count, then no longer: a primary that died after it was heard must not be waited for', () => {
    const since = { ...gone, failingSinceMs: nowMs - 60_000 };
    const at = (heardAgeMs: number) => verdictOf([since, standby({ link: 'up', region: 'east', heardAgeMs })]).state;
    expect(at(2_998)).toBe('failing');
    expect(at(2_999)).toBe('lost');
  });
  it('is waited for until it has been looked at since the trouble began', () => {
    const before = standby({ link: 'up', region: 'east', heardAgeMs: 0 }, { atMs: nowMs - 2_000 });
    const verdict = verdictWith([before]);
    expect(verdict.state).toBe('failing');
    expect(verdict.votes[0]?.contradictedBy).toEqual(['db in west has not been asked yet whether it still receives from east']);
  });
  it.each([
    ['its link is down', standby({ link: 'down', region: 'east', heardAgeMs: 0 })],
    ['its link gives no sign of life', standby({ link: 'unknown', region: 'east', heardAgeMs: 0 })],
    ['its link was down before already', standby({ link: 'down', region: 'east' }, { atMs: nowMs - 2_500 })],
    ['it does not say when it heard anything', standby({ link: 'up', region: 'east' })],
    ['it follows another region', standby({ link: 'up', region: 'south', heardAgeMs: 0 })],
    ['it is not known whom it follows', standby({ link: 'up', heardAgeMs: 0 })],
    ['it is out of reach itself', standby({ link: 'up', region: 'east', heardAgeMs: 0 }, { health: 'unknown' })],
    ['it belongs to another component', standby({ link: 'up', region: 'east', heardAgeMs: 0 }, { component: 'cache' })],
  ])('says nothing where %s', (_why, other) => expect(verdictWith([other]).state).toBe('lost'));

  it('saves only its own primary: another vital component can be lost all the same', () => {
    const cacheGone = { ...gone, component: 'cache' };
    const living = standby({ link: 'up', region: 'east', heardAgeMs: 10 });
    expect(verdictWith([living], {}, ['db', 'cache'], [cacheGone]).state).toBe('lost');
    expect(verdictWith([living], { lostWhen: 'all' }, ['db', 'cache'], [cacheGone]).state).toBe('failing');
  });
  it('leaves the votes of those who see the primary answer as they are', () => {
    const up: Observation = { ...gone, health: 'up', evidence: { kind: 'answered', detail: 'answers' }, failures: 0 };
    const verdict = verdictOf([up]);
    expect(verdict).toMatchObject({ state: 'healthy', votes: [{ says: 'healthy' }] });
    expect(verdict.votes[0]).not.toHaveProperty('contradictedBy');
  });
});
