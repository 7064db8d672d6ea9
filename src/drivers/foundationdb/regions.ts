/** The configuration of regions, and changes of it. Pure. The region with the highest priority that is not negative is the active one; a negative one never is. */
import type { ClusterView, RegionConfiguration } from './status.ts';

export const mainOf = (region: RegionConfiguration) => region.datacenters.find(({ satellite }) => satellite !== 1);

const find = (regions: readonly RegionConfiguration[] | undefined, dcid: string) => regions?.find((region) => mainOf(region)?.id === dcid);

export const priorityOf = (regions: readonly RegionConfiguration[] | undefined, dcid: string): number | undefined =>
  mainOf(find(regions, dcid) ?? { datacenters: [] })?.priority;

/** The regions with other priorities, and nothing else changed. */
export function withPriorities(
  regions: readonly RegionConfiguration[],
  priorities: Readonly<Record<string, number>>,
): readonly RegionConfiguration[] {
  return regions.map((region) => ({
    ...region,
    datacenters: region.datacenters.map((dc) => {
      const priority = dc.satellite === 1 ? undefined : priorities[dc.id];
      return priority === undefined ? dc : { ...dc, priority };
    }),
  }));
}

/** Whether the cluster stays in this data centre by itself: the other one may be preferred by nothing. */
export function prefers(view: ClusterView, dcid: string, other: string): boolean {
  const own = priorityOf(view.regions, dcid);
  if (own === undefined || own < 0) return false;
  return own > (priorityOf(view.regions, other) ?? -1);
}

export const hasProcesses = (view: ClusterView, dcid: string): boolean => (view.processes?.get(dcid) ?? 0) > 0;

/** Whether a write is acknowledged only once it is outside of the region as well: only a satellite's log does that. */
export function hasSatellites(view: ClusterView, dcid: string): boolean {
  const region = find(view.regions, dcid);
  if (region?.satellite_redundancy_mode === undefined) return false;
  return region.datacenters.some((dc) => dc.satellite === 1 && hasProcesses(view, dc.id));
}

/** What keeps the other region from taking over without loss; undefined: nothing. */
export function hindranceOf(view: ClusterView, target: string, lagLimitMs: number): string | undefined {
  if (!view.available) return 'the database is not available';
  if (view.usableRegions !== 2) return `usable_regions is ${view.usableRegions ?? 'not told'}: there is no copy in ${target}`;
  if (!hasProcesses(view, target)) return `no process of ${target} reports`;
  if (view.fullReplication !== true) return 'it is not fully replicated';
  if (view.dataHealthy !== true) return 'its data is not healthy yet';
  if (view.lagSeconds === undefined) return 'it does not say how far the other region is behind';
  if (view.lagSeconds * 1_000 > lagLimitMs)
    return `the other region is ${view.lagSeconds} s behind, and ${lagLimitMs / 1_000} s are allowed`;
  return undefined;
}
