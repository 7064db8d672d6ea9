import { describe, expect, it } from 'vitest';
import { fakeHost } from '../../test/fakes/host.ts';
import { memoryState } from '../../test/fakes/memory-store.ts';
import type { Plan, PlanKind } from '../plans/plan.ts';
import { advanceEpoch, ensurePlatformState } from '../state/platform-state.ts';
import { requireCurrent } from './require-current.ts';

const plan = (kind: PlanKind, epoch: number, verb: string): Plan => ({ kind, epoch, steps: [{ verb }] }) as unknown as Plan;

describe('a plan that somebody looked at for a while', () => {
  it('[I1] is refused once another execution has changed the epoch, also where it changes none itself', async () => {
    const store = memoryState(fakeHost().clock).open();
    await ensurePlatformState(store, 'orders', 'east');
    const failover = plan('failover', 2, 'advance-epoch');
    const reprotect = plan('reprotect', 1, 'follow');
    await requireCurrent(store, failover);
    await requireCurrent(store, reprotect);
    await advanceEpoch(store, 2, 'failover-1', 'west');
    for (const old of [failover, reprotect])
      await expect(requireCurrent(store, old)).rejects.toMatchObject({
        code: 'EXECUTION_NOT_ALLOWED',
        message: expect.stringContaining('failover-1'),
      });
    await requireCurrent(store, plan('reprotect', 2, 'follow'));
    await requireCurrent(store, plan('backup', 1, 'take-backup'));
  });
});
