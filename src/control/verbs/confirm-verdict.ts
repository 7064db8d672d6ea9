/**
 * confirm-verdict {region}: the majority still says that the region is lost, by evidence taken anew: a site may have come back since it was last looked at. Changes nothing, so there
 * is nothing to apply: it holds, or the region is back, or it is waited for.
 */
import { fail } from '../../base/errors.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { lookAnew } from './look-anew.ts';
import type { PlatformParts } from './platform-verb.ts';

export function confirmVerdict(parts: PlatformParts): Verb {
  return {
    inspect: async (want) => {
      const region = String(want.region);
      // The words of the others are asked for meanwhile; our own is counted as it is after the look.
      const looked = lookAnew(parts, region, (component) => component.vital);
      const verdict = await parts.verdict(region, looked);
      if (verdict.state === 'lost')
        return {
          state: 'done',
          output: { votes: verdict.votes.map((vote) => `${vote.controller}: ${vote.says} (${vote.because.join('; ')})`) },
        };
      // A controller that goes on with what another one began has to see for itself first: until then it is neither lost nor back.
      return { state: verdict.state === 'healthy' ? 'absent' : 'pending', why: `${region} is ${verdict.state}` };
    },
    apply: async (want) => {
      throw fail('EXECUTION_NOT_ALLOWED', {
        message: `${String(want.region)} is no longer lost: it came back before anything was touched`,
        hint: 'Nothing was changed. If it has to fail over all the same, run holdfast switchover or holdfast failover by hand.',
      });
    },
  };
}
