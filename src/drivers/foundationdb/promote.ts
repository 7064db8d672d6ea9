/**
 * promote: the database serves in this region, prefers it, and carries the epoch.
 *
 *   it serves here already            -> it is kept here: the cluster would go back by itself to a region with a higher priority
 *   it serves in the other region     -> refused: the fence moves it, and has not
 *   it serves nowhere                 -> a forced recovery, under all the conditions of force.ts, then the dead region is settled
 *
 * Invariant: refused under a lower epoch than the one in the database. The epoch is written last, so that a promotion without it is gone through again; each part is harmless when repeated.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { awaitCluster } from './await-cluster.ts';
import { dropRegion, forceRecovery, isDropped } from './force.ts';
import { bindToCluster, prefer } from './move.ts';
import { hasProcesses, prefers } from './regions.ts';
import { callOf, type FdbSite, keyOf, positionOf, readCluster } from './site.ts';
import { type ClusterView, serves } from './status.ts';
import { probeWrite } from './write-probe.ts';

export function promoteVerb(site: FdbSite): Verb {
  return { inspect: (want, step) => inspect(site, want, step), apply: (want, step) => apply(site, want, step) };
}

export async function readEpoch(site: FdbSite, signal: AbortSignal): Promise<number | undefined> {
  const text = await site.client.get(keyOf(site, 'epoch'), callOf(site, { signal }));
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the key of the epoch holds something else' });
  return Number(text);
}

const wasForced = ({ note }: StepContext): boolean => (note as { forced?: boolean } | undefined)?.forced === true;

/** As long as both regions are there it counts only once the recovery is over; without the other one it can't ever be, for that one's logs are waited for. */
function hindranceOf(site: FdbSite, view: ClusterView): string | undefined {
  if (!serves(view)) return `the database is not available (${view.recovery ?? 'its recovery state is not told'})`;
  if (view.activeDc !== site.dcid) return `it serves in ${view.activeDc}`;
  if (!prefers(view, site.dcid, site.other.dcid)) return `it would go back to ${site.other.dcid} by itself`;
  const waitsForOther = view.usableRegions === 2 && !hasProcesses(view, site.other.dcid);
  if (view.recovery !== 'fully_recovered' && !waitsForOther) return `its recovery is at ${view.recovery}`;
  return undefined;
}

async function inspect(site: FdbSite, want: JsonObject, step: StepContext): Promise<Inspection> {
  const view = await readCluster(site, site.client, callOf(site, step));
  const hindrance = hindranceOf(site, view);
  if (hindrance !== undefined) return { state: 'absent', why: hindrance };
  const wanted = Number(want.epoch);
  const epoch = await readEpoch(site, step.signal);
  if (epoch !== undefined && epoch > wanted) throw tooLate(epoch, wanted);
  if (epoch !== wanted) return { state: 'absent', why: `epoch ${wanted} is not recorded` };
  const forced = wasForced(step);
  if (forced && !isDropped(view, site.other.dcid) && !hasProcesses(view, site.other.dcid))
    return { state: 'absent', why: 'the region that was given up is not dropped yet' };
  await probeWrite(site, step);
  const position = positionOf(view, site.dcid);
  return {
    state: 'done',
    output: { timeline: view.generation, recovery: view.recovery, forced, ...(position === undefined ? {} : { position }) },
  };
}

async function apply(site: FdbSite, want: JsonObject, step: StepContext): Promise<void> {
  const view = await readCluster(site, site.client, callOf(site, step));
  const wanted = Number(want.epoch);
  const forced = wasForced(step) || !serves(view);
  if (serves(view)) {
    const epoch = await readEpoch(site, step.signal);
    if (epoch !== undefined && epoch > wanted) throw tooLate(epoch, wanted);
    if (view.activeDc !== site.dcid)
      throw fail('SYSTEM_WRONG_ROLE', {
        message: `the database serves in ${view.activeDc}: the fence of that region moves it`,
        hint: 'A region that serves is never forced away.',
      });
    await bindToCluster(view, step);
  } else {
    await forceRecovery(site, view, want, step);
  }
  const now = await awaitCluster(site, step, (each) =>
    serves(each) && each.activeDc === site.dcid ? undefined : `the database does not serve in ${site.dcid} yet`,
  );
  // A region that has come back meanwhile, on the same history, is no dead one.
  if (forced && !hasProcesses(now, site.other.dcid)) await dropRegion(site, site.other.dcid, step);
  else await prefer(site, site.client, now, site.dcid, step);
  await site.client.set({ [keyOf(site, 'epoch')]: String(wanted) }, callOf(site, step));
}

function tooLate(knownEpoch: number, epoch: number): HoldfastError {
  return fail('EPOCH_SUPERSEDED', {
    message: `the database was promoted under epoch ${knownEpoch}: an order of epoch ${epoch} comes too late`,
    details: { knownEpoch, epoch },
  });
}
