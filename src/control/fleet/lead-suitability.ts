/**
 * Which controller had better lead. Pure. Any of them can: this is about who survives what it has to decide on, about one that sees less than others do, and about who is beside what a
 * failover works on: each of its statements to a data store is a way there and back.
 *
 * Invariant: being unsuited never leaves the platform without a lead: it only makes a controller wait a moment for a better one, and step down when there is one.
 */
import type { RegionVerdict } from '../../watch/verdict.ts';
import type { FleetView, Member } from './fleet.ts';

export interface Unsuited {
  readonly because: string;
  /**
   * urgent: it keeps something from happening now · exposed: what it is there to decide on would take the lead with it · distant: another is nearer to what it would have to do.
   */
  readonly how: 'urgent' | 'exposed' | 'distant';
}

const counts = (member: Member) => member.notCounted === undefined;

function strangersWhoAgree(view: FleetView): number {
  const groups = new Map<string, number>();
  for (const { present, notCounted, opinion } of view.members) {
    if (!present || notCounted === undefined || !opinion) continue;
    const group = `${opinion.specDigest} ${opinion.version}`;
    groups.set(group, (groups.get(group) ?? 0) + 1);
  }
  return Math.max(0, ...groups.values());
}

/** Why another should lead rather than the controller of `region`; undefined where there is no better one. */
export function computeUnsuited(
  region: string,
  view: FleetView,
  situation: { readonly activeRegion: string; readonly target: string | undefined; readonly verdict: RegionVerdict | undefined },
): Unsuited | undefined {
  const others = view.members.filter((member) => member.region !== region && counts(member));
  if (others.length + 1 < view.needed && strangersWhoAgree(view) >= view.needed)
    return { because: 'most of the controllers work from another spec or version', how: 'urgent' };
  const { activeRegion, target, verdict } = situation;
  const own = view.members.find((member) => member.region === region)?.opinion;
  const blocked = (member: Member | undefined) => target !== undefined && (member?.opinion?.faults[target]?.length ?? 0) > 0;
  const better = others.find((member) => member.region !== activeRegion && !blocked(member));
  if (!better) return undefined;
  if (verdict?.state === 'lost' && own && target !== undefined && (own.faults[target]?.length ?? 0) > 0)
    return { because: `${target} could take over as ${better.region} sees it, and not as it is seen from ${region}`, how: 'urgent' };
  if (region === activeRegion)
    return { because: `${region} is the active region, and its loss would take the lead with it`, how: 'exposed' };
  if (region !== target && others.some((member) => member.region === target && !blocked(member)))
    return { because: `${target} would take over, and its controller is beside it`, how: 'distant' };
  return undefined;
}
