/** Turns the shares of regions into weights of single servers. Pure. */
import type { RouteWeights } from '../../contracts/route-want.ts';

const weightMax = 256;

/**
 * The weight of each server of each region, so that the sums over regions are in the wanted proportion whatever number of servers each has. Whole numbers up to 256, as HAProxy takes them; a
 * region that shall get anything gets at least 1 on each server, though that may be more than its share.
 */
export function computeServerWeights(weights: RouteWeights, serverCounts: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const perServer = new Map<string, number>();
  for (const [region, weight] of weights)
    if (weight > 0) perServer.set(region, Math.max(Number.MIN_VALUE, weight / (serverCounts.get(region) ?? 1)));
  const largest = Math.max(...perServer.values());
  const scale = exactScale([...perServer.values()], largest);
  const result = new Map<string, number>();
  for (const region of weights.keys()) {
    const share = perServer.get(region);
    const exact = share === undefined ? 0 : scale === undefined ? (share / largest) * weightMax : share * scale;
    result.set(region, share === undefined ? 0 : Math.max(1, Math.round(exact)));
  }
  return result;
}

/** The smallest whole factor that makes all of them whole without exceeding the largest weight; undefined where there is none. */
function exactScale(shares: readonly number[], largest: number): number | undefined {
  for (let scale = 1; scale <= weightMax && scale * largest <= weightMax; scale += 1) {
    if (shares.every((share) => share * scale >= 1 && Math.abs(share * scale - Math.round(share * scale)) < 1e-9)) return scale;
  }
  return undefined;
}
