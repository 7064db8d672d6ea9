/**
 * Giving up a lost region: a forced recovery into the surviving one, which loses what was acknowledged and had not arrived there.
 *
 * Invariant: never of a cluster that can still commit, never without the proof of a fence that the plan carries, never on the word of one place alone, and never where it would hang for want of
 * coordinators. It is one command; when the process dies within it, the next look finds a cluster that serves here, or one that does not, for which it is harmless to ask again.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { FenceProofKind, StepContext } from '../../contracts/verbs.ts';
import { awaitCluster } from './await-cluster.ts';
import { bindToCluster } from './move.ts';
import { hasProcesses, priorityOf, withPriorities } from './regions.ts';
import { callOf, type FdbSite, readCluster } from './site.ts';
import { type ClusterView, serves } from './status.ts';

/** `demoted` is said of a region that lives, in a cluster that serves elsewhere: then there is nothing to force. */
const proofsOfTheDead: ReadonlySet<unknown> = new Set<FenceProofKind>(['stopped', 'nothing-listens', 'lease-expired', 'person']);
const placesNeeded = 2;

type Vantage = { readonly place: string; readonly sees: 'dead' | 'alive' | 'nothing'; readonly detail: string };

export async function forceRecovery(site: FdbSite, view: ClusterView, want: JsonObject, step: StepContext): Promise<void> {
  const { options } = site.context;
  if (options['force-recovery'] !== 'fenced')
    throw fail('SYSTEM_REFUSED', {
      message: `the database is not available, and force-recovery is ${options['force-recovery']}: ${site.other.dcid} is not given up`,
      hint: 'Bring the region or its satellites back. To give up what has not arrived, set force-recovery: fenced.',
    });
  if (!proofsOfTheDead.has(want.fence))
    throw fail('FENCE_NOT_PROVEN', {
      message:
        want.fence === undefined
          ? `no fence of ${site.other.dcid} was proven for this step: nothing is forced`
          : `a fence of the kind ${String(want.fence)} does not say that ${site.other.dcid} is dead: nothing is forced`,
    });
  if (view.usableRegions === 1)
    throw fail('SYSTEM_REFUSED', {
      message: `usable_regions is 1: there is no copy in ${site.dcid} to recover into`,
      hint: 'Restore a backup.',
    });
  if (view.quorum !== true)
    throw fail('SYSTEM_NOT_SERVING', {
      message: 'no majority of the coordinators is reached: a forced recovery would wait for ever',
      hint: 'Bring coordinators back, or restore their files from a survivor.',
    });
  await requireDead(site, step);
  // Before the command: whoever goes on after a death must know that a region was given up, and settle it.
  await bindToCluster(view, step, { forced: true });
  step.progress(`recovering into ${site.dcid}: what had not arrived there is lost`);
  await site.client.forceRecovery(site.dcid, { timeoutMs: options['force-timeout'], signal: step.signal });
}

async function requireDead(site: FdbSite, step: StepContext): Promise<void> {
  const seen = await Promise.all([seenByHands(site, step), seenByController(site, step), seenByNetwork(site, step)]);
  const told = seen.flatMap((each) => (each === undefined ? [] : [each]));
  const dead = told.filter(({ sees }) => sees === 'dead');
  const alive = told.find(({ sees }) => sees === 'alive');
  if (alive === undefined && dead.length >= placesNeeded) return;
  throw fail('SYSTEM_REFUSED', {
    message:
      alive === undefined
        ? `${site.other.dcid} is seen dead from ${dead.length} place${dead.length === 1 ? '' : 's'}, and ${placesNeeded} are needed: ${told.map(({ detail }) => detail).join('; ')}`
        : `${site.other.dcid} is not dead: ${alive.detail}`,
    hint: 'A region that is degraded is moved by priorities, not forced.',
  });
}

/** The surviving region, as its own hands see the cluster. */
async function seenByHands(site: FdbSite, step: StepContext): Promise<Vantage> {
  return judge(site, site.hands.name, await readCluster(site, site.client, callOf(site, step)));
}

/** The controller, as it sees the cluster. */
async function seenByController(site: FdbSite, step: StepContext): Promise<Vantage | undefined> {
  const client = site.fromController;
  if (client === undefined) return undefined;
  try {
    return judge(site, client.place, await readCluster(site, client, callOf(site, step)));
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug' || error.code === 'SYSTEM_WRONG_IDENTITY') throw error;
    return { place: client.place, sees: 'nothing', detail: error.message };
  }
}

function judge({ other }: FdbSite, place: string, view: ClusterView): Vantage {
  if (view.processes === undefined || view.quorum !== true) return { place, sees: 'nothing', detail: `${place} sees no processes at all` };
  if (serves(view)) return { place, sees: 'alive', detail: `from ${place} the database is available` };
  return hasProcesses(view, other.dcid)
    ? { place, sees: 'alive', detail: `from ${place} processes of ${other.dcid} report` }
    : { place, sees: 'dead', detail: `from ${place} no process of ${other.dcid} reports` };
}

/** The controller, by connecting to the processes themselves: a way that does not lead through the cluster. */
async function seenByNetwork({ context, other }: FdbSite, { signal }: StepContext): Promise<Vantage | undefined> {
  const { addresses } = other.site;
  if (addresses === undefined) return undefined;
  const answers = await Promise.all(addresses.map((address) => answersTcp(context.host.net, address, context.probeTimeoutMs, signal)));
  const place = 'the network';
  const living = addresses.find((_, index) => answers[index]);
  return living === undefined
    ? { place, sees: 'dead', detail: `none of ${addresses.join(', ')} can be reached from the controller` }
    : { place, sees: 'alive', detail: `${living} takes connections` };
}

async function answersTcp(
  net: FdbSite['context']['host']['net'],
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const at = address.lastIndexOf(':');
  try {
    const connection = await net.connectTcp({ host: address.slice(0, at), port: Number(address.slice(at + 1)), timeoutMs, signal });
    connection.close();
    return true;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    signal.throwIfAborted();
    return false;
  }
}

/**
 * The dead region is settled in two changes, each seen to hold before the next: it may never be active again, then one region stays usable, so that no log is kept for it. The cluster refuses both at
 * once. What newer versions have done by themselves is found done.
 */
export async function dropRegion(site: FdbSite, dcid: string, step: StepContext): Promise<void> {
  const kept = dcid === site.dcid ? site.other.dcid : site.dcid;
  const call = callOf(site, step);
  const first = await awaitCluster(site, step, (view) => (serves(view) ? undefined : 'the database does not serve yet'));
  if (first.activeDc !== kept)
    throw fail('SYSTEM_WRONG_ROLE', { message: `the database serves in ${first.activeDc}: that region can't be dropped` });
  if ((priorityOf(first.regions, dcid) ?? -1) >= 0) {
    await site.client.setRegions(withPriorities(first.regions ?? [], { [kept]: 1, [dcid]: -1 }), call);
  }
  const second = await awaitCluster(site, step, ({ regions }) =>
    (priorityOf(regions, dcid) ?? -1) < 0 ? undefined : `the priority of ${dcid} is not negative yet`,
  );
  if (second.usableRegions !== 1) await site.client.setUsableRegions(1, call);
  await awaitCluster(site, step, ({ usableRegions }) => (usableRegions === 1 ? undefined : 'usable_regions is not 1 yet'));
}

export const isDropped = (view: ClusterView, dcid: string): boolean =>
  view.usableRegions === 1 && (priorityOf(view.regions, dcid) ?? -1) < 0;
