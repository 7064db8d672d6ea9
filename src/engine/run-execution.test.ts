import { describe, expect, it } from 'vitest';
import {
  create,
  host,
  run,
  runToEnd,
  status,
  step,
  store,
  types,
  until,
  useEngineHarness,
  world,
} from '../../test/engine/engine-harness.ts';
import { madeUpPlan, madeUpStep, never } from '../../test/engine/fake-platform.ts';
import { fail } from '../base/errors.ts';
import type { Verb } from '../contracts/verbs.ts';
import type { Plan, Step } from '../plans/plan.ts';
import { stepState } from '../state/execution-state.ts';
import { journalKeys, listExecutions, listOpenExecutions } from '../state/journal.ts';
import { findResumable } from './find-resumable.ts';

useEngineHarness();

describe('a plan that goes well', () => {
  it('runs steps in order, resolves references to outputs, and finishes done', async () => {
    const seen: string[] = [];
    const steps = [madeUpStep('a'), madeUpStep('b', { after: ['a'], want: { effect: 'b', position: { $from: 'a', field: 'position' } } })];
    const state = await runToEnd(madeUpPlan(steps), world().verbs(), { onEvent: (event) => void seen.push(event.type) });
    expect(state.outcome).toBe('done');
    expect(stepState(state, 'b')?.want).toEqual({ effect: 'b', position: 'at a' });
    expect(stepState(state, 'b')?.effect).toBe('applied');
    expect(seen).toEqual(['started', 'step-intent', 'step-applied', 'step-done', 'step-intent', 'step-applied', 'step-done', 'finished']);
  });

  it('adopts what already holds and applies nothing', async () => {
    const made = world();
    made.holds.add('a');
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), made.verbs());
    expect(stepState(state, 'a')?.effect).toBe('adopted');
    expect(made.calls).toEqual([]);
  });

  it('runs no more steps at once than the plan allows', async () => {
    let now = 0;
    let most = 0;
    const verb: Verb = {
      inspect: async (want) => (done.has(String(want.effect)) ? { state: 'done', output: {} } : { state: 'absent', why: '' }),
      apply: async (want) => {
        now += 1;
        most = Math.max(most, now);
        await host.clock.sleep(10);
        now -= 1;
        done.add(String(want.effect));
      },
    };
    const done = new Set<string>();
    await runToEnd(
      madeUpPlan(
        ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((id) => madeUpStep(id)),
        { parallel: 3 },
      ),
      { resolve: () => verb },
    );
    expect(most).toBe(3);
  });

  it('is one commit per step on a chain: the end of one goes with the intent of the next', async () => {
    let commits = 0;
    const counting = {
      ...store,
      commit: (changes: Parameters<typeof store.commit>[0]) => {
        commits += 1;
        return store.commit(changes);
      },
    };
    const ids = Array.from({ length: 10 }, (_, place) => `s${place}`);
    const id = await create(madeUpPlan(ids.map((one, place) => madeUpStep(one, { after: place === 0 ? [] : [`s${place - 1}`] }))));
    const running = run(id, world().verbs(), { store: counting });
    await until(() => running.ended !== undefined);
    expect(commits).toBe(11);
    expect(running.ended?.state?.outcome).toBe('done');
  });

  it('leaves the open list and the newest comes first', async () => {
    await runToEnd(madeUpPlan([madeUpStep('a')]), world().verbs());
    await host.clock.advance(1_000);
    const later = await create(madeUpPlan([madeUpStep('a')], { kind: 'drill' as Plan['kind'] }));
    expect(await listOpenExecutions(store)).toEqual([later]);
    const listed = await listExecutions(store, { limit: 5 });
    expect(listed.map((one) => one.status)).toEqual(['waiting', 'done']);
    expect((await listExecutions(store, { limit: 1 }))[0]?.id).toBe(later);
  });

  it('[I5] is not held up or changed by a listener that throws', async () => {
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), world().verbs(), {
      onEvent: () => {
        throw new Error('the screen is gone');
      },
    });
    expect(state.outcome).toBe('done');
    expect(host.logLines.some((line) => line.event === 'event listener failed')).toBe(true);
  });
});

