/**
 * thaw, where the right to serve is held by lease: what serves again begins a new time of its region.
 *
 * A switchover that is rolled back starts its source again. Meanwhile the controller there may have died and its lease run out, the guard having found nothing to fence: the record of that
 * guard must not speak for what serves now. So the epoch under which the region is active becomes this execution's, after the store was started: a record of that epoch can only have been
 * written later, under a lease that is held while the store serves.
 * Invariant: no other change of the platform can begin before this execution has ended, and it does not end well before the epoch was renewed.
 * When the process dies in between, the store serves and the step is not done: it is inspected again, and renewed.
 */
import type { StateStore } from '../../contracts/state-store.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { readPlatformState, renewActiveEpoch } from '../../state/platform-state.ts';

export function thawAnew(store: StateStore, thaw: Verb): Verb {
  const isRenewed = async ({ epoch }: StepContext) => ((await readPlatformState(store))?.state.activeEpoch ?? 0) >= epoch;
  return {
    inspect: async (want, context): Promise<Inspection> => {
      const seen = await thaw.inspect(want, context);
      if (seen.state !== 'done' || (await isRenewed(context))) return seen;
      return { state: 'absent', why: 'it serves, and its region is not yet active under this epoch' };
    },
    apply: async (want, context) => {
      if ((await thaw.inspect(want, context)).state !== 'done') await thaw.apply(want, context);
      // Taking writes comes last in every thaw: where it has not yet come, the next look finds so.
      if ((await thaw.inspect(want, context)).state === 'done') await renewActiveEpoch(store, context.epoch);
    },
  };
}
