/** A Tailscale mesh between regions: seen from each of them by its own hands. It only looks, and holds no state. */
import { fail } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { observeMesh, type TailscaleContext } from './observe.ts';
import { componentOptions, findFaults, siteOptions, type TailscaleOptions, type TailscaleSiteOptions } from './options.ts';

/** Every node and port, not only one of each region. */
function checkVerb(context: TailscaleContext, hands: Hands): Verb {
  return {
    inspect: async (_want, { signal }) => {
      const { health, evidence, faults = [] } = await observeMesh(context, hands, signal);
      const problems = faults.filter(({ severity }) => severity === 'problem').map(({ message }) => message);
      if (health !== 'up' || problems.length > 0) return { state: 'pending', why: [evidence.detail, ...problems].join('; ') };
      return { state: 'done', output: { detail: evidence.detail } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openSite(context: TailscaleContext): Site {
  const { hands } = context;
  if (!hands) {
    const reading = readingOf({ kind: 'error', detail: 'the site has no hands to ask Tailscale with' });
    return { observe: async () => reading, verbs: {}, close: async () => {} };
  }
  return {
    observe: (signal) => observeMesh(context, hands, signal),
    verbs: { check: checkVerb(context, hands) },
    close: async () => {},
  };
}

export const driver = defineDriver<TailscaleOptions, TailscaleSiteOptions>({
  name: 'tailscale',
  title: 'Tailscale',
  summary: 'Looks from each region whether the nodes of the others are online in the tailnet, their keys hold and their ports answer.',
  kind: 'check',
  verbs: [{ verb: 'check', needsHands: true, typicalMs: 2_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: findFaults,
  open: openSite,
});
