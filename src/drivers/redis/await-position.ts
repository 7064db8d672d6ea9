/** await-position: this site has applied everything up to a position. Only looks; there is nothing to apply. */
import type { Position } from '../../contracts/observation.ts';
import type { Inspection, Verb } from '../../contracts/verbs.ts';
import { type RedisSiteParts, withServer } from './server.ts';
import { hasReached, linkOf, positionOf } from './server-state.ts';

export function awaitPositionVerb(parts: RedisSiteParts): Verb {
  return {
    inspect: (want, step) =>
      withServer(parts, parts.context.region, step.signal, async (server): Promise<Inspection> => {
        const position = want.position as unknown as Position;
        const { state, epoch } = await server.read();
        const reached = hasReached(state, position);
        if (reached === true) return { state: 'done', output: { position: positionOf(state, epoch) } };
        const here = positionOf(state, epoch);
        if (reached === false)
          return { state: 'pending', why: `at ${here.text}, ${BigInt(position.offset) - BigInt(here.offset)} bytes to go` };
        // A replica that is being copied anew takes over the history of its master only at the end.
        if (state.upstream && (linkOf(state) !== 'up' || state.loading))
          return { state: 'pending', why: `it is in another history (${here.text}) and its link is not up` };
        return { state: 'unknown', why: `it is in another history: ${here.text} can't be compared with ${position.text}` };
      }),
    apply: async () => {},
  };
}
