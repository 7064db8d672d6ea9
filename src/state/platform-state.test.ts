import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeClock } from '../../test/fakes/host.ts';
import { memoryState } from '../../test/fakes/memory-store.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { advanceEpoch, ensurePlatformState, readPlatformState, setActiveRegion } from './platform-state.ts';

const fresh = () => memoryState(fakeClock(0));

/** A store whose every call takes its turn in an order that the test draws. */
function slowly(store: StateStore, turn: () => Promise<void>): StateStore {
  return {
    ...store,
    get: async (key) => {
      await turn();
      return store.get(key);
    },
    commit: async (changes) => {
      await turn();
      return store.commit(changes);
    },
  };
}

describe('the record of the active region', () => {
  it('is made once, by whoever comes first', async () => {
    const state = fresh();
    const made = await Promise.all(['east', 'west', 'east'].map((region) => ensurePlatformState(state.open(), 'orders', region)));
    expect(new Set(made.map((entry) => entry.state.activeRegion))).toEqual(new Set(['east']));
    expect(made[0]?.state).toEqual({ platform: 'orders', activeRegion: 'east', epoch: 1 });
  });
  it('of another platform is refused', async () => {
    const store = fresh().open();
    await ensurePlatformState(store, 'orders', 'east');
    await expect(ensurePlatformState(store, 'billing', 'east')).rejects.toMatchObject({ code: 'STATE_OTHER_PLATFORM' });
  });
  it('that can not be understood is damage, not a fresh start', async () => {
    const store = fresh().open();
    await store.commit([{ kind: 'put', key: 'platform', value: { platform: 'orders', epoch: 'two' }, expected: 'absent' }]);
    await expect(readPlatformState(store)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
  });
  it('takes each epoch once: again by its owner is nothing new, by another it is refused', async () => {
    const store = fresh().open();
    await ensurePlatformState(store, 'orders', 'east');
    await advanceEpoch(store, 2, 'failover-a', 'west');
    const before = await readPlatformState(store);
    await advanceEpoch(store, 2, 'failover-a', 'west');
    expect(await readPlatformState(store)).toEqual(before);
    await expect(advanceEpoch(store, 2, 'failover-b', 'west')).rejects.toMatchObject({ code: 'EXECUTION_NOT_ALLOWED' });
    await expect(advanceEpoch(store, 4, 'failover-b', 'west')).rejects.toMatchObject({ code: 'EXECUTION_NOT_ALLOWED' });
    await expect(setActiveRegion(store, 1, 'west', 5)).rejects.toMatchObject({ code: 'EXECUTION_NOT_ALLOWED' });
    await setActiveRegion(store, 2, 'west', 5);
    expect((await readPlatformState(store))?.state).toMatchObject({ activeRegion: 'west', epoch: 2, changedAtMs: 5 });
    await setActiveRegion(store, 2, 'west', 9);
    expect((await readPlatformState(store))?.state.changedAtMs).toBe(5);
  });

  it('the epoch only grows, and no two executions own the same one, however they meet', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(fc.nat(3), { minLength: 2, maxLength: 8 }), async (scheduler, attempts) => {
        const state = fresh();
        const watcher = state.open();
        await ensurePlatformState(watcher, 'orders', 'east');
        const seen: { epoch: number; owner: string | undefined }[] = [];
        watcher.watch('platform', (event) => {
          const value = event.value as { epoch: number; epochOwner?: string };
          seen.push({ epoch: value.epoch, owner: value.epochOwner });
        });
        const won: string[] = [];
        const runs = attempts.map(async (tries, index) => {
          const store = slowly(state.open(), () => scheduler.schedule(Promise.resolve()));
          for (let attempt = 0; attempt <= tries; attempt += 1) {
            const entry = await readPlatformState(store);
            const epoch = (entry?.state.epoch ?? 0) + 1;
            try {
              await advanceEpoch(store, epoch, `execution-${index}-${attempt}`, 'west');
              won.push(`${epoch} execution-${index}-${attempt}`);
              await setActiveRegion(store, epoch, index % 2 === 0 ? 'west' : 'east', index);
            } catch (error) {
              expect(['STATE_CONFLICT', 'EXECUTION_NOT_ALLOWED']).toContain((error as { code: string }).code);
            }
          }
        });
        await scheduler.waitFor(Promise.all(runs));
        for (const [index, each] of seen.entries())
          if (index > 0) expect(each.epoch).toBeGreaterThanOrEqual(seen[index - 1]?.epoch as number);
        const owners = new Map<number, Set<string>>();
        for (const each of seen) owners.set(each.epoch, (owners.get(each.epoch) ?? new Set()).add(String(each.owner)));
        for (const [epoch, names] of owners) expect([epoch, names.size]).toEqual([epoch, 1]);
        expect(new Set(won.map((each) => each.split(' ')[0])).size).toBe(won.length);
      }),
      { numRuns: 100 },
    );
  });
});