describe('errors, by kind', () => {
  it.each([['transient'], ['unknown-before']] as const)('%s: tries again, after inspecting', async (behaviour) => {
    const made = world({ a: [behaviour, behaviour] });
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), made.verbs());
    expect(state.outcome).toBe('done');
    expect(made.calls).toEqual(['a', 'a', 'a']);
    expect(stepState(state, 'a')?.attempts).toBe(3);
  });

  it('an unknown outcome that had its effect is found by inspecting, and not applied again', async () => {
    const made = world({ a: ['unknown-after'] });
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), made.verbs());
    expect(state.outcome).toBe('done');
    expect(made.calls).toEqual(['a']);
  });

  it('what is on its way is waited for, and not applied again', async () => {
    const made = world({ a: ['slowly'] }, 3_000);
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), made.verbs());
    expect(state.outcome).toBe('done');
    expect(made.calls).toEqual(['a']);
  });

  it.each([
    ['refused', 'SYSTEM_REFUSED'],
    ['bug', 'BUG_BROKEN_BELIEF'],
  ] as const)('%s: fails at once', async (behaviour, code) => {
    const made = world({ a: [behaviour] });
    const state = await runToEnd(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]), made.verbs());
    expect(state.status).toBe('failed');
    expect(stepState(state, 'a')?.error?.code).toBe(code);
    expect(stepState(state, 'b')?.status).toBe('waiting');
    expect(made.calls).toEqual(['a']);
  });

  it('an inspection that can not tell ends as uncertain', async () => {
    const verb: Verb = { inspect: async () => ({ state: 'unknown', why: 'two primaries answer' }), apply: never };
    const state = await runToEnd(madeUpPlan([madeUpStep('a')]), { resolve: () => verb });
    expect(stepState(state, 'a')).toMatchObject({
      status: 'uncertain',
      error: { code: 'STEP_UNCERTAIN', message: 'two primaries answer' },
      mayHaveTakenEffect: false,
    });
  });

  it('a verb that ignores its signal does not hold the engine up: uncertain at the deadline', async () => {
    const made = world({ a: ['hangs'] });
    const state = await runToEnd(madeUpPlan([madeUpStep('a', { timeoutMs: 500 })]), made.verbs());
    expect(stepState(state, 'a')).toMatchObject({ status: 'uncertain', error: { code: 'STEP_UNCERTAIN' }, mayHaveTakenEffect: true });
  });

  it('an inspection that ignores its signal does not either: failed, for nothing was applied', async () => {
    const verb: Verb = { inspect: never, apply: never };
    const state = await runToEnd(madeUpPlan([madeUpStep('a', { timeoutMs: 500 })]), { resolve: () => verb });
    expect(stepState(state, 'a')).toMatchObject({ status: 'failed', error: { code: 'TIMED_OUT' }, mayHaveTakenEffect: false });
  });

  it('a missing verb or a missing output fails the step before any intent', async () => {
    const noVerb = await runToEnd(madeUpPlan([madeUpStep('a')]), {
      resolve: () => {
        throw fail('NO_SUCH_VERB');
      },
    });
    expect(stepState(noVerb, 'a')).toMatchObject({ status: 'failed', attempts: 0, error: { code: 'NO_SUCH_VERB' } });
    const steps = [madeUpStep('a'), madeUpStep('b', { after: ['a'], want: { effect: { $from: 'a', field: 'nothing' } } })];
    const noOutput = await runToEnd(madeUpPlan(steps), world().verbs());
    expect(stepState(noOutput, 'b')).toMatchObject({ status: 'failed', attempts: 0, error: { code: 'STEP_FAILED' } });
  });

  it('a note is durable before apply goes on, and a late one of a step that is over is refused', async () => {
    let refused: unknown;
    let goOn = () => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const verb: Verb = {
      inspect: async () => ({ state: 'absent', why: '' }),
      apply: async (_want, context) => {
        await context.keepNote({ timeline: 3 });
        expect((await store.range('executions/')).some((entry) => JSON.stringify(entry.value).includes('"timeline":3'))).toBe(true);
        await gate;
        await context.keepNote('late').catch((error: unknown) => {
          refused = error;
        });
      },
    };
    const state = await runToEnd(madeUpPlan([madeUpStep('a', { timeoutMs: 300 })]), { resolve: () => verb });
    expect(stepState(state, 'a')).toMatchObject({ status: 'uncertain', note: { timeline: 3 } });
    goOn();
    await until(() => refused !== undefined);
    expect(refused).toMatchObject({ code: 'INTERRUPTED' });
  });
});

