/** The verb `run`: the one thing that the options name. */
import { fail } from '../../base/errors.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { backupVerb } from './backup.ts';
import { dropRegion, isDropped } from './force.ts';
import { bindToCluster } from './move.ts';
import { hasProcesses } from './regions.ts';
import { restoreVerb } from './restore.ts';
import { callOf, type FdbSite, readCluster } from './site.ts';

export function runVerb(site: FdbSite): Verb | undefined {
  const { run } = site.context.options;
  if (run?.backup) return backupVerb(site, run.backup);
  if (run?.restore) return restoreVerb(site, run.restore);
  if (run?.lock) return lockVerb(site);
  const dropped = run?.['drop-region'];
  return dropped === undefined ? undefined : dropVerb(site, dropped);
}

/** A region that lives is not dropped: it would be taken from under a copy that is good. */
function dropVerb(site: FdbSite, region: string): Verb {
  const dcid = site.context.sites.get(region)?.dcid;
  if (dcid === undefined) throw fail('BUG_BROKEN_BELIEF', { message: `the region ${region} passed the validation and has no site` });
  return {
    inspect: async (_want, step) => {
      const view = await readCluster(site, site.client, callOf(site, step));
      if (isDropped(view, dcid)) return { state: 'done', output: { detail: `${dcid} has a negative priority, and one region is usable` } };
      return { state: 'absent', why: `usable_regions is ${view.usableRegions ?? 'not told'}` };
    },
    apply: async (_want, step) => {
      const view = await readCluster(site, site.client, callOf(site, step));
      if (hasProcesses(view, dcid))
        throw fail('SYSTEM_REFUSED', { message: `processes of ${dcid} report: it is not lost`, hint: 'Stop them first, if it shall go.' });
      await bindToCluster(view, step);
      await dropRegion(site, dcid, step);
    },
  };
}

/** For a cluster whose place another one has taken: its clients are refused. fdbcli unlocks only at a terminal, so there is no way back from here. */
function lockVerb(site: FdbSite): Verb {
  return {
    inspect: async (_want, step) => {
      const { locked, lockUid } = await readCluster(site, site.client, callOf(site, step));
      if (locked === true && lockUid !== undefined)
        return { state: 'done', output: { detail: `the database is locked (${lockUid})`, lockUid } };
      if (locked === undefined) return { state: 'unknown', why: 'the status does not tell whether the database is locked' };
      return { state: 'absent', why: 'the database takes clients' };
    },
    apply: async (_want, step) => site.client.lock(callOf(site, step)),
  };
}
