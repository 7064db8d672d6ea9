import { beforeEach, describe, expect, it } from 'vitest';
import { madeUpPlan, madeUpStep } from '../../test/engine/fake-platform.ts';
import { type FakeHost, fakeHost } from '../../test/fakes/host.ts';
import { memoryState } from '../../test/fakes/memory-store.ts';
import type { Json } from '../base/json.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { foldExecution, stepState } from './execution-state.ts';
import { appendEvent, createExecution, eventChange, journalKeys, listExecutions, loadExecution, watchExecution } from './journal.ts';
import { type EventBody, type JournalEvent, sealEvent } from './journal-events.ts';
import { requestPause, requestRemark, waitForAnswer } from './requests.ts';

let host: FakeHost;
let store: StateStore;
let id: string;

beforeEach(async () => {
  host = fakeHost();
  store = memoryState(host.clock).open();
  const plan = madeUpPlan([madeUpStep('a'), madeUpStep('b', { after: ['a'] })]);
  id = (await createExecution(store, host, { plan, startedBy: 'ann', reason: 'a test', specDigest: 'abc' })).id;
});

const runner = { holder: 'one', token: 1 };
const intent: EventBody = { type: 'step-intent', stepId: 'a', data: { want: {}, attempt: 1 } };
const done: EventBody = { type: 'step-done', stepId: 'a', data: { output: { position: 5 }, tookMs: 3, effect: 'applied' } };
const story: readonly EventBody[] = [
  { type: 'started', data: runner },
  intent,
  { type: 'step-applied', stepId: 'a', data: { tookMs: 1 } },
  done,
];

async function write(bodies: readonly EventBody[]): Promise<readonly JournalEvent[]> {
  const { state } = await loadExecution(store, id);
  let previous = { seq: state.lastSeq, hash: state.lastHash };
  const events: JournalEvent[] = [];
  for (const body of bodies) {
    const event = sealEvent(body, previous, host.clock.nowMs());
    await store.commit([eventChange(id, event)]);
    events.push(event);
    previous = event;
  }
  return events;
}

async function overwrite(key: string, change: (value: Record<string, Json>) => Json): Promise<void> {
  const entry = await store.get(key);
  await store.commit([{ kind: 'put', key, value: change(structuredClone(entry?.value) as Record<string, Json>), expected: 'any' }]);
}

