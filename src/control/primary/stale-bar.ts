/**
 * A bar whose execution was ended before it promoted anything has lost its reason: it is taken away, so that the region can hold its right to serve again.
 *
 * Invariant: only while the platform is still at the epoch of that very execution, in one commit with a look at that; and only where its journal says that no promotion was so much as begun.
 * An execution that has ended writes no further intent, so none can begin later.
 */
import type { StateStore } from '../../contracts/state-store.ts';
import { listOpenExecutions } from '../../state/journal.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { primaryKeys, readBar } from './primary-records.ts';
import { mayHavePromoted } from './return-leave.ts';

/** Whether there was one. */
export async function liftStaleBar(store: StateStore, region: string): Promise<boolean> {
  const [standing, entry] = await Promise.all([readBar(store, region), readPlatformState(store)]);
  if (standing === undefined || entry === undefined) return false;
  const { bar, revision } = standing;
  const { activeRegion, epoch, epochOwner } = entry.state;
  if (activeRegion !== region || epoch !== bar.epoch || epochOwner !== bar.execution) return false;
  if ((await listOpenExecutions(store)).includes(bar.execution)) return false;
  if ((await mayHavePromoted(store, bar.execution)) !== undefined) return false;
  const { headingTo: _nowhere, ...state } = entry.state;
  await store.commit([
    { kind: 'put', key: 'platform', value: state, expected: entry.revision },
    { kind: 'delete', key: primaryKeys.bar(region), expected: revision },
  ]);
  return true;
}
