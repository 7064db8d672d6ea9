/**
 * The verbs that make a copy of this region, or wait for one.
 *
 *   await-position  the region has applied everything up to a version, or serves by now
 *   follow          it is a full copy of the other region: listed with a negative priority, made usable, copied whole, and only then allowed to take over. Each change is seen to hold before the next
 *   protect         the other region is a full copy, near enough; in synchronous mode the active one has satellites
 *   thaw            the region serves again after a planned move was given up
 *
 * Invariant: the cluster goes on serving throughout. When the process dies, each change that was made is found again.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { type Position, positionDistance } from '../../contracts/observation.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { awaitCluster } from './await-cluster.ts';
import { bindToCluster, prefer, requireMovable } from './move.ts';
import { hasProcesses, hasSatellites, hindranceOf, prefers, priorityOf, withPriorities } from './regions.ts';
import { callOf, type FdbSite, positionOf, readCluster } from './site.ts';
import { type ClusterView, serves } from './status.ts';

const read = (site: FdbSite, step: StepContext): Promise<ClusterView> => readCluster(site, site.client, callOf(site, step));

const nothingToApply = async (): Promise<void> => {
  // It comes about by itself: there is only the waiting.
};

export function awaitPositionVerb(site: FdbSite): Verb {
  return {
    inspect: async (want, step): Promise<Inspection> => {
      const view = await read(site, step);
      const position = positionOf(view, site.dcid);
      const wanted = want.position as unknown as Position | undefined;
      if (wanted === undefined || position === undefined) return { state: 'pending', why: 'the version of the region is not told' };
      const ahead = positionDistance(wanted, position);
      if (ahead === undefined)
        return { state: 'unknown', why: `${site.dcid} holds ${position.history}, and ${wanted.history} is waited for` };
      if (ahead >= 0n || (serves(view) && view.activeDc === site.dcid && position.timeline > wanted.timeline))
        return { state: 'done', output: { position } };
      return { state: 'pending', why: `${site.dcid} is ${-ahead} versions behind` };
    },
    apply: nothingToApply,
  };
}

export function followVerb(site: FdbSite): Verb {
  const missing = (view: ClusterView): string | undefined => {
    if (view.activeDc !== site.other.dcid) return `the database serves in ${view.activeDc ?? 'a region that is not told'}`;
    const hindrance = hindranceOf(view, site.dcid, site.context.options['lag-limit']);
    if (hindrance !== undefined) return hindrance;
    const priority = priorityOf(view.regions, site.dcid) ?? -1;
    return priority < 0 ? `the priority of ${site.dcid} is ${priority}: it could not take over` : undefined;
  };
  return {
    inspect: async (_want, step) => {
      const wanting = missing(await read(site, step));
      return wanting === undefined ? { state: 'done', output: { method: 'copied by the cluster' } } : { state: 'absent', why: wanting };
    },
    apply: async (_want, step) => follow(site, step),
  };
}

async function follow(site: FdbSite, step: StepContext): Promise<void> {
  const { dcid, other } = site;
  const call = callOf(site, step);
  const view = await read(site, step);
  if (!serves(view) || view.activeDc !== other.dcid || view.regions === undefined)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${dcid} can only follow a database that serves in ${other.dcid}: it serves ${view.available ? `in ${view.activeDc}` : 'nowhere'}`,
    });
  if (!hasProcesses(view, dcid))
    throw fail('SYSTEM_NOT_SERVING', {
      message: `no process of ${dcid} reports: there is nothing to copy to`,
      hint: 'Start them; after a region was dropped, with empty data directories.',
    });
  await bindToCluster(view, step);
  if (view.usableRegions !== 2) {
    const listed = priorityOf(view.regions, dcid) !== undefined;
    const regions = listed ? view.regions : [...view.regions, { datacenters: [{ id: dcid, priority: -1 }] }];
    // The cluster takes a second region only while one alone may be active.
    await site.client.setRegions(withPriorities(regions, { [dcid]: -1, [other.dcid]: 1 }), call);
    await awaitCluster(site, step, (each) => (priorityOf(each.regions, dcid) === -1 ? undefined : `${dcid} is not listed yet`));
    await site.client.setUsableRegions(2, call);
  }
  const copied = await awaitCluster(site, step, (each) => hindranceOf(each, dcid, site.context.options['lag-limit']));
  await site.client.setRegions(withPriorities(copied.regions ?? [], { [dcid]: 0, [other.dcid]: 1 }), call);
}

export function protectVerb(site: FdbSite): Verb {
  return {
    inspect: async (want, step) => inspectProtection(site, want, await read(site, step)),
    apply: nothingToApply,
  };
}

function inspectProtection(site: FdbSite, want: JsonObject, view: ClusterView): Inspection {
  const standbys = Array.isArray(want.standbys) ? want.standbys : [];
  if (standbys.length === 0) return { state: 'done', output: { inSync: [] } };
  if (view.activeDc !== site.dcid)
    return { state: 'pending', why: `the database serves in ${view.activeDc ?? 'a region that is not told'}` };
  const hindrance = hindranceOf(view, site.other.dcid, site.context.options['lag-limit']);
  if (hindrance !== undefined) return { state: 'pending', why: hindrance };
  const synchronous = hasSatellites(view, site.dcid);
  if (want.mode === 'synchronous' && !synchronous)
    throw fail('SYSTEM_REFUSED', {
      message: `${site.dcid} has no satellite that lives: what is acknowledged is not outside of the region at once`,
      hint: 'Configure satellites, or write replication: asynchronous.',
    });
  return { state: 'done', output: { inSync: synchronous ? [site.other.region] : [] } };
}

export function thawVerb(site: FdbSite): Verb {
  return {
    inspect: async (_want, step) => {
      const view = await read(site, step);
      if (serves(view) && view.activeDc === site.dcid && prefers(view, site.dcid, site.other.dcid)) return { state: 'done', output: {} };
      return { state: 'absent', why: `it serves in ${view.activeDc ?? 'a region that is not told'}` };
    },
    apply: async (want, step) => {
      if (want.byLease === true)
        throw fail('SYSTEM_REFUSED', { message: 'nothing was fenced here at the end of a lease', hint: 'Run holdfast reprotect.' });
      const view = await read(site, step);
      if (view.activeDc !== site.dcid) requireMovable(site, view, site.dcid);
      await bindToCluster(view, step);
      await prefer(site, site.client, view, site.dcid, step);
    },
  };
}
