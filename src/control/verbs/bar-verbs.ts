/**
 * unbar-primary {region, epoch}: no bar stands any more before the lease of a region's primary. (It is put by advance-epoch.)
 *
 * Invariant: a bar is taken away only by the execution that the present epoch belongs to, in one commit with a look at that epoch: one that was overtaken changes nothing any more.
 */
import { fail } from '../../base/errors.ts';
import type { Change } from '../../contracts/state-store.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { primaryKeys, readBar } from '../primary/primary-records.ts';
import type { PlatformParts } from './platform-verb.ts';

/** Fails the commit where the epoch is another one by then. */
async function underEpoch({ store }: PlatformParts, epoch: number): Promise<Change> {
  const entry = await readPlatformState(store);
  if (entry?.state.epoch !== epoch)
    throw fail('EPOCH_SUPERSEDED', {
      message: `the platform is at epoch ${entry?.state.epoch ?? 'none'}; this execution works under ${epoch}`,
      details: { epoch: entry?.state.epoch ?? 0 },
    });
  return { kind: 'put', key: 'platform', value: entry.state, expected: entry.revision };
}

export function unbarPrimary(parts: PlatformParts): Verb {
  return {
    inspect: async (want) => {
      const standing = await readBar(parts.store, String(want.region));
      if (standing === undefined) return { state: 'done', output: {} };
      const { epoch, execution } = standing.bar;
      if (epoch > Number(want.epoch))
        throw fail('EPOCH_SUPERSEDED', {
          message: `the bar before ${String(want.region)} is of epoch ${epoch} (${execution}), this execution works under ${String(want.epoch)}`,
          details: { epoch },
        });
      return { state: 'absent', why: `a bar of epoch ${epoch} stands before ${String(want.region)}` };
    },
    apply: async (want) => {
      const region = String(want.region);
      const standing = await readBar(parts.store, region);
      if (standing === undefined || standing.bar.epoch > Number(want.epoch)) return;
      const remove: Change = { kind: 'delete', key: primaryKeys.bar(region), expected: standing.revision };
      await parts.store.commit([await underEpoch(parts, Number(want.epoch)), remove]);
    },
  };
}
