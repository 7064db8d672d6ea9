/**
 * Records as they shall be, and records as they are, in one form. One weighted record for each region, whatever its share: so that a canary needs no other kind of record, and a failover
 * changes numbers only. Pure.
 *
 * Two traps of the service are kept out of here. All weights 0 means "equal shares", not "nobody": at least one is above 0. And a record that names a health check is answered or not as that
 * check says: none of ours names one, so that traffic goes where the weights say and nowhere else.
 */
import type { RouteWeights } from '../../contracts/route-want.ts';
import { canonicalAddress } from './address.ts';
import { listedName, type RecordSet } from './client.ts';
import type { ComponentOptions, SiteOptions } from './options.ts';

const weightMax = 255;

/** Whole numbers from 0 to 255 in the proportions that are wanted; what is above 0 stays above 0. */
export function wholeWeights(weights: RouteWeights): ReadonlyMap<string, number> {
  if ([...weights.values()].every(Number.isInteger)) return weights;
  const largest = Math.max(...weights.values());
  return new Map(
    [...weights].map(([region, weight]) => [region, weight === 0 ? 0 : Math.max(1, Math.round((weight / largest) * weightMax))]),
  );
}

export function wantedRecords(
  options: ComponentOptions,
  sites: ReadonlyMap<string, SiteOptions>,
  weights: ReadonlyMap<string, number>,
): readonly RecordSet[] {
  return [...sites].map(([region, { address }]) => ({
    Name: listedName(options.record),
    Type: options.type,
    SetIdentifier: region,
    Weight: weights.get(region) ?? 0,
    TTL: options.ttl / 1_000,
    ResourceRecords: [{ Value: address }],
  }));
}

export type Policy = 'simple' | 'weighted' | 'other';

export function policyOf(set: RecordSet): Policy {
  if (set.Weight !== undefined) return 'weighted';
  const other = [set.Failover, set.Region, set.GeoLocation, set.MultiValueAnswer, set.CidrRoutingConfig, set.GeoProximityLocation];
  return other.some((each) => each !== undefined) || set.TrafficPolicyInstanceId !== undefined ? 'other' : 'simple';
}

/** Everything about it that decides who is answered what, in one text. */
export function fingerprint(options: ComponentOptions, set: RecordSet): string {
  const values = valuesOf(options, set);
  const alias = set.AliasTarget === undefined ? '' : `alias ${set.AliasTarget.HostedZoneId} ${set.AliasTarget.DNSName}`;
  return JSON.stringify([policyOf(set), set.SetIdentifier ?? '', set.Weight ?? '', set.TTL ?? '', values, set.HealthCheckId ?? '', alias]);
}

export function sameRecords(options: ComponentOptions, left: readonly RecordSet[], right: readonly RecordSet[]): boolean {
  const texts = (sets: readonly RecordSet[]) =>
    sets
      .map((set) => fingerprint(options, set))
      .sort()
      .join('\n');
  return texts(left) === texts(right);
}

/** How much of the traffic each region of the spec gets, from 0 to 1; what goes elsewhere is missing from the sum. All of the weights 0: equal shares. */
export function sharesOf(
  options: ComponentOptions,
  sites: ReadonlyMap<string, SiteOptions>,
  sets: readonly RecordSet[],
): ReadonlyMap<string, number> {
  const weightOf = (set: RecordSet) => (policyOf(set) === 'weighted' ? (set.Weight ?? 0) : 1);
  const total = sets.reduce((sum, set) => sum + weightOf(set), 0);
  const shares = new Map<string, number>();
  for (const [region, { address }] of sites) {
    const own = sets.filter((set) => valuesOf(options, set).join(' ') === canonicalAddress(options.type, address));
    const weight = own.reduce((sum, set) => sum + (total === 0 ? 1 : weightOf(set)), 0);
    shares.set(region, sets.length === 0 ? 0 : weight / (total === 0 ? sets.length : total));
  }
  return shares;
}

/** In canonical form; what does not fit the type is kept as it is. */
export function valuesOf(options: ComponentOptions, set: RecordSet): readonly string[] {
  return (set.ResourceRecords ?? [])
    .map(({ Value = '' }) => {
      try {
        return canonicalAddress(options.type, Value);
      } catch {
        return Value; // somebody else's, and no address of ours: equal to itself only
      }
    })
    .sort();
}

/** For people: `us-east-1 100, us-west-2 0 (TTL 60 s)`. */
export function describeRecords(options: ComponentOptions, sets: readonly RecordSet[]): string {
  if (sets.length === 0) return 'no record';
  const each = sets.map((set) => {
    const what = set.AliasTarget === undefined ? valuesOf(options, set).join(' ') : `alias of ${set.AliasTarget.DNSName}`;
    return policyOf(set) === 'weighted' ? `${set.SetIdentifier} weight ${set.Weight} to ${what}` : what;
  });
  return `${each.join(', ')} (TTL ${Math.max(...sets.map(({ TTL }) => TTL ?? 0))} s)`;
}
