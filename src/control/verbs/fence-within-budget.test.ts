import { describe, expect, it } from 'vitest';
import { fakeClock, seededRandom } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import type { Inspection, StepContext } from '../../contracts/verbs.ts';
import type { JournalledPlan, JournalledStep } from '../../state/execution-state.ts';
import { createExecution } from '../../state/journal.ts';
import { fenceWithinBudget } from './fence-within-budget.ts';
import type { PlatformParts } from './platform-verb.ts';

const done = { state: 'done', output: { proof: 'lease-expired' } } as const;
const component = {
  name: 'orders',
  kind: 'data',
  replication: 'asynchronous',
  canaryEveryMs: 1_000,
  sites: new Map([
    ['east', {}],
    ['west', {}],
  ]),
};

/** The newest acknowledged row, and the newest one at the target when it is asked: one a second. */
async function fenced(
  acknowledged: number,
  there: number,
  options: { budgetMs?: number | null; approved?: boolean; byApply?: boolean } = {},
) {
  const clock = fakeClock(100_000);
  const store = memoryState(clock).open();
  const step = (verb: string, want: object): JournalledStep & { readonly want: object } => ({
    id: verb,
    verb,
    want,
    after: [],
    onFailure: 'stop',
  });
  const { budgetMs = 2_000, approved = false, byApply = false } = options;
  const steps = [step('check-target', { region: 'west', budgetMs }), ...(approved ? [step('approve', { count: 2 })] : [])];
  const plan: JournalledPlan & { readonly to: string } = { kind: 'failover', platform: 'shop', epoch: 2, parallel: 1, steps, to: 'west' };
  const { id } = await createExecution(
    store,
    { clock, random: seededRandom(1) },
    { plan, startedBy: 'serve', reason: 'a test', specDigest: '' },
  );
  const row = (number: number) => ({ number, atMs: number * 1_000, acknowledgedAtMs: number * 1_000, epoch: 1, region: 'east' });
  // Until they are read anew, the watch knows of what was there when the target was checked.
  const rows = {
    acknowledged: new Map([['orders', row(10)]]),
    standbyCanaries: new Map([['orders@west', { ...row(10), readAtMs: 10_000 }]]),
  };
  const watch = {
    ...rows,
    observations: new Map(),
    lastUp: new Map(),
    adoptCanaries: async () => void rows.acknowledged.set('orders', row(acknowledged)),
    readCanaries: async () => void rows.standbyCanaries.set('orders@west', { ...row(there), readAtMs: acknowledged * 1_000 }),
  };
  const spec = { components: new Map([['orders', component]]) };
  const view = {
    spec,
    watch,
    platform: { activeRegion: 'east' },
    recoveries: new Map(),
    recoveryInstants: new Map(),
    nowMs: clock.nowMs(),
  };
  const parts = { spec, store, watch, host: { clock }, view: async () => view } as unknown as PlatformParts;
  const fence = {
    inspect: async (): Promise<Inspection> => (byApply ? { state: 'absent', why: 'not yet' } : done),
    apply: async () => done,
  };
  const verb = fenceWithinBudget(parts, fence, () => false);
  const context = { executionId: id, stepId: 'fence' } as unknown as StepContext;
  return byApply ? verb.apply({}, context) : verb.inspect({}, context);
}

describe('what was acknowledged while the fence was waited for', () => {
  it.each([
    ['found proven', false],
    ['proven by what was applied', true],
  ])('is held against the loss budget once the fence is %s', async (_how, byApply) => {
    await expect(fenced(14, 10, { byApply })).rejects.toMatchObject({ code: 'LOSS_OVER_BUDGET', kind: 'refused' });
    expect(await fenced(12, 10, { byApply })).toEqual(done);
    expect(await fenced(14, 14, { byApply })).toEqual(done);
  });

  it('is lost where people have approved of that, or accepted any loss', async () => {
    expect(await fenced(14, 10, { approved: true })).toEqual(done);
    expect(await fenced(14, 10, { budgetMs: null })).toEqual(done);
  });

  it('that has all arrived keeps nobody from going on, however small the budget', async () => {
    expect(await fenced(14, 14, { budgetMs: 0 })).toEqual(done);
  });
});
