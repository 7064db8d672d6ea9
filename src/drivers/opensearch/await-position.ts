/** await-position: each index has every operation that the position counts. Only looks; there is nothing to apply. */
import type { Position } from '../../contracts/observation.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { operationsIn, positionOf } from './cluster-view.ts';
import type { SiteParts } from './parts.ts';

export function awaitPositionVerb(parts: SiteParts): Verb {
  return {
    inspect: async (want, step) => {
      const wanted = want.position as unknown as Position;
      const view = await parts.view(step);
      const here = positionOf(view);
      if (here.history !== wanted.history) return { state: 'unknown', why: `it holds the data set ${here.history}, not ${wanted.history}` };
      const operations = operationsIn(wanted.text);
      if (operations === undefined) return { state: 'unknown', why: `${wanted.text} is no position of OpenSearch` };
      // By index: the sum of all would let one that is ahead hide one that is behind.
      const behind = [...operations].filter(
        ([name, count]) => (view.indices.find((index) => index.name === name)?.operations ?? 0) < count,
      );
      if (behind.length === 0) return { state: 'done', output: { position: here } };
      return { state: 'pending', why: `behind in ${behind.map(([name]) => name).join(', ')}: at ${here.text} of ${wanted.text}` };
    },
    apply: async () => {},
  };
}
