/**
 * Which member is near. Every read that a majority has to confirm, and every change, goes from the member that was asked to its leader and back: asking one that is far away adds its distance
 * to each of them, and one in a region that is lost holds up whatever is under way. Pure.
 */

/** Members whose times differ by less are as good as each other: then the order in which they were listed counts. */
const sameMs = 20;

/**
 * The members as they should be tried.
 * @param connectedAfterMs how long it took to connect to each, by its place in the list; those that are missing had not connected when that was no longer waited for
 */
export function orderByNearness(endpoints: readonly string[], connectedAfterMs: ReadonlyMap<string, number>): readonly string[] {
  const nearestMs = Math.min(...connectedAfterMs.values());
  // Whole steps from the nearest: a comparison by a tolerance would not be an order.
  const stepsOf = (endpoint: string) => Math.floor(((connectedAfterMs.get(endpoint) ?? Number.POSITIVE_INFINITY) - nearestMs) / sameMs);
  return endpoints
    .map((endpoint, place) => ({ endpoint, place, steps: connectedAfterMs.has(endpoint) ? stepsOf(endpoint) : Number.MAX_SAFE_INTEGER }))
    .toSorted((left, right) => left.steps - right.steps || left.place - right.place)
    .map(({ endpoint }) => endpoint);
}
