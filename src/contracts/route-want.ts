/** What the verb `route` is asked for, in one shape: how much of the traffic each region of the component gets. */
import { fail } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';

/** Every region of the component, with a weight of at least 0; at least one is above 0. Only their proportions mean something. */
export type RouteWeights = ReadonlyMap<string, number>;

/** Reads `{to: region}` or `{weights: {region: number}}`; a region that is not named gets nothing. PLAN_IMPOSSIBLE for anything else. */
export function parseRouteWant(want: JsonObject, regions: Iterable<string>): RouteWeights {
  const weights = new Map<string, number>();
  for (const region of regions) weights.set(region, 0);
  for (const [region, weight] of namedWeights(want)) {
    if (!weights.has(region))
      throw fail('PLAN_IMPOSSIBLE', { message: `traffic can't go to ${region}: the component has no site there`, details: { region } });
    if (typeof weight !== 'number' || !(weight >= 0 && weight <= 100))
      throw fail('PLAN_IMPOSSIBLE', { message: `the weight of ${region} is not a number from 0 to 100` });
    weights.set(region, weight);
  }
  if (![...weights.values()].some((weight) => weight > 0)) throw fail('PLAN_IMPOSSIBLE', { message: 'no region would get traffic' });
  return weights;
}

function namedWeights(want: JsonObject): [string, unknown][] {
  if (typeof want.to === 'string' && want.weights === undefined) return [[want.to, 100]];
  const weights = want.weights;
  if (want.to === undefined && typeof weights === 'object' && weights !== null && !Array.isArray(weights)) return Object.entries(weights);
  throw fail('PLAN_IMPOSSIBLE', { message: 'the verb route wants either {to: region} or {weights: {region: number}}' });
}

/** The one region that gets everything, or undefined where traffic is shared. */
export function onlyRegion(weights: RouteWeights): string | undefined {
  const receiving = [...weights].filter(([, weight]) => weight > 0);
  return receiving.length === 1 ? receiving[0]?.[0] : undefined;
}
