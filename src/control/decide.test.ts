import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RegionVerdict } from '../watch/verdict.ts';
import { type BlockCode, type DecisionInput, decideFailover } from './decide.ts';

const lost: RegionVerdict = {
  region: 'east',
  state: 'lost',
  votes: [{ controller: 'a', says: 'lost', because: ['db is down'] }],
  needed: 1,
};
const ready: DecisionInput = {
  nowMs: 1_000_000,
  policy: {
    automatic: true,
    graceMs: 10_000,
    lostWhen: 'any',
    readyShare: 0.8,
    lossBudgetMs: 1_000,
    coolDownMs: 3_600_000,
    commitWindowMs: 0,
    approvals: 2,
    salvageDirectory: '/var/tmp',
  },
  verdict: lost,
  target: 'west',
  targetFaults: [],
  estimatedLossMs: new Map([['db', 0]]),
  changedAtMs: undefined,
  underWay: undefined,
  clockJumpedAtMs: undefined,
};

const inTheWay: Readonly<Record<Exclude<BlockCode, 'no-plan'>, Partial<DecisionInput>>> = {
  'not-lost': { verdict: { ...lost, state: 'failing', graceEndsAtMs: 1_004_000 } },
  'standby-still-receives': {
    verdict: {
      ...lost,
      state: 'failing',
      votes: [{ controller: 'a', says: 'failing', because: [], contradictedBy: ['db in west still receives from east'] }],
    },
  },
  'not-automatic': { policy: { ...ready.policy, automatic: false } },
  'no-target': { target: undefined },
  'target-not-ready': { targetFaults: [{ severity: 'problem', message: 'db in west is down', hint: 'Bring it up.' }] },
  'loss-over-budget': { estimatedLossMs: new Map([['db', 1_001]]) },
  'loss-unproven': { estimatedLossMs: new Map([['db', undefined]]) },
  'cooling-down': { changedAtMs: 1_000_000 - 3_599_999 },
  'execution-under-way': { underWay: 'failover-1' },
  'clock-jumped': { clockJumpedAtMs: 5 },
};
const codes = Object.keys(inTheWay) as (keyof typeof inTheWay)[];
const blocksOf = (parts: Partial<DecisionInput>) => decideFailover({ ...ready, ...parts }).blocks.map((block) => block.code);

describe('the decision', () => {
  it('acts on a lost region where nothing is in the way, and says why', () => {
    expect(decideFailover(ready)).toEqual({ act: true, blocks: [], summary: 'fail over from east to west: db is down' });
  });
  it.each(codes)('[S5-33] %s alone blocks, and says what would change it', (code) => {
    const decision = decideFailover({ ...ready, ...inTheWay[code] });
    expect(decision.act).toBe(false);
    expect(decision.blocks.map((block) => block.code)).toEqual([code]);
    expect(decision.blocks[0]?.message.length).toBeGreaterThan(5);
    expect(decision.blocks[0]?.changesWhen.length).toBeGreaterThan(5);
    expect(decision.summary).toContain(decision.blocks[0]?.message);
  });
  it('[S5-33] any red one blocks, whatever else is green: all that are in the way are named', () => {
    fc.assert(
      fc.property(
        fc.subarray(
          codes.filter((code) => !['loss-unproven', 'standby-still-receives'].includes(code)),
          { minLength: 1 },
        ),
        (chosen) => {
          const decision = decideFailover(Object.assign({ ...ready }, ...chosen.map((code) => inTheWay[code])));
          expect(decision.act).toBe(false);
          expect(decision.blocks.map((block) => block.code).sort()).toEqual([...chosen].sort());
        },
      ),
    );
  });
  it('exactly at the limits: a loss of the whole budget is within it; the cool-down ends with its last millisecond', () => {
    expect(blocksOf({ estimatedLossMs: new Map([['db', 1_000]]) })).toEqual([]);
    expect(blocksOf({ changedAtMs: 1_000_000 - 3_600_000 })).toEqual([]);
    expect(blocksOf({ changedAtMs: 1_000_001 })).toEqual(['cooling-down']);
  });
  it('each store that would lose too much is named', () => {
    expect(
      decideFailover({
        ...ready,
        estimatedLossMs: new Map([
          ['db', 5_000],
          ['cache', undefined],
          ['log', 0],
        ]),
      }).blocks.map((block) => block.message),
    ).toEqual(['db would lose 5.00 s; the budget is 1.00 s', 'what cache would lose is unproven']);
  });
  it('within the grace it says for how long still', () =>
    expect(decideFailover({ ...ready, ...inTheWay['not-lost'] }).blocks[0]?.changesWhen).toBe(
      'it does not come back within the grace, in 4.00 s',
    ));
});
