import { describe, expect, it } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import { advanceEpoch, ensurePlatformState, readPlatformState } from '../../state/platform-state.ts';
import { readLeaseProof } from './lease-proof.ts';
import { type GuardRecord, guardRecordChange, primaryKeys } from './primary-records.ts';
import { thawAnew } from './thaw-anew.ts';

describe('thaw under leases', () => {
  it('what serves again is not proven fenced by the record of its earlier time, also where the process dies in the middle', async () => {
    const clock = fakeClock(0);
    const store = memoryState(clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    const lease = await store.acquireLease('primary/east', 'keeper', 1_000);
    const record: GuardRecord = {
      token: lease.token,
      activeEpoch: 0,
      components: ['orders'],
      ttlMs: 1_000,
      marginMs: 200,
      triedMs: 0,
      atMs: 0,
    };
    await store.commit([guardRecordChange('east', record, lease, undefined)]);
    await advanceEpoch(store, 2, 'switchover-1', 'west');
    await clock.advance(2_000);

    let serves = false;
    const driver: Verb = {
      inspect: async () => (serves ? { state: 'done', output: {} } : { state: 'absent', why: 'it is stopped' }),
      apply: async () => {
        serves = true;
      },
    };
    const context = { epoch: 2 } as StepContext;
    const dying = thawAnew({ ...store, commit: () => Promise.reject(new Error('killed')) }, driver);
    await expect(dying.apply({}, context)).rejects.toThrow('killed');
    expect(serves).toBe(true);
    const next = thawAnew(store, driver);
    expect((await next.inspect({}, context)).state).toBe('absent');
    await next.apply({}, context);
    expect((await next.inspect({}, context)).state).toBe('done');
    expect((await readPlatformState(store))?.state).toMatchObject({ activeRegion: 'east', activeEpoch: 2 });

    await advanceEpoch(store, 3, 'failover-2', 'west');
    await store.commit([
      { kind: 'put', key: primaryKeys.bar('east'), value: { epoch: 3, execution: 'failover-2', atMs: 0 }, expected: 'absent' },
    ]);
    expect(await readLeaseProof(store, { region: 'east', component: 'orders', epoch: 3 }, () => 0)).toMatchObject({ mayCome: false });
  });
});
