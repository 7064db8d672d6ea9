import { describe, expect, it } from 'vitest';
import {
  answer,
  ask,
  create,
  host,
  run,
  runToEnd,
  status,
  step,
  store,
  until,
  useEngineHarness,
  world,
} from '../../test/engine/engine-harness.ts';
import { madeUpPlan, madeUpStep, undoOf } from '../../test/engine/fake-platform.ts';
import type { Verb } from '../contracts/verbs.ts';
import { journalKeys, loadExecution } from '../state/journal.ts';

useEngineHarness();

describe('requests', () => {
  const chain = () => [
    madeUpStep('a', { undo: undoOf('a') }),
    madeUpStep('b', { after: ['a'], undo: undoOf('b') }),
    madeUpStep('c', { after: ['b'], undo: undoOf('c') }),
  ];

  it('pause lets the running step end and starts no other; resume goes on; a second pause is refused', async () => {
    const made = world({ a: ['slowly'] }, 500);
    const id = await create(madeUpPlan(chain()));
    const running = run(id, made.verbs());
    await until(() => made.calls.includes('a'));
    const [first, second] = await Promise.all([ask(id, { kind: 'pause', by: 'ann' }), ask(id, { kind: 'pause', by: 'bob' })]);
    await until(async () => (await step(id, 'a')).status === 'done');
    await host.clock.advance(2_000);
    expect(await status(id)).toBe('paused');
    expect(made.calls).toEqual(['a']);
    const answers = [await answer(id, first as string), await answer(id, second as string)];
    expect(answers.map((one) => one?.accepted).sort()).toEqual([false, true]);
    await ask(id, { kind: 'resume', by: 'ann' });
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('done');
  });

  it('pause and abort at once: both are answered, and it ends aborted', async () => {
    const made = world({ a: ['slowly'] }, 60_000);
    const id = await create(madeUpPlan(chain()));
    const running = run(id, made.verbs());
    await until(() => made.calls.includes('a'));
    await Promise.all([ask(id, { kind: 'pause', by: 'ann' }), ask(id, { kind: 'abort', by: 'bob' })]);
    await until(() => running.ended !== undefined, 2_000);
    expect(running.ended?.state?.outcome).toBe('aborted');
    expect(await step(id, 'a')).toMatchObject({ status: 'uncertain', mayHaveTakenEffect: true });
    expect((await step(id, 'b')).status).toBe('waiting');
  });

  it('abort never cuts an apply: it waits for its end and looks how it came out', async () => {
    let ended = false;
    const verb: Verb = {
      inspect: async () => (ended ? { state: 'done', output: {} } : { state: 'absent', why: '' }),
      apply: async (_want, context) => {
        await host.clock.sleep(3_000, context.signal);
        ended = true;
      },
    };
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]));
    const running = run(id, { resolve: () => verb });
    await host.clock.advance(100);
    await ask(id, { kind: 'abort', by: 'ann', reason: 'wrong region' });
    await host.clock.advance(1_000);
    expect(running.ended).toBeUndefined();
    await until(() => running.ended !== undefined);
    expect(ended).toBe(true);
    expect(running.ended?.state?.outcome).toBe('aborted');
    expect((await step(id, 'a')).status).toBe('done');
  });

  it('an apply that outlasts its deadline ends an abort too', async () => {
    const id = await create(madeUpPlan([madeUpStep('a', { timeoutMs: 800 })]));
    const running = run(id, world({ a: ['hangs'] }).verbs());
    await host.clock.advance(100);
    await ask(id, { kind: 'abort', by: 'ann' });
    await until(() => running.ended !== undefined, 5_000);
    expect(running.ended?.state?.outcome).toBe('aborted');
    expect((await step(id, 'a')).status).toBe('uncertain');
  });

  it('abort while it rolls back is refused with the reason, and the roll-back goes on', async () => {
    const made = world({ b: ['refused'], 'not a': ['slowly'] }, 2_000);
    const id = await create(
      madeUpPlan([madeUpStep('a', { undo: undoOf('a') }), madeUpStep('b', { after: ['a'], onFailure: 'roll-back' })]),
    );
    const running = run(id, made.verbs());
    await until(() => made.calls.includes('not a'));
    const requestId = await ask(id, { kind: 'abort', by: 'ann' });
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('rolled-back');
    expect(await answer(id, requestId)).toMatchObject({ accepted: false, why: expect.stringContaining('rolling back') });
  });

  it('roll-back on request: a step on its way is left, counted as possibly done, and undone', async () => {
    const made = world({ b: ['slowly'] }, 600);
    const id = await create(madeUpPlan(chain()));
    const running = run(id, made.verbs());
    await until(() => made.calls.includes('b'));
    await ask(id, { kind: 'roll-back', by: 'ann', reason: 'changed our minds' });
    await until(() => running.ended !== undefined);
    expect(running.ended?.state).toMatchObject({ outcome: 'rolled-back', rollingBack: { because: 'changed our minds', by: 'ann' } });
    expect(made.calls).toEqual(['a', 'b', 'not b', 'not a']);
  });

  it('a request put while nobody runs it is answered first: an abort starts nothing', async () => {
    const made = world();
    const id = await create(madeUpPlan(chain()));
    await ask(id, { kind: 'abort', by: 'ann' });
    const running = run(id, made.verbs());
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('aborted');
    expect(made.calls).toEqual([]);
  });

  it('nothing can be asked of an execution that is over', async () => {
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), world().verbs());
    await expect(ask(state.id, { kind: 'pause', by: 'ann' })).rejects.toMatchObject({ code: 'EXECUTION_WRONG_STATE' });
    await expect(ask('nothing', { kind: 'pause', by: 'ann' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('a request that makes no sense is refused, and ends nothing', async () => {
    const id = await create(madeUpPlan(chain()));
    const running = run(id, world({ a: ['slowly'] }, 300).verbs());
    const requests = { r1: { kind: 'sing', by: 'ann' }, r2: { kind: 'approve' }, r3: { kind: 'skip', by: 'ann', stepId: 'b' } };
    for (const [requestId, request] of Object.entries(requests)) {
      await store.commit([
        { kind: 'put', key: `${journalKeys.requests(id)}${requestId}`, value: { request, atMs: 0 }, expected: 'absent' },
      ]);
    }
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('done');
    expect(running.ended?.state?.requests.map((one) => one.accepted)).toEqual([false, false, false]);
  });

  it('skipping needs a reason, and what safety rests on can not be skipped', async () => {
    const id = await create(
      madeUpPlan([
        madeUpStep('f', { verb: 'fence', component: 'db', region: 'east' }),
        madeUpStep('e', { verb: 'advance-epoch', after: ['f'] }),
      ]),
    );
    const running = run(id, world({ f: ['refused'] }).verbs(), { whenHalted: 'wait' });
    await until(async () => (await status(id)) === 'failed');
    await expect(ask(id, { kind: 'skip', by: 'ann', stepId: 'f', reason: '  ' })).rejects.toMatchObject({ code: 'USAGE' });
    for (const stepId of ['f', 'e', 'no such step']) {
      const requestId = await ask(id, { kind: 'skip', by: 'ann', stepId, reason: 'because' });
      await until(async () => (await answer(id, requestId)) !== undefined);
      expect(await answer(id, requestId)).toMatchObject({ accepted: false });
    }
    expect(running.ended).toBeUndefined();
  });
});

describe("a person's fence word", () => {
  const plan = () =>
    madeUpPlan([
      madeUpStep('fence db', { verb: 'fence', component: 'db', region: 'east', want: { effect: 'fence' }, timeoutMs: 600_000 }),
      madeUpStep('b', { after: ['fence db'] }),
    ]);
  const word = { kind: 'fence-word', by: 'ann', component: 'db', region: 'east', comment: 'plug pulled' } as const;
  const proven = {
    status: 'done',
    effect: 'person',
    output: { proof: 'person', by: 'ann', evidence: expect.stringContaining('plug pulled') },
  };

  it('completes a fence that failed', async () => {
    const id = await create(plan());
    const running = run(id, world({ fence: ['refused'] }).verbs(), { whenHalted: 'wait' });
    await until(async () => (await status(id)) === 'failed');
    await ask(id, word);
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('done');
    expect(await step(id, 'fence db')).toMatchObject(proven);
  });

  it('completes one that is being waited for, and one that has not begun', async () => {
    const id = await create(plan());
    const running = run(id, world({ fence: ['slowly'] }, 500_000).verbs());
    await host.clock.advance(1_000);
    await ask(id, word);
    await until(() => running.ended !== undefined, 5_000);
    expect(await step(id, 'fence db')).toMatchObject(proven);
    const early = await create(plan());
    await ask(early, word);
    const again = run(early, world({ fence: ['hangs'] }).verbs());
    await until(() => again.ended !== undefined, 5_000);
    expect(again.ended?.state?.outcome).toBe('done');
  });

  it('is refused for a site that has no open fence', async () => {
    const id = await create(plan());
    run(id, world({ fence: ['slowly'] }, 60_000).verbs());
    const requestId = await ask(id, { ...word, region: 'west' });
    await until(async () => (await answer(id, requestId)) !== undefined);
    expect(await answer(id, requestId)).toMatchObject({ accepted: false });
  });
});

describe('approvals', () => {
  const plan = (count: number) =>
    madeUpPlan([
      madeUpStep('approve', { verb: 'approve', want: { count, reason: 'may lose data' }, timeoutMs: 3_600_000 }),
      madeUpStep('b', { after: ['approve'] }),
    ]);

  it('waits for so many different people; one name twice counts once', async () => {
    const id = await create(plan(2));
    const running = run(id, world().verbs());
    await until(async () => (await status(id)) === 'waiting-for-approval');
    await ask(id, { kind: 'approve', by: 'Ann', comment: 'seen' });
    const twice = await ask(id, { kind: 'approve', by: '  ann ' });
    await until(async () => (await answer(id, twice)) !== undefined);
    expect(await answer(id, twice)).toMatchObject({ accepted: false, why: expect.stringContaining('different people') });
    expect(await status(id)).toBe('waiting-for-approval');
    await ask(id, { kind: 'approve', by: 'bob' });
    await until(() => running.ended !== undefined, 200);
    expect(running.ended?.state?.outcome).toBe('done');
    expect((await step(id, 'approve')).output).toEqual({ approvedBy: ['Ann', 'bob'] });
  });

  it('survive the runner, and may be given while nobody runs it', async () => {
    const id = await create(plan(2));
    const first = run(id, world().verbs());
    await ask(id, { kind: 'approve', by: 'ann' });
    await until(async () => (await loadExecution(store, id)).state.approvals.length === 1);
    first.stop.abort();
    await until(() => first.ended !== undefined);
    await ask(id, { kind: 'approve', by: 'bob' });
    const second = run(id, world().verbs(), { holder: 'two' });
    await until(() => second.ended !== undefined, 1_000);
    expect(second.ended?.state?.outcome).toBe('done');
  });

  it('end with APPROVAL_MISSING when the time of the plan is over', async () => {
    const id = await create(plan(1));
    const running = run(id, world().verbs());
    await host.clock.advance(3_700_000);
    await until(() => running.ended !== undefined);
    expect((await step(id, 'approve')).error).toMatchObject({ code: 'APPROVAL_MISSING' });
  });
});
