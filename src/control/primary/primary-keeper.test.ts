import { describe, expect, it } from 'vitest';
import { GuardedRegion, type GuardedRegionOptions } from '../../../test/fakes/guarded-region.ts';
import { fakeClock } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import { advanceEpoch, ensurePlatformState, setActiveRegion } from '../../state/platform-state.ts';
import { readLeaseProof } from './lease-proof.ts';
import { primaryKeys, readGuardRecord } from './primary-records.ts';

async function start(options: Partial<GuardedRegionOptions> = {}) {
  const clock = fakeClock(Date.UTC(2026, 0, 1));
  const store = memoryState(clock).open();
  await ensurePlatformState(store, 'orders', 'east');
  const east = new GuardedRegion({ region: 'east', clock, store, serving: true, ...options });
  east.keeper.start();
  await clock.advance(1_500);
  const bar = (epoch = 2) =>
    store.commit([
      { kind: 'put', key: primaryKeys.bar('east'), value: { epoch, execution: 'failover-1', atMs: clock.nowMs() }, expected: 'any' },
    ]);
  const prove = (epoch = 2) => readLeaseProof(store, { region: 'east', component: 'orders', epoch }, () => clock.nowMs());
  const isFree = async () => (await store.readLease('primary/east'))?.held !== true;
  return { clock, store, east, bar, prove, isFree };
}

/** The instant at which the lease is seen free for the first time, and whether the store still served then. */
async function whenFree({ clock, east, isFree }: Awaited<ReturnType<typeof start>>, maxMs = 20_000) {
  for (let waitedMs = 0; waitedMs < maxMs; waitedMs += 10) {
    if (await isFree()) return { freeAtMs: clock.monotonicMs(), serving: east.serving };
    await clock.advance(10);
  }
  throw new Error(`the lease is still held after ${maxMs} ms`);
}

