/**
 * fence: this region acknowledges no writes any more, also after a restart.
 *
 *   the database serves here             -> it is moved to the other region by priorities                                  demoted
 *   it serves in the other region        -> the other region is preferred from now on, or it would move back by itself     demoted
 *   it serves nowhere, and there are hands that stop the region                                                           stopped
 *   else                                 -> FENCE_NOT_PROVEN
 *
 * Invariant: a region from which the cluster moved away can't commit: its logs were locked by the coordinators before the next generation began. A region that is merely silent proves nothing.
 * Each way can be walked again after a crash.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { applySiteCommand, endOfOutput, runSiteCommand } from '../../contracts/site-command.ts';
import type { FenceProof, FenceProofKind, Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { bindToCluster, prefer, requireMovable } from './move.ts';
import { prefers } from './regions.ts';
import { type FdbSite, positionOf, readFromAnywhere } from './site.ts';
import { type ClusterView, serves } from './status.ts';

export function fenceVerb(site: FdbSite): Verb {
  return { inspect: (_want, step) => inspect(site, step), apply: (want, step) => apply(site, want, step) };
}

async function inspect(site: FdbSite, step: StepContext): Promise<Inspection> {
  const seen = await readFromAnywhere(site, step);
  if ('view' in seen && serves(seen.view)) {
    const { view } = seen;
    if (view.activeDc !== site.other.dcid) return { state: 'absent', why: `it serves in ${view.activeDc ?? 'a region that is not told'}` };
    if (!prefers(view, site.other.dcid, site.dcid))
      return { state: 'absent', why: `it serves in ${view.activeDc}, and would come back to ${site.dcid} by itself` };
    const evidence = `the cluster serves in ${view.activeDc} since generation ${view.generation}, and prefers it`;
    return { state: 'done', output: proofOf(site, 'demoted', evidence, view) };
  }
  const why = 'why' in seen ? seen.why : 'the database is not available';
  const stopped = await inspectStopped(site, step);
  if (stopped === undefined) return { state: 'absent', why: `${why}; nothing says that ${site.dcid} is stopped` };
  return { state: 'done', output: proofOf(site, 'stopped', stopped, 'view' in seen ? seen.view : undefined) };
}

function proofOf(site: FdbSite, proof: FenceProofKind, evidence: string, view: ClusterView | undefined): FenceProof {
  // After a move the other region has all that was ever acknowledged here: its own version is the mark.
  const position = view && positionOf(view, proof === 'demoted' ? site.other.dcid : site.dcid);
  return { proof, evidence, sinceMs: site.context.host.clock.nowMs(), ...(position === undefined ? {} : { position }) };
}

/** What was seen, or undefined where nothing proves it. A host that can't be reached says nothing. */
async function inspectStopped({ context, hands }: FdbSite, { signal }: StepContext): Promise<string | undefined> {
  const { stop } = context.site;
  if (stop === undefined) return undefined;
  try {
    const result = await runSiteCommand(hands, stop.inspect, { timeoutMs: context.options['command-timeout'], signal });
    return result.exitCode === 0 ? `stopped and barred by ${hands.name}: ${endOfOutput(result)}` : undefined;
  } catch (error) {
    signal.throwIfAborted();
    context.host.log.info('fence-not-seen', { region: context.region, why: error instanceof Error ? error.message : String(error) });
    return undefined;
  }
}

async function apply(site: FdbSite, want: JsonObject, step: StepContext): Promise<void> {
  const { context, hands, other } = site;
  const seen = await readFromAnywhere(site, step);
  if ('view' in seen && serves(seen.view)) {
    if (seen.view.activeDc !== other.dcid) requireMovable(site, seen.view, other.dcid);
    await bindToCluster(seen.view, step);
    await prefer(site, seen.client, seen.view, other.dcid, step);
    return;
  }
  const why = 'why' in seen ? seen.why : 'the database is not available';
  if (want.clean === true)
    throw fail('SYSTEM_UNREACHABLE', {
      message: `it can't be moved in an orderly way: ${why}`,
      hint: 'A planned change needs the database to serve. If the region is lost, run holdfast failover.',
    });
  const { stop } = context.site;
  if (stop === undefined)
    throw fail('FENCE_NOT_PROVEN', {
      message: `${why}, and the site has no stop: nothing proves that ${site.dcid} takes no writes`,
      hint: 'Stop its processes by hand and confirm with --fenced-by NAME, or give the site stop: { apply, inspect }.',
    });
  const { signal } = step;
  await applySiteCommand(hands, stop.apply, { timeoutMs: context.options['command-timeout'], signal }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw fail('FENCE_NOT_PROVEN', {
      message: `${why}, and ${site.dcid} could not be stopped: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Stop its processes by hand and confirm with --fenced-by NAME.',
      cause,
    });
  });
}
