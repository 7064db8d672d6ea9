import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EvidenceKind, Health, Observation } from '../contracts/observation.ts';
import { computeSiteState, computeVote, type Opinion, type SiteState, tallyVotes, type VerdictPolicy } from './verdict.ts';

const nowMs = 1_000_000;
const policy: VerdictPolicy = { graceMs: 10_000, failures: 3, lostWhen: 'any', staleMs: 5_000, heardMs: 9_000 };

function seen(kind: EvidenceKind, parts: Partial<Observation> = {}): Observation {
  const health: Health = kind === 'answered' ? 'up' : kind === 'refused' || kind === 'connection-lost' ? 'down' : 'unknown';
  const failures = parts.failures ?? (health === 'up' ? 0 : 3);
  return {
    component: 'db',
    region: 'east',
    health,
    evidence: { kind, detail: kind },
    atMs: nowMs,
    tookMs: 1,
    failures,
    ...(failures > 0 ? { failingSinceMs: nowMs - 20_000 } : {}),
    ...parts,
  };
}

const opinion = (controller: string, ...observations: Observation[]): Opinion => ({ controller, atMs: nowMs, observations });
const verdictOf = (opinions: readonly Opinion[], controllers: number, parts: Partial<VerdictPolicy> = {}, vital = ['db']) =>
  tallyVotes(
    'east',
    opinions.map((each) => computeVote(each, vital, 'east', { ...policy, ...parts }, nowMs)),
    controllers,
  );

describe('the state of a site, by its evidence', () => {
  const table: readonly [EvidenceKind, failures: number, SiteState][] = [
    ['answered', 0, 'up'],
    ['refused', 1, 'down'],
    ['connection-lost', 1, 'down'],
    ['timeout', 1, 'failing'],
    ['timeout', 2, 'failing'],
    ['timeout', 3, 'down'],
    ['unreachable', 2, 'failing'],
    ['unreachable', 3, 'down'],
    ['wrong-answer', 2, 'failing'],
    ['wrong-answer', 3, 'down'],
    ['not-allowed', 100, 'unknown'],
    ['error', 100, 'unknown'],
  ];
  it.each(table)('[S3-05] %s after %i failures is %s: the 3rd counts, not the 2nd', (kind, failures, state) => {
    expect(computeSiteState(seen(kind, { failures }), 3)).toBe(state);
  });
  it('nothing seen is unknown, not down', () => expect(computeSiteState(undefined, 1)).toBe('unknown'));
  it('a system that answers and is not up is unknown', () =>
    expect(computeSiteState(seen('answered', { health: 'down', failures: 9 }), 3)).toBe('unknown'));
});

describe('the vote of one controller', () => {
  it('a region is lost once the grace is over, not a millisecond before', () => {
    const since = (ms: number) => verdictOf([opinion('a', seen('refused', { failingSinceMs: nowMs - ms }))], 1);
    expect(since(9_999)).toMatchObject({ state: 'failing', graceEndsAtMs: nowMs + 1 });
    expect(since(10_000).state).toBe('lost');
    expect(since(10_000).graceEndsAtMs).toBeUndefined();
  });
  it('silence within the grace and after it needs its three failures all the same', () => {
    expect(verdictOf([opinion('a', seen('timeout', { failures: 2 }))], 1).state).toBe('failing');
    expect(verdictOf([opinion('a', seen('timeout', { failures: 3 }))], 1).state).toBe('lost');
  });
  it('any: one vital component is enough; all: it takes each of them', () => {
    const half = [opinion('a', seen('refused'), seen('answered', { component: 'cache' }))];
    expect(verdictOf(half, 1, { lostWhen: 'any' }, ['db', 'cache']).state).toBe('lost');
    expect(verdictOf(half, 1, { lostWhen: 'all' }, ['db', 'cache']).state).toBe('failing');
    const both = [opinion('a', seen('refused'), seen('refused', { component: 'cache' }))];
    expect(verdictOf(both, 1, { lostWhen: 'all' }, ['db', 'cache']).state).toBe('lost');
  });
  it('a region without vital components is never lost', () => {
    expect(verdictOf([opinion('a', seen('refused'))], 1, { lostWhen: 'all' }, []).state).not.toBe('lost');
    expect(verdictOf([opinion('a', seen('refused'))], 1, { lostWhen: 'any' }, []).state).not.toBe('lost');
  });
  it('what was not looked at is unknown, and says so', () => {
    const verdict = verdictOf([opinion('a')], 1);
    expect(verdict.state).toBe('unknown');
    expect(verdict.votes[0]?.because).toEqual(['db in east has not been looked at']);
  });
  it('observations of other regions do not count', () =>
    expect(verdictOf([opinion('a', seen('refused', { region: 'west' }))], 1).state).toBe('unknown'));
});

