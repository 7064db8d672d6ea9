/** Which region a controller stands in: named by whoever starts it, and one of those that have a controller. */
import { fail } from '../../base/errors.ts';
import { nearestWord } from '../../base/nearest.ts';
import type { Spec } from '../../spec/spec.ts';

/**
 * @param named as it was given
 * @param needed whether nothing can be done without it: a controller; a command only has no local hands then
 */
export function ownRegion(spec: Spec, named: string | undefined, needed: boolean): string | undefined {
  if (!spec.state) return undefined;
  const { regions } = spec.controllers;
  if (named === undefined || named === '') {
    if (!needed) return undefined;
    if (regions.length === 1) return regions[0];
    throw fail('REGION_NEEDED', {
      message: `${spec.name} has controllers in ${regions.join(', ')}, and nobody said in which of them this one stands`,
      hint: `Name it: holdfast serve --region ${regions[0]}, or set HOLDFAST_REGION.`,
    });
  }
  if (regions.includes(named)) return named;
  const nearest = nearestWord(named, regions);
  const known = spec.regions.has(named);
  throw fail('NOT_FOUND', {
    subject: named,
    message: known ? `the region ${named} has no controller by the spec` : `there is no region "${named}"`,
    hint:
      nearest && !known ? `Did you mean "${nearest}"?` : `Controllers stand in ${regions.join(', ')} (controllers.regions of the spec).`,
  });
}