describe('the journal', () => {
  it('folds to the same state wherever it is read', async () => {
    await write(story);
    const { header, events, state } = await loadExecution(store, id);
    expect(foldExecution(header, events)).toEqual(state);
    expect(state.status).toBe('running');
    expect(stepState(state, 'a')).toMatchObject({ status: 'done', output: { position: 5 }, effect: 'applied', attempts: 1 });
  });

  it('[X-03] is damaged when an event is changed, left out, exchanged or follows another plan', async () => {
    const events = await write(story);
    const damages: readonly (() => Promise<unknown>)[] = [
      () => overwrite(journalKeys.event(id, 4), (value) => ({ ...value, data: { output: { position: 6 }, tookMs: 3, effect: 'applied' } })),
      () => overwrite(journalKeys.event(id, 2), (value) => ({ ...value, atMs: 1 })),
      () => store.commit([{ kind: 'delete', key: journalKeys.event(id, 3), expected: 'any' }]),
      () => overwrite(journalKeys.event(id, 4), () => sealEvent(done, events[1] as JournalEvent, 0) as unknown as Json),
      () => overwrite(journalKeys.header(id), (value) => ({ ...value, startedBy: 'mallory' })),
    ];
    const whole = await store.range('executions/');
    for (const damage of damages) {
      await damage();
      await expect(loadExecution(store, id)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
      await store.commit(whole.map((entry) => ({ kind: 'put', key: entry.key, value: entry.value, expected: 'any' })));
      await loadExecution(store, id);
    }
  });

  it.each<readonly [string, readonly EventBody[]]>([
    ['an end without an intent', [{ type: 'started', data: runner }, done]],
    [
      'an effect without an intent',
      [
        { type: 'started', data: runner },
        { type: 'step-applied', stepId: 'a', data: { tookMs: 1 } },
      ],
    ],
    ['a second end', [...story, done]],
    ['an intent of a step that is done', [...story, intent]],
    ['a step that the plan does not have', [{ type: 'started', data: runner }, { ...intent, stepId: 'z' } as EventBody]],
    [
      'a second start',
      [
        { type: 'started', data: runner },
        { type: 'started', data: runner },
      ],
    ],
    ['an undo without a roll-back', [...story, { type: 'undo-intent', stepId: 'a', data: { want: {}, attempt: 1 } }]],
    ['a step begun while rolling back', [{ type: 'started', data: runner }, { type: 'rolling-back', data: { because: 'x' } }, intent]],
    [
      'a step after the end',
      [{ type: 'started', data: runner }, { type: 'finished', data: { outcome: 'aborted', tookMs: 1, failedSteps: [] } }, intent],
    ],
    [
      'a running step that is skipped',
      [{ type: 'started', data: runner }, intent, { type: 'step-skipped', stepId: 'a', data: { by: 'ann', reason: 'x' } }],
    ],
  ])('is damaged by %s', async (_name, bodies) => {
    await write(bodies);
    await expect(loadExecution(store, id)).rejects.toMatchObject({
      code: 'STATE_DAMAGED',
      message: expect.stringContaining('can not stand'),
    });
  });

  it('tells an execution that died inside a step from one that did not begin it', async () => {
    await write([{ type: 'started', data: runner }, intent, { type: 'runner-changed', data: { holder: 'two', token: 2 } }]);
    const { state } = await loadExecution(store, id);
    expect(stepState(state, 'a')).toMatchObject({ status: 'running', mayHaveTakenEffect: true });
    expect(stepState(state, 'b')).toMatchObject({ status: 'waiting', mayHaveTakenEffect: false });
  });

  it('refuses plans whose graph can not be run', async () => {
    const impossible = [
      madeUpPlan([madeUpStep('a'), madeUpStep('a')]),
      madeUpPlan([madeUpStep('a', { after: ['z'] })]),
      madeUpPlan([madeUpStep('a', { after: ['b'] }), madeUpStep('b', { after: ['a'] })]),
      madeUpPlan([madeUpStep('a')], { parallel: 0 }),
    ];
    for (const plan of impossible) {
      await expect(createExecution(store, host, { plan, startedBy: 'ann', reason: '', specDigest: '' })).rejects.toMatchObject({
        code: 'PLAN_IMPOSSIBLE',
      });
    }
  });

  it('is created with what must be claimed together with it, or not at all', async () => {
    const plan = madeUpPlan([madeUpStep('a')]);
    const claim = {
      plan,
      startedBy: 'ann',
      reason: '',
      specDigest: '',
      alongside: [{ kind: 'put', key: 'claim', value: 1, expected: 'absent' }] as const,
    };
    await createExecution(store, host, claim);
    await expect(createExecution(store, host, claim)).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
    expect(await listExecutions(store)).toHaveLength(2);
  });

  it('lists a damaged execution among the others', async () => {
    await write(story);
    await overwrite(journalKeys.event(id, 2), () => ({ seq: 2 }));
    expect((await listExecutions(store)).map((one) => one.status)).toEqual(['failed']);
  });

  it('takes measurements and remarks also after the end, under the lease', async () => {
    await write([
      { type: 'started', data: runner },
      { type: 'finished', data: { outcome: 'done', tookMs: 1, failedSteps: [] } },
    ]);
    await appendEvent(store, host.clock, id, 'reporter', { type: 'measured', data: { lostRows: 0 } });
    expect((await loadExecution(store, id)).state).toMatchObject({ outcome: 'done', measured: [{ lostRows: 0 }] });
    await store.acquireLease(journalKeys.lease(id), 'somebody', 5_000);
    await expect(appendEvent(store, host.clock, id, 'reporter', { type: 'measured', data: {} })).rejects.toMatchObject({
      code: 'STATE_LEASE_HELD',
    });
  });
});

describe('watching', () => {
  it('tells the state now and then each event once, in order', async () => {
    await write(story.slice(0, 2));
    const seen: (number | undefined)[] = [];
    const stop = await watchExecution(store, id, (_state, event) => void seen.push(event?.seq));
    await write(story.slice(2));
    await host.clock.advance(0);
    stop();
    await write([{ type: 'remark', data: { by: 'ann', text: 'after' } }]);
    await host.clock.advance(0);
    expect(seen).toEqual([undefined, 3, 4]);
  });

  it('ends with an error when the journal is damaged', async () => {
    const errors: Error[] = [];
    await watchExecution(
      store,
      id,
      () => {},
      (error) => void errors.push(error),
    );
    await store.commit([{ kind: 'put', key: journalKeys.event(id, 1), value: { seq: 1 }, expected: 'absent' }]);
    await host.clock.advance(0);
    expect(errors).toMatchObject([{ code: 'STATE_DAMAGED' }]);
  });
});

describe('requests', () => {
  it('wait for an answer, and say so when none came in time', async () => {
    const requestId = await requestPause(store, host, id, 'ann');
    let ended: unknown;
    waitForAnswer(store, host, id, requestId, 1_000).catch((error: unknown) => {
      ended = error;
    });
    await host.clock.advance(1_100);
    expect(ended).toMatchObject({ code: 'TIMED_OUT' });
    const answered = waitForAnswer(store, host, id, requestId, 1_000);
    await write([{ type: 'requested', data: { requestId, request: { kind: 'pause', by: 'ann' }, accepted: false, why: 'no' } }]);
    expect(await answered).toMatchObject({ accepted: false, why: 'no' });
  });

  it('need a name', async () => {
    await expect(requestRemark(store, host, id, '  ', 'hello')).rejects.toMatchObject({ code: 'USAGE' });
  });
});
