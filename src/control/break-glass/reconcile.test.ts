import { describe, expect, it } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import type { Site } from '../../contracts/driver.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import { advanceEpoch, ensurePlatformState, readPlatformState, setActiveRegion } from '../../state/platform-state.ts';
import { primaryKeys } from '../primary/primary-records.ts';
import { beginBreakGlass } from './begin-break-glass.ts';
import { readBreakGlass } from './break-glass-record.ts';
import { findEpochs } from './find-epochs.ts';
import { reconcile } from './reconcile.ts';

const clock = fakeClock(Date.UTC(2026, 0, 1));
const nowMs = clock.nowMs();

const request = {
  id: 'break-glass-1',
  platform: 'orders',
  from: 'east',
  to: 'west',
  by: 'ann',
  fencedBy: 'bob',
  because: 'etcd burnt down',
  atMs: nowMs,
  lastKnown: [{ key: 'platform', value: { platform: 'orders', activeRegion: 'east', epoch: 4 }, revision: 9 }],
  epochs: { found: { 'orders-db@west': 3 }, silent: { 'orders-db@east': 'no answer' }, highest: 3 },
};

/** As a failover without the shared state leaves it. */
async function failedOver(): Promise<StateStore> {
  const local = memoryState(clock).open();
  const { baseEpoch } = await beginBreakGlass(local, request);
  await advanceEpoch(local, baseEpoch + 1, 'failover-1', 'west');
  await setActiveRegion(local, baseEpoch + 1, 'west', nowMs);
  await local.commit([
    { kind: 'put', key: 'executions/failover-1', value: { id: 'failover-1' }, expected: 'absent' },
    { kind: 'put', key: 'executions/failover-1/events/00000001', value: { seq: 1 }, expected: 'absent' },
    { kind: 'put', key: 'execution-index/000000000000001-failover-1', value: { id: 'failover-1' }, expected: 'absent' },
  ]);
  return local;
}

async function shared(epoch = 4, activeRegion = 'east'): Promise<StateStore> {
  const store = memoryState(clock).open();
  await ensurePlatformState(store, 'orders', activeRegion);
  for (let next = 2; next <= epoch; next += 1) await advanceEpoch(store, next, `earlier-${next}`, activeRegion);
  return store;
}

describe('a failover without the shared state', () => {
  it('works under an epoch above everything that was found, with a gap before it, and writes down who vouched', async () => {
    const local = memoryState(clock).open();
    const record = await beginBreakGlass(local, { ...request, toldEpoch: 1_007 });
    expect(record).toMatchObject({ highestFound: 1_007, baseEpoch: 2_000, fencedBy: 'bob', silent: { 'orders-db@east': 'no answer' } });
    expect((await readPlatformState(local))?.state).toMatchObject({ activeRegion: 'east', epoch: 2_000 });
    await expect(beginBreakGlass(local, request)).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
  });

  it('comes into the shared state with its journal, its epoch and its bar; once', async () => {
    const local = await failedOver();
    const store = await shared();
    const done = await reconcile(local, store, nowMs);
    expect(done).toMatchObject({
      activeRegion: 'west',
      epoch: 1_001,
      before: { activeRegion: 'east', epoch: 4 },
      executions: ['failover-1'],
    });
    expect((await readPlatformState(store))?.state).toMatchObject({ activeRegion: 'west', epoch: 1_001, epochOwner: 'failover-1' });
    expect((await store.get('executions/failover-1/events/00000001'))?.value).toEqual({ seq: 1 });
    expect((await store.get('break-glasses/break-glass-1'))?.value).toMatchObject({ fencedBy: 'bob' });
    expect((await store.get(primaryKeys.bar('east')))?.value).toMatchObject({ epoch: 1_001 });
    expect((await readBreakGlass(local))?.record.reconciledAtMs).toBe(nowMs);
    await expect(reconcile(local, store, nowMs)).rejects.toMatchObject({ code: 'EXECUTION_NOT_ALLOWED' });
  });

  it('comes into a new, empty shared state', async () => {
    const store = memoryState(clock).open();
    expect(await reconcile(await failedOver(), store, nowMs)).toMatchObject({ activeRegion: 'west', epoch: 1_001 });
    expect((await readPlatformState(store))?.state).toMatchObject({ activeRegion: 'west', epoch: 1_001 });
  });

  it('goes on after a death between its two commits', async () => {
    const local = await failedOver();
    const store = await shared();
    const dying: StateStore = { ...local, commit: () => Promise.reject(new Error('killed')) };
    await expect(reconcile(dying, store, nowMs)).rejects.toThrow('killed');
    expect(await reconcile(local, store, nowMs)).toMatchObject({ activeRegion: 'west', epoch: 1_001 });
  });

  it.each<[string, () => Promise<StateStore>]>([
    ['went on beyond its epoch', () => shared(1_100)],
    ['had another region active', () => shared(4, 'north')],
    [
      'made the region that was left active anew',
      async () => {
        const store = await shared(5, 'east');
        await advanceEpoch(store, 6, 'later', 'north');
        await setActiveRegion(store, 6, 'north', nowMs + 1_000);
        await advanceEpoch(store, 7, 'later-still', 'east');
        await setActiveRegion(store, 7, 'east', nowMs + 2_000);
        return store;
      },
    ],
    [
      'still has a failover under way',
      async () => {
        const store = await shared();
        await store.commit([{ kind: 'put', key: 'execution-open/failover-0', value: {}, expected: 'absent' }]);
        return store;
      },
    ],
  ])('is refused, and nothing is changed, where the shared state %s', async (_name, open) => {
    const local = await failedOver();
    const store = await open();
    const before = await readPlatformState(store);
    await expect(reconcile(local, store, nowMs)).rejects.toMatchObject({ kind: 'refused' });
    expect(await readPlatformState(store)).toEqual(before);
    expect((await readBreakGlass(local))?.record.reconciledAtMs).toBeUndefined();
  });
});

describe('the epochs that systems carry', () => {
  it('are read from those that answer in time; the others are named', async () => {
    const virtual = fakeClock(0);
    const site = (readEpoch?: Site['readEpoch']) => ({ readEpoch }) as Site;
    const reading = findEpochs(
      new Map([
        ['db@east', site(() => new Promise(() => {}))],
        ['db@west', site(async () => 7)],
        ['name@west', site(async () => undefined)],
        ['files@west', site()],
        ['cache@west', site(() => Promise.reject(new Error('refused')))],
      ] as [`${string}@${string}`, Site][]),
      virtual,
      1_000,
    );
    await virtual.advance(1_000);
    expect(await reading).toEqual({
      found: { 'db@west': 7 },
      silent: { 'db@east': 'no answer within 1000 ms', 'cache@west': expect.stringContaining('refused') },
      highest: 7,
    });
  });
});
