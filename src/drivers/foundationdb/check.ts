/** check: the database takes a write, gives it back, and nothing of its set-up stands in the way of surviving the loss of a region. */
import { fail } from '../../base/errors.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { findReadinessFaults } from './readiness.ts';
import { callOf, type FdbSite, readCluster } from './site.ts';
import { serves } from './status.ts';
import { probeWrite } from './write-probe.ts';

export function checkVerb(site: FdbSite): Verb {
  return {
    inspect: async (_want, step) => {
      const view = await readCluster(site, site.client, callOf(site, step));
      if (!serves(view))
        return { state: 'pending', why: `the database is not available (${view.recovery ?? 'its recovery state is not told'})` };
      await probeWrite(site, step);
      const problems = findReadinessFaults(view, site).filter(({ severity }) => severity === 'problem');
      if (problems.length > 0) return { state: 'pending', why: problems.map(({ message }) => message).join('; ') };
      return { state: 'done', output: { detail: `a probe was written, read and cleared; it serves in ${view.activeDc}` } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}
