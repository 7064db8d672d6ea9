import { afterEach, describe, expect, it } from 'vitest';
import { ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toySpecText } from '../../test/fakes/toy-platform.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { StateStore } from '../contracts/state-store.ts';
import type { Plan } from '../plans/plan.ts';
import type { ExecutionState } from '../state/execution-state.ts';
import { listExecutions, loadExecution } from '../state/journal.ts';
import { requestApprove } from '../state/requests.ts';
import type { Control } from './control.ts';
import { beginExecution, executionUnderWay, runToEnd, summarizeExecution } from './executions.ts';
import { makePlan, type PlanRequest } from './make-plan.ts';

const opened: Control[] = [];
let platform: ToyPlatform;
afterEach(async () => {
  for (const control of opened.splice(0)) {
    const closing = control.close();
    await platform.host.clock.advance(6_000);
    await closing;
  }
});

async function open(failover = '{ automatic: false, grace: 1s }', wrap?: (store: StateStore) => StateStore): Promise<Control> {
  platform ??= new ToyPlatform(toySpecText(failover));
  const store = platform.state.open();
  const control = await platform.control({ store: wrap ? wrap(store) : store });
  opened.push(control);
  await control.startWatching();
  await platform.host.clock.advance(3_000);
  return control;
}
const fresh = (failover?: string, wrap?: (store: StateStore) => StateStore) => {
  platform = new ToyPlatform(toySpecText(failover));
  return open(failover, wrap);
};

async function run(control: Control, request: PlanRequest): Promise<ExecutionState> {
  const id = await beginExecution(control, await makePlan(control, request), 'ann');
  return finish(runToEnd(control, id, new AbortController().signal));
}
async function finish<T>(work: Promise<T>): Promise<T> {
  let over = false;
  const done = work.finally(() => {
    over = true;
  });
  done.catch(() => {});
  for (let turn = 0; turn < 2_000 && !over; turn += 1) await platform.host.clock.advance(50);
  return done;
}

describe('one execution at a time', () => {
  it('[I4] a process that could not renew its lease in time goes on with its execution where nobody else has taken it', async () => {
    let heldUp = false;
    let stood = false;
    const control = await fresh(undefined, (store) => ({
      ...store,
      renewLease: (lease) => (heldUp ? new Promise(() => {}) : store.renewLease(lease)),
      // The whole process stands still for longer than its lease lasts, once.
      acquireLease: async (name, holder, ttlMs) => {
        const lease = await store.acquireLease(name, holder, ttlMs);
        if (!stood && name.startsWith('execution/')) {
          stood = true;
          heldUp = true;
          await platform.host.clock.sleep(ttlMs + 500);
          heldUp = false;
        }
        return lease;
      },
    }));
    const id = await beginExecution(control, await makePlan(control, { kind: 'switchover', because: 'a test' }), 'ann');
    const ended = finish(runToEnd(control, id, new AbortController().signal));
    const state = await ended;
    expect(state.outcome).toBe('done');
    expect(platform.host.logLines.map((line) => line.event)).toContain('execution.lease-lost');
  });

  it('a second is refused while the first has not ended, and allowed after it', async () => {
    const control = await fresh();
    const plan = await makePlan(control, { kind: 'switchover', because: 'a test' });
    const id = await beginExecution(control, plan, 'ann');
    await expect(beginExecution(control, plan, 'bob')).rejects.toMatchObject({ code: 'EXECUTION_RUNNING', subject: id });
    expect(await executionUnderWay(control)).toBe(id);
    await finish(runToEnd(control, id, new AbortController().signal));
    expect(await executionUnderWay(control)).toBeUndefined();
  });

  it('of two that begin in the same moment one wins', async () => {
    const control = await fresh();
    const plan = await makePlan(control, { kind: 'switchover', because: 'a test' });
    const results = await Promise.allSettled([
      beginExecution(control, plan, 'ann'),
      beginExecution(control, plan, 'bob'),
      beginExecution(control, plan, 'eve'),
    ]);
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect((result.reason as HoldfastError).code).toBe('EXECUTION_RUNNING');
    expect(await listExecutions(platform.state.open())).toHaveLength(1);
  });

  it("one that begins between another's look and its claim wins, whenever that is", async () => {
    for (let place = 0; place < 6; place += 1) {
      let reads = -1;
      let between = async () => {};
      const control = await fresh('{ automatic: false, grace: 1s }', (store) => ({
        ...store,
        get: async (key) => {
          const found = await store.get(key);
          if (reads >= 0 && reads++ === place) await between();
          return found;
        },
      }));
      const other = await open();
      const plan = await makePlan(control, { kind: 'switchover', because: 'a test' });
      between = async () => {
        await beginExecution(other, plan, 'bob').catch(() => undefined);
      };
      reads = 0;
      await beginExecution(control, plan, 'ann').catch(() => undefined);
      reads = -1;
      expect((await listExecutions(platform.state.open())).length).toBe(1);
    }
  });
});

