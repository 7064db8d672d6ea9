/**
 * advance-epoch {epoch, from, to} and set-active {epoch, region}: the two changes of the platform's record. Both are compare-and-swap; who comes second is refused.
 */
import type { Verb } from '../../contracts/verbs.ts';
import { advanceEpoch, readPlatformState, setActiveRegion } from '../../state/platform-state.ts';
import type { PlatformParts } from './platform-verb.ts';

export function advanceEpochVerb(parts: PlatformParts): Verb {
  return {
    inspect: async (want, context) => {
      const entry = await readPlatformState(parts.store);
      const own = entry !== undefined && entry.state.epoch === want.epoch && entry.state.epochOwner === context.executionId;
      return own
        ? { state: 'done', output: { epoch: Number(want.epoch) } }
        : { state: 'absent', why: `the platform is at epoch ${entry?.state.epoch ?? 'none'}` };
    },
    apply: (want, context) => advanceEpoch(parts.store, Number(want.epoch), context.executionId, String(want.to)),
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
