import { describe, expect, it } from 'vitest';
import { ask, create, run, runToEnd, status, step, store, until, useEngineHarness, world } from '../../test/engine/engine-harness.ts';
import { madeUpPlan, madeUpStep, undoOf } from '../../test/engine/fake-platform.ts';
import { loadExecution } from '../state/journal.ts';
import { readRequests } from '../state/requests.ts';
import { findResumable } from './find-resumable.ts';

useEngineHarness();

describe('failure policies', () => {
  it('stop: running steps end, nothing new starts, a retry goes on from there', async () => {
    const made = world({ a: ['refused'], b: ['slowly'] }, 500);
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b'), madeUpStep('c', { after: ['b'] })]));
    const first = run(id, made.verbs());
    await until(() => first.ended !== undefined);
    expect(first.ended?.state?.status).toBe('failed');
    expect((await step(id, 'b')).status).toBe('done');
    expect((await step(id, 'c')).status).toBe('waiting');
    expect(await findResumable(store, () => {})).toEqual([]);
    made.heal();
    await ask(id, { kind: 'retry', by: 'ann' });
    expect(await findResumable(store, () => {})).toEqual([id]);
    const second = run(id, made.verbs(), { holder: 'two' });
    await until(() => second.ended !== undefined);
    expect(second.ended?.state?.outcome).toBe('done');
    expect(await readRequests(store, id)).toEqual([]);
  });

  it('stop, waiting here: a skip with a reason goes on', async () => {
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]));
    const running = run(id, world({ a: ['refused'] }).verbs(), { whenHalted: 'wait' });
    await until(async () => (await status(id)) === 'failed');
    await ask(id, { kind: 'skip', by: 'ann', stepId: 'a', reason: 'done by hand' });
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('done');
    expect((await step(id, 'a')).skipped).toEqual({ by: 'ann', reason: 'done by hand' });
  });

  it('continue: what comes after goes on, and the failure is in the end result', async () => {
    const id = await create(madeUpPlan([madeUpStep('a', { onFailure: 'continue' }), madeUpStep('b', { after: ['a'] })]));
    const running = run(id, world({ a: ['refused'] }).verbs());
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('done');
    const { events } = await loadExecution(store, id);
    expect(events.at(-1)).toMatchObject({ type: 'finished', data: { outcome: 'done', failedSteps: ['a'] } });
  });

  it('give-up: what runs comes to its end, nothing new starts, and it is over as failed, waiting for nobody', async () => {
    const made = world({ a: ['refused'], b: ['slowly'] }, 500);
    const id = await create(madeUpPlan([madeUpStep('a', { onFailure: 'give-up' }), madeUpStep('b'), madeUpStep('c', { after: ['b'] })]));
    const running = run(id, made.verbs());
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('failed');
    expect((await step(id, 'b')).status).toBe('done');
    expect((await step(id, 'c')).status).toBe('waiting');
    expect(await findResumable(store, () => {})).toEqual([]);
  });

  it('roll-back: undoes in reverse order what was done, and only that', async () => {
    const made = world({ c: ['refused'] });
    const steps = [
      madeUpStep('a', { undo: undoOf('a') }),
      madeUpStep('b', { after: ['a'], undo: undoOf('b') }),
      madeUpStep('c', { after: ['b'], onFailure: 'roll-back', undo: undoOf('c') }),
      madeUpStep('d', { after: ['c'], undo: undoOf('d') }),
    ];
    const state = await runToEnd(madeUpPlan(steps), made.verbs());
    expect(state.outcome).toBe('rolled-back');
    expect(made.calls).toEqual(['a', 'b', 'c', 'not c', 'not b', 'not a']);
  });

  it('roll-back: an undo that fails holds it up; abort then ends it as failed', async () => {
    const made = world({ b: ['refused'], 'not a': ['refused'] });
    const steps = [madeUpStep('a', { undo: undoOf('a') }), madeUpStep('b', { after: ['a'], onFailure: 'roll-back' })];
    const id = await create(madeUpPlan(steps));
    const running = run(id, made.verbs(), { whenHalted: 'wait' });
    await until(async () => (await status(id)) === 'failed');
    expect((await step(id, 'a')).undo?.status).toBe('failed');
    await ask(id, { kind: 'abort', by: 'ann' });
    await until(() => running.ended !== undefined);
    expect(running.ended?.state?.outcome).toBe('failed');
  });

  it('roll-back: a failed undo can be tried again or skipped', async () => {
    for (const kind of ['retry', 'skip'] as const) {
      const made = world({ b: ['refused'], 'not a': ['refused'] });
      const id = await create(
        madeUpPlan([madeUpStep('a', { undo: undoOf('a') }), madeUpStep('b', { after: ['a'], onFailure: 'roll-back' })]),
      );
      const running = run(id, made.verbs(), { whenHalted: 'wait' });
      await until(async () => (await status(id)) === 'failed');
      made.heal();
      await ask(id, kind === 'retry' ? { kind, by: 'ann' } : { kind, by: 'ann', stepId: 'a', reason: 'by hand' });
      await until(() => running.ended !== undefined);
      expect(running.ended?.state?.outcome).toBe('rolled-back');
      expect((await step(id, 'a')).undo?.status).toBe(kind === 'retry' ? 'done' : 'skipped');
    }
  });
});