describe('executions on a platform', () => {
  it('there and back: nothing is lost, one site takes writes at a time, and the outage is measured', async () => {
    const control = await fresh();
    const there = await run(control, { kind: 'switchover', because: 'a test' });
    expect(there.outcome).toBe('done');
    expect(platform.world.writable('db')).toEqual(['west']);
    expect(platform.world.site('db', 'east')).toMatchObject({ role: 'standby', follows: 'west' });
    const { header, state } = await loadExecution<Plan>(platform.state.open(), there.id);
    const measured = summarizeExecution(header.plan, state);
    expect(measured.byComponent).toMatchObject([{ component: 'db', lostCanaries: 0, lossMeasured: true }]);
    expect(measured.byComponent[0]).not.toHaveProperty('lossWindow');
    expect(measured.outageMs).toBeDefined();
    const back = await run(control, { kind: 'failback', because: 'a test' });
    expect(back.outcome).toBe('done');
    expect(platform.world.writable('db')).toEqual(['east']);
  });

  it('a switchover that fails before the promotion brings everything back to where it was', async () => {
    const control = await fresh();
    platform.world.refuses.add('fence db east');
    const state = await run(control, { kind: 'switchover', because: 'a test' });
    expect(state.outcome).toBe('rolled-back');
    expect(platform.world.writable('db')).toEqual(['east']);
    expect(platform.world.site('api', 'west').replicas).toBe(1);
    expect(platform.world.effects.filter((effect) => effect.startsWith('promote'))).toEqual([]);
  });

  it('what is over the budget waits for as many people as the spec says', async () => {
    const control = await fresh('{ automatic: false, grace: 1s, approvals: 2 }');
    for (const region of ['east', 'west']) platform.world.site('db', region).synchronous = false;
    platform.world.site('db', 'west').follows = 'nowhere';
    await platform.host.clock.advance(5_000);
    platform.world.kill('east');
    await platform.host.clock.advance(1_000);
    await expect(run(control, { kind: 'failover', because: 'a test' })).resolves.toMatchObject({ outcome: 'aborted' });
    const plan = await makePlan(control, { kind: 'failover', acceptLoss: 'any', because: 'a test' });
    expect(plan.mayLose).toMatch(/^up to \d/);
    const id = await beginExecution(control, plan, 'ann');
    const ended = runToEnd(control, id, new AbortController().signal);
    await platform.host.clock.advance(2_000);
    await requestApprove(platform.state.open(), platform.host, id, 'ann');
    await platform.host.clock.advance(2_000);
    expect(platform.world.effects).toEqual([]);
    await requestApprove(platform.state.open(), platform.host, id, 'bob');
    const state = await finish(ended);
    expect(state.outcome).toBe('done');
    const measured = summarizeExecution(plan, state);
    expect(measured.byComponent[0]?.lostCanaries).toBeGreaterThan(0);
    expect(measured.byComponent[0]?.lossWindow).toBeDefined();
  });

  it('what was accepted needs its approvals also where the loss was within the budget when it was asked for', async () => {
    const control = await fresh();
    const plan = await makePlan(control, { kind: 'failover', acceptLoss: 'any', because: 'a test' });
    expect(plan.steps.some((step) => step.verb === 'approve')).toBe(false);
    expect(plan.steps.find((step) => step.verb === 'check-target')?.want.budgetMs).toBe(0);
  });

  it('a roll-back is refused once a site was promoted: what was fenced stays fenced', async () => {
    const control = await fresh();
    platform.world.refuses.add('route name west');
    const plan = await makePlan(control, { kind: 'switchover', because: 'a test' });
    const id = await beginExecution(control, plan, 'ann');
    const held = await finish(runToEnd(control, id, new AbortController().signal));
    expect(held.status).toBe('failed');
    const { requestRollBack } = await import('../state/requests.ts');
    await requestRollBack(platform.state.open(), platform.host, id, 'ann');
    const after = await finish(runToEnd(control, id, new AbortController().signal));
    expect(after.requests.at(-1)).toMatchObject({ accepted: false });
    expect(platform.world.writable('db')).toEqual(['west']);
  });
});