describe('the keeper of a primary lease', () => {
  it('holds the lease of the active region, arms its guard, and names what is covered under the token', async () => {
    const { clock, store, east } = await start();
    expect(east.keeper.state).toBe('held');
    const lease = await store.readLease('primary/east');
    expect(lease).toMatchObject({ held: true, holder: 'holder-of-east' });
    expect((await readGuardRecord(store, 'east'))?.record).toMatchObject({
      token: lease?.token,
      components: ['orders'],
      ttlMs: 5_000,
      marginMs: 1_000,
    });
    await clock.advance(60_000);
    expect(east.serving).toBe(true);
    expect(east.keeper.state).toBe('held');
    expect(east.guardsStarted).toBe(1);
  });

  it('never holds the lease of a region that is not the active one', async () => {
    const clock = fakeClock(0);
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'west');
    const east = new GuardedRegion({ region: 'east', clock, store });
    east.keeper.start();
    await clock.advance(10_000);
    expect(east.keeper.state).toBe('idle');
    expect(await store.readLease('primary/east')).toBeUndefined();
    expect(east.guardsStarted).toBe(0);
  });

  it.each([
    ['the controller is killed', (east: GuardedRegion) => east.killController()],
    ['the controller is frozen', (east: GuardedRegion) => east.controller.freeze()],
    [
      'the state is cut off',
      (east: GuardedRegion) => {
        east.way.state = 'cut';
      },
    ],
    [
      'answers of the state are lost',
      (east: GuardedRegion) => {
        east.way.state = 'deaf';
      },
    ],
  ])('is fenced before its lease is over when %s', async (_name, disturb) => {
    const world = await start();
    disturb(world.east);
    const { freeAtMs, serving } = await whenFree(world, 30_000);
    expect(serving).toBe(false);
    expect(world.east.fencedAtMs).toBeLessThanOrEqual(freeAtMs);
    await world.bar();
    expect(await world.prove()).toMatchObject({ proof: 'lease-expired' });
  });

  it('goes on without a gap when its controller dies and is started again within the time', async () => {
    const { clock, store, east } = await start();
    const before = await store.readLease('primary/east');
    east.killController();
    await clock.advance(2_000);
    east.restartController();
    await clock.advance(20_000);
    expect(east.serving).toBe(true);
    expect(east.guardsStarted).toBe(1);
    expect(await store.readLease('primary/east')).toMatchObject({ token: before?.token, held: true });
  });

  it('does nothing any more in a controller that was frozen and whose guard another one has taken over', async () => {
    const { clock, east, store } = await start();
    const frozen = { keeper: east.keeper, process: east.controller };
    frozen.process.freeze();
    await clock.advance(1_000);
    east.restartController();
    await clock.advance(1_500);
    frozen.process.thaw();
    await clock.advance(20_000);
    expect(frozen.keeper.state).toBe('away');
    expect(east.keeper.state).toBe('held');
    expect(east.serving).toBe(true);
    expect(await store.readLease('primary/east')).toMatchObject({ held: true });
  });

  it('fences at once when a bar appears, then gives the lease up, and never takes it again', async () => {
    const world = await start();
    const { clock, bar, prove, store, east } = world;
    await bar();
    await clock.advance(400);
    expect(east.serving).toBe(false);
    expect(await world.isFree()).toBe(true);
    expect(await prove()).toMatchObject({ proof: 'lease-expired' });
    await clock.advance(30_000);
    expect(await prove()).toMatchObject({ proof: 'lease-expired' });
    expect((await store.readLease('primary/east'))?.held).toBe(false);
  });

  it('sees a bar that was put between its taking of the lease and its look', async () => {
    const clock = fakeClock(0);
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    let barred = false;
    const racing: typeof store = {
      ...store,
      acquireLease: async (...given) => {
        const lease = await store.acquireLease(...given);
        if (!barred) {
          barred = true;
          await store.commit([
            { kind: 'put', key: primaryKeys.bar('east'), value: { epoch: 2, execution: 'x', atMs: 0 }, expected: 'absent' },
          ]);
        }
        return lease;
      },
    };
    const east = new GuardedRegion({ region: 'east', clock, store: racing, serving: true });
    east.keeper.start();
    await clock.advance(3_000);
    expect(barred).toBe(true);
    expect(await readGuardRecord(store, 'east')).toBeUndefined();
    expect((await store.readLease('primary/east'))?.held).toBe(false);
    // It serves, and nothing covers it: no proof may be read from the free lease. That it serves behind a bar is ended all the same.
    expect(east.serving).toBe(false);
  });

  it('replaces a guard that dies or freezes, without a gap', async () => {
    const { clock, east } = await start();
    east.killGuard();
    await clock.advance(3_000);
    expect(east.guardsStarted).toBe(2);
    expect(east.keeper.state).toBe('held');
    east.guard?.process.freeze();
    await clock.advance(4_000);
    expect(east.guardsStarted).toBe(3);
    expect(east.keeper.state).toBe('held');
    await clock.advance(20_000);
    expect(east.serving).toBe(true);
  });

  it('fences by itself where the guard is frozen when it is needed', async () => {
    const world = await start();
    world.east.way.state = 'cut';
    await world.clock.advance(2_900);
    world.east.guard?.process.freeze();
    const { serving } = await whenFree(world);
    expect(serving).toBe(false);
  });

  it('bids farewell in an orderly way: nothing can rest on the end of the lease, and nothing is fenced', async () => {
    const { clock, store, east, bar, prove } = await start();
    const stopping = east.keeper.stop();
    await clock.advance(100);
    await stopping;
    expect((await store.readLease('primary/east'))?.held).toBe(false);
    await bar();
    expect(await prove()).toMatchObject({ mayCome: false });
    await clock.advance(20_000);
    expect(east.serving).toBe(true);
  });

  it('leaves itself to the guard where the farewell can not be written down', async () => {
    const world = await start();
    world.east.way.state = 'cut';
    const stopping = world.east.keeper.stop();
    await world.clock.advance(100);
    await stopping;
    expect((await whenFree(world)).serving).toBe(false);
  });

  it('goes quietly once a planned change has led away', async () => {
    const { clock, store, east } = await start();
    await advanceEpoch(store, 2, 'switchover-1', 'west');
    await clock.advance(1_500);
    expect(east.keeper.state).toBe('held');
    // As the plan's own fence leaves it.
    east.serving = false;
    await setActiveRegion(store, 2, 'west', clock.nowMs());
    await clock.advance(2_500);
    expect(east.keeper.state).toBe('idle');
    expect((await store.readLease('primary/east'))?.held).toBe(false);
    expect((await readGuardRecord(store, 'east'))?.record.components).toEqual([]);
  });

  it('ends a former primary that comes back by itself, and spares one that an execution has just promoted', async () => {
    const { clock, store, east, bar } = await start();
    await bar();
    await clock.advance(2_000);
    await advanceEpoch(store, 2, 'failover-1', 'west');
    await setActiveRegion(store, 2, 'west', clock.nowMs());
    await clock.advance(2_000);
    east.serving = true;
    await clock.advance(2_500);
    expect(east.serving).toBe(false);
    // A switchover leads back: the promotion comes before the record of the active region.
    await store.commit([{ kind: 'delete', key: primaryKeys.bar('east'), expected: 'any' }]);
    await advanceEpoch(store, 3, 'switchover-2', 'east');
    east.serving = true;
    await clock.advance(3_000);
    await setActiveRegion(store, 3, 'east', clock.nowMs());
    await clock.advance(3_000);
    expect(east.serving).toBe(true);
    expect(east.keeper.state).toBe('held');
  });

  it('holds nothing where a fence takes longer than the lease allows, and says so', async () => {
    const { store, east } = await start({ ttlMs: 2_000, renewEveryMs: 1_000 });
    expect(east.keeper.state).toBe('idle');
    expect(await store.readLease('primary/east')).toBeUndefined();
  });

  it('takes the lease once a fence is quick again: a slow moment keeps the region from it for no longer than a turn and a trial', async () => {
    const clock = fakeClock(Date.UTC(2026, 0, 1));
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    const east = new GuardedRegion({ region: 'east', clock, store, serving: true, ttlMs: 3_000, renewEveryMs: 1_000 });
    east.lookMs = 264;
    east.keeper.start();
    await clock.advance(10_000);
    expect(east.keeper.state).toBe('idle');
    expect(await store.readLease('primary/east')).toBeUndefined();
    east.lookMs = 0;
    await clock.advance(2_000);
    expect(east.keeper.state).toBe('held');
    expect((await readGuardRecord(store, 'east'))?.record).toMatchObject({ marginMs: 600, triedMs: 0 });
    expect(east.guardsStarted).toBe(1);
  });

  it('tries the hands again a minute after a slow trial, under the lease that it holds, and shortens the margin without a gap', async () => {
    const clock = fakeClock(Date.UTC(2026, 0, 1));
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    const east = new GuardedRegion({ region: 'east', clock, store, serving: true });
    east.lookMs = 264;
    east.keeper.start();
    await clock.advance(3_000);
    const before = await readGuardRecord(store, 'east');
    expect(before?.record).toMatchObject({ marginMs: 6 * 264 + 250, components: ['orders'] });
    east.lookMs = 0;
    await clock.advance(50_000);
    expect((await readGuardRecord(store, 'east'))?.revision).toBe(before?.revision);
    await clock.advance(15_000);
    const after = await readGuardRecord(store, 'east');
    expect(after?.record).toMatchObject({ marginMs: 1_000, token: before?.record.token, components: ['orders'] });
    expect([east.keeper.state, east.serving, east.guardsStarted]).toEqual(['held', true, 1]);
  });

  it('a guard that takes the place of another one and finds the hands slow is armed earlier, by the margin that it needs', async () => {
    const world = await start();
    world.east.lookMs = 264;
    world.east.killGuard();
    await world.clock.advance(4_000);
    expect((await readGuardRecord(world.store, 'east'))?.record.marginMs).toBe(6 * 264 + 250);
    world.east.killController();
    const { freeAtMs, serving } = await whenFree(world);
    expect(serving).toBe(false);
    expect(freeAtMs - (world.east.fencedAtMs ?? 0)).toBeGreaterThan(1_000);
  });

  it('covers nothing whose hands do not work', async () => {
    const clock = fakeClock(0);
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    const east = new GuardedRegion({ region: 'east', clock, store, serving: true });
    east.handsBroken = true;
    east.keeper.start();
    await clock.advance(2_000);
    expect((await readGuardRecord(store, 'east'))?.record.components).toEqual([]);
    await store.commit([{ kind: 'put', key: primaryKeys.bar('east'), value: { epoch: 2, execution: 'x', atMs: 0 }, expected: 'absent' }]);
    await clock.advance(10_000);
    const proof = await readLeaseProof(store, { region: 'east', component: 'orders', epoch: 2 }, () => 0);
    expect(proof).toMatchObject({ mayCome: false });
  });
});
