/**
 * advance-epoch {epoch, from, to, bar?} and set-active {epoch, region}: the two changes of the platform's record. Both are compare-and-swap; who comes second is refused.
 *
 * Invariant: `bar` names the region that the execution leads away from. The bar before its lease is put in the commit that advances the epoch: whoever sees the one sees the other, and an
 * execution that was overtaken puts none.
 */
import type { Change } from '../../contracts/state-store.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { advanceEpoch, type PlatformEntry, readPlatformState, setActiveRegion } from '../../state/platform-state.ts';
import { primaryKeys, readBar } from '../primary/primary-records.ts';
import type { PlatformParts } from './platform-verb.ts';

export function advanceEpochVerb(parts: Pick<PlatformParts, 'store' | 'host'>): Verb {
  const { store } = parts;
  /** As the last look saw it: a commit that expects exactly this needs no look of its own. */
  let known: PlatformEntry | undefined;
  let barRevision: number | undefined;
  return {
    inspect: async (want, context) => {
      const [entry, standing] = await Promise.all([
        readPlatformState(store),
        want.bar === undefined ? undefined : readBar(store, String(want.bar)),
      ]);
      known = entry;
      barRevision = standing?.revision;
      const own = entry !== undefined && entry.state.epoch === want.epoch && entry.state.epochOwner === context.executionId;
      return own
        ? { state: 'done', output: { epoch: Number(want.epoch) } }
        : { state: 'absent', why: `the platform is at epoch ${entry?.state.epoch ?? 'none'}` };
    },
    apply: async (want, context) => {
      const epoch = Number(want.epoch);
      const alongside: Change[] = [];
      if (want.bar !== undefined) {
        const bar = { epoch, execution: context.executionId, atMs: parts.host.clock.nowMs() };
        alongside.push({ kind: 'put', key: primaryKeys.bar(String(want.bar)), value: bar, expected: barRevision ?? 'absent' });
      }
      await advanceEpoch(store, epoch, context.executionId, String(want.to), { ...(known ? { known } : {}), alongside });
      return { state: 'done', output: { epoch } };
    },
  };
}

export function setActiveVerb(parts: PlatformParts): Verb {
  return {
    inspect: async (want) => {
      const entry = await readPlatformState(parts.store);
      const holds = entry !== undefined && entry.state.epoch === want.epoch && entry.state.activeRegion === want.region;
      return holds
        ? { state: 'done', output: { region: String(want.region), atMs: entry.state.changedAtMs ?? null } }
        : { state: 'absent', why: `${entry?.state.activeRegion ?? 'no region'} is active` };
    },
    apply: async (want) => {
      await setActiveRegion(parts.store, Number(want.epoch), String(want.region), parts.host.clock.nowMs());
      // The watch of this process follows at once; those of others hear of it from the state.
      parts.watch.aim(String(want.region), Number(want.epoch));
    },
  };
}