describe('[S3-07] the majority', () => {
  const lost = (name: string) => opinion(name, seen('refused'));
  const healthy = (name: string) => opinion(name, seen('answered'));
  it('one controller of one decides', () => expect(verdictOf([lost('a')], 1)).toMatchObject({ state: 'lost', needed: 1 }));
  it('of two it takes both', () => {
    expect(verdictOf([lost('a'), healthy('b')], 2)).toMatchObject({ state: 'failing', needed: 2 });
    expect(verdictOf([lost('a')], 2).state).toBe('failing');
    expect(verdictOf([lost('a'), lost('b')], 2).state).toBe('lost');
  });
  it('of three it takes two, also when one is silent', () => {
    expect(verdictOf([lost('a')], 3)).toMatchObject({ state: 'failing', needed: 2 });
    expect(verdictOf([lost('a'), healthy('b'), healthy('c')], 3).state).toBe('healthy');
    expect(verdictOf([lost('a'), lost('b')], 3).state).toBe('lost');
  });
  it('a stale opinion counts for nothing', () => {
    const stale = { ...lost('b'), atMs: nowMs - 5_001 };
    const verdict = verdictOf([lost('a'), stale], 3);
    expect(verdict.state).toBe('failing');
    expect(verdict.votes[1]).toMatchObject({ says: 'unknown', because: ['its newest word is 5.00 s old'] });
  });

  const anyKind = fc.constantFrom<EvidenceKind>(
    'answered',
    'wrong-answer',
    'refused',
    'connection-lost',
    'timeout',
    'unreachable',
    'not-allowed',
    'error',
  );
  const anyOpinion = fc
    .record({ kind: anyKind, failures: fc.nat(6), ageMs: fc.nat(30_000), staleMs: fc.nat(10_000) })
    .map(({ kind, failures, ageMs, staleMs }) => ({
      atMs: nowMs - staleMs,
      observations: [seen(kind, { failures: kind === 'answered' ? 0 : failures + 1, failingSinceMs: nowMs - ageMs })],
    }));
  const anyOpinions = fc.array(anyOpinion, { maxLength: 5 }).map((all) => all.map((one, index) => ({ controller: `c${index}`, ...one })));

  it('a vote for lost more never makes it less lost', () => {
    fc.assert(
      fc.property(anyOpinions, fc.integer({ min: 1, max: 7 }), (opinions, controllers) => {
        if (verdictOf(opinions, controllers).state === 'lost')
          expect(verdictOf([...opinions, lost('one-more')], controllers).state).toBe('lost');
      }),
    );
  });
  it('a minority never yields lost, whatever the others say or do not say (I3)', () => {
    fc.assert(
      fc.property(anyOpinions, fc.integer({ min: 1, max: 7 }), (opinions, controllers) => {
        const verdict = verdictOf(opinions, controllers);
        const saying = verdict.votes.filter((vote) => vote.says === 'lost').length;
        expect(verdict.state === 'lost').toBe(saying * 2 > Math.max(controllers, opinions.length));
      }),
    );
  });
});
