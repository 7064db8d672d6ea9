import { beforeEach, describe, expect, it } from 'vitest';
import { madeUpPlan, madeUpStep } from '../../test/engine/fake-platform.ts';
import { type FakeHost, fakeHost } from '../../test/fakes/host.ts';
import { memoryState } from '../../test/fakes/memory-store.ts';
import { fail, type HoldfastError } from '../base/errors.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { createExecution, journalKeys, loadExecution } from './journal.ts';
import type { EventBody } from './journal-events.ts';
import { JournalWriter } from './journal-writer.ts';

let host: FakeHost;
let store: StateStore;
let id: string;
let durable: string[];
let broken: HoldfastError[];

beforeEach(async () => {
  host = fakeHost();
  store = memoryState(host.clock).open();
  durable = [];
  broken = [];
  id = (await createExecution(store, host, { plan: madeUpPlan([madeUpStep('a')]), startedBy: 'ann', reason: '', specDigest: '' })).id;
});

const started: EventBody = { type: 'started', data: { holder: 'one', token: 1 } };
const remark = (text: string): EventBody => ({ type: 'remark', data: { by: 'ann', text } });

async function writer(over: Partial<StateStore> = {}): Promise<JournalWriter> {
  const lease = await store.acquireLease(journalKeys.lease(id), 'one', 5_000);
  return new JournalWriter({
    store: { ...store, ...over },
    clock: host.clock,
    execution: await loadExecution(store, id),
    lease: () => lease,
    onDurable: (event) => void durable.push(event.type === 'remark' ? event.data.text : event.type),
    onBroken: (error) => void broken.push(error),
  });
}

describe('the journal writer', () => {
  it('is ahead of the store in its state, and tells events in order once they are durable', async () => {
    const made = await writer();
    const first = made.append([started]);
    void made.append([remark('one'), remark('two')]);
    expect(made.state.lastSeq).toBe(3);
    expect(durable).toEqual([]);
    await first;
    expect(durable).toEqual(['started', 'one', 'two']);
    expect((await loadExecution(store, id)).state).toEqual(made.state);
  });

  it('puts what comes together, or during a commit, into one commit', async () => {
    let commits = 0;
    const made = await writer({
      commit: async (changes) => {
        commits += 1;
        await host.clock.sleep(1);
        return store.commit(changes);
      },
    });
    void made.append([started]);
    void made.append([remark('together')]);
    await host.clock.advance(0);
    for (let count = 0; count < 10; count += 1) void made.append([remark(`${count}`)]);
    await host.clock.advance(5);
    expect(commits).toBe(2);
    expect(durable).toHaveLength(12);
  });

  it('lets what nothing waits for ride along, or go by itself soon', async () => {
    const made = await writer();
    made.appendSoon([started]);
    await host.clock.advance(1);
    expect(durable).toEqual([]);
    await made.append([remark('one')]);
    expect(durable).toEqual(['started', 'one']);
    made.appendSoon([remark('two')]);
    await host.clock.advance(100);
    expect(durable).toEqual(['started', 'one', 'two']);
  });

  it('breaks once the lease is gone, and appends nothing more', async () => {
    const made = await writer();
    await made.append([started]);
    await host.clock.advance(5_001);
    await expect(made.append([remark('late')])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    await expect(made.append([remark('later')])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    expect(broken).toHaveLength(1);
    expect((await loadExecution(store, id)).state.lastSeq).toBe(1);
  });

  it('breaks when its number is taken by another', async () => {
    const made = await writer();
    await store.commit([{ kind: 'put', key: journalKeys.event(id, 1), value: { hash: 'other' }, expected: 'absent' }]);
    await expect(made.append([started])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
  });

  it('waits out a locked store while the lease lasts, and not longer', async () => {
    let locked = true;
    const made = await writer({
      commit: async (changes) => {
        if (locked) throw fail('STATE_LOCKED');
        return store.commit(changes);
      },
    });
    const first = made.append([started]);
    await host.clock.advance(1_000);
    locked = false;
    await host.clock.advance(500);
    await first;
    locked = true;
    const second = made.append([remark('never')]);
    const rejected = expect(second).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    await host.clock.advance(5_000);
    await rejected;
  });

  it('refuses an event that can not follow, at once', async () => {
    const made = await writer();
    expect(() => made.append([{ type: 'step-done', stepId: 'a', data: { output: {}, tookMs: 0, effect: 'applied' } }])).toThrow(
      /can not stand/,
    );
  });
});