describe('runners', () => {
  it('[I4] a second runner is refused while the first holds the lease', async () => {
    const id = await create(madeUpPlan([madeUpStep('a')]));
    run(id, world({ a: ['slowly'] }, 60_000).verbs());
    await host.clock.advance(20_000);
    const other = run(id, world().verbs(), { holder: 'two' });
    await until(() => other.ended !== undefined);
    expect(other.ended?.error).toMatchObject({ code: 'STATE_LEASE_HELD' });
    expect(await findResumable(store, () => {})).toEqual([]);
  });

  it('on the signal: rejects with INTERRUPTED, frees the lease, and another goes on without repeating', async () => {
    const made = world({ a: ['slowly'] }, 30_000);
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]));
    const first = run(id, made.verbs());
    await until(() => made.calls.includes('a'));
    first.stop.abort();
    await until(() => first.ended !== undefined, 100);
    expect(first.ended?.error).toMatchObject({ code: 'INTERRUPTED' });
    expect(await findResumable(store, () => {})).toEqual([id]);
    const second = run(id, made.verbs(), { holder: 'two' });
    await until(() => second.ended !== undefined);
    expect(second.ended?.state?.outcome).toBe('done');
    expect(made.calls).toEqual(['a', 'b']);
    expect(await types(id)).toContain('runner-changed');
  });

  it('on the signal with a verb that does not end: the lease is left to run out', async () => {
    const id = await create(madeUpPlan([madeUpStep('a')]));
    const first = run(id, world({ a: ['hangs'] }).verbs());
    await host.clock.advance(100);
    first.stop.abort();
    await until(() => first.ended !== undefined, 3_000);
    expect((await store.readLease(journalKeys.lease(id)))?.held).toBe(true);
    await until(async () => (await store.readLease(journalKeys.lease(id)))?.held === false, 10_000);
  });

  it('that can not renew stops before its lease is over, and touches nothing more', async () => {
    const made = world({ a: ['slowly'] }, 9_000);
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]));
    const cut = { ...store, renewLease: () => never<never>() };
    const first = run(id, made.verbs(), { store: cut });
    await host.clock.advance(5_100);
    expect(first.ended?.error).toMatchObject({ code: 'STATE_LEASE_LOST' });
    const second = run(id, made.verbs(), { holder: 'two' });
    await until(() => second.ended !== undefined);
    expect(second.ended?.state?.outcome).toBe('done');
    expect(made.calls).toEqual(['a', 'b']);
  });

  it('whose store does not come back at all ends with its lease, at whatever call', async () => {
    for (const deaf of ['acquireLease', 'get', 'range', 'commit'] as const) {
      const id = await create(madeUpPlan([madeUpStep('a')]));
      const running = run(id, world().verbs(), {
        store: { ...store, renewLease: () => never(), releaseLease: () => never(), [deaf]: () => never() },
      });
      await host.clock.advance(5_100);
      if (deaf === 'acquireLease') running.stop.abort();
      await host.clock.advance(1_100);
      expect(running.ended?.error, deaf).toMatchObject({ code: deaf === 'acquireLease' ? 'INTERRUPTED' : 'STATE_LEASE_LOST' });
    }
  });

  it('that died between a failure and the end of another step is followed by one that ends it', async () => {
    const made = world({ a: ['refused'], b: ['slowly'] }, 5_000);
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b')]));
    const first = run(id, made.verbs());
    await until(async () => (await status(id)) === 'failed' && made.calls.includes('b'));
    first.stop.abort();
    await until(() => first.ended !== undefined);
    expect(await findResumable(store, () => {})).toEqual([id]);
    const second = run(id, made.verbs(), { holder: 'two' });
    await until(() => second.ended !== undefined);
    expect((await step(id, 'b')).status).toBe('done');
    expect(await findResumable(store, () => {})).toEqual([]);
  });

  it('whose journal was appended to by another stops as not the runner any more', async () => {
    const made = world({ a: ['slowly'] }, 2_000);
    const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]));
    const running = run(id, made.verbs());
    await until(async () => (await types(id)).includes('step-applied a'));
    await store.commit([{ kind: 'put', key: journalKeys.event(id, 4), value: { foreign: true }, expected: 'any' }]);
    await until(() => running.ended !== undefined);
    expect(running.ended?.error).toMatchObject({ code: 'STATE_LEASE_LOST' });
    expect(made.calls).toEqual(['a']);
  });

  it('a commit with an unknown outcome is read back: written once, whether it had been or not', async () => {
    for (const written of [true, false]) {
      let count = 0;
      const made = world();
      const id = await create(madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]));
      const unsure = {
        ...store,
        commit: async (changes: Parameters<typeof store.commit>[0]) => {
          count += 1;
          if (count === 2) {
            if (written) await store.commit(changes);
            throw fail('SYSTEM_OUTCOME_UNKNOWN');
          }
          return store.commit(changes);
        },
      };
      const running = run(id, made.verbs(), { store: unsure });
      await until(() => running.ended !== undefined);
      expect(running.ended?.state?.outcome).toBe('done');
      expect(made.calls).toEqual(['a', 'b']);
    }
  });

  it('a full disk stops everything with its name and starts nothing', async () => {
    const made = world();
    const id = await create(madeUpPlan([madeUpStep('a')]));
    const full = {
      ...store,
      commit: async () => {
        throw fail('STATE_FULL');
      },
    };
    const running = run(id, made.verbs(), { store: full });
    await until(() => running.ended !== undefined);
    expect(running.ended?.error).toMatchObject({ code: 'STATE_FULL' });
    expect(made.calls).toEqual([]);
  });

  it('[X-02] a step whose intent is there and whose end is not is inspected first by the next runner', async () => {
    const order: string[] = [];
    const made = world();
    const base = made.verbs().resolve(madeUpStep('a') as Step);
    const verb: Verb = {
      inspect: (want, context) => {
        order.push('inspect');
        return base.inspect(want, context);
      },
      apply: async (want, context) => {
        order.push('apply');
        await base.apply(want, context);
        first.stop.abort();
        await never();
      },
    };
    const id = await create(madeUpPlan([madeUpStep('a')]));
    const first = run(id, { resolve: () => verb });
    await until(() => first.ended !== undefined);
    await until(async () => (await store.readLease(journalKeys.lease(id)))?.held === false);
    const second = run(id, { resolve: () => verb }, { holder: 'two' });
    await until(() => second.ended !== undefined);
    expect(order).toEqual(['inspect', 'apply', 'inspect']);
    expect(second.ended?.state).toMatchObject({ outcome: 'done' });
    expect(await step(id, 'a')).toMatchObject({ effect: 'adopted', mayHaveTakenEffect: true });
  });
});
