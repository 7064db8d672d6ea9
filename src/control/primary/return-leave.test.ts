import { expect, it } from 'vitest';
import { fakeClock, seededRandom } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import type { JournalledPlan } from '../../state/execution-state.ts';
import { createExecution } from '../../state/journal.ts';
import { ensurePlatformState } from '../../state/platform-state.ts';
import { readLeave } from './return-leave.ts';

it.each([
  ['reprotect', 'west', true],
  ['reprotect', 'east', false],
  ['failover', 'west', false],
])('beside a %s to %s that has not ended, the active region may serve again: %s', async (kind, to, may) => {
  const clock = fakeClock(0);
  const store = memoryState(clock).open();
  await ensurePlatformState(store, 'orders', 'west');
  const plan: JournalledPlan & { readonly to: string } = { kind, platform: 'orders', epoch: 1, parallel: 1, steps: [], to };
  await createExecution(store, { clock, random: seededRandom(1) }, { plan, startedBy: 'ann', reason: 'a test', specDigest: '' });
  expect('entry' in (await readLeave(store, 'west'))).toBe(may);
});
