/**
 * What can be checked only between the parts of a spec: names that refer to others, roles of regions, sites that are missing.
 *
 * The checks work on what is written, not only on what was found sound: a fault in the body of a component does not hide that another one needs it.
 */
import { nearestWord } from '../base/nearest.ts';
import type { DriverCatalog } from '../contracts/driver.ts';
import type { FaultCollector } from './fault-collector.ts';
import { describePlace } from './fault-collector.ts';
import { childOf, entriesOf, type LocatedNode, placeAt } from './located-node.ts';
import type { RegionRole } from './spec.ts';

function didYouMean(word: string, known: readonly string[], otherwise: string): string {
  const nearest = nearestWord(word, known);
  return nearest === undefined ? otherwise : `Did you mean "${nearest}"?`;
}

function textOf(node: LocatedNode | undefined): string | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
}

/** The written role of each region whose role is sound, in order. */
function rolesOf(root: LocatedNode): ReadonlyMap<string, RegionRole> {
  const roles = new Map<string, RegionRole>();
  for (const [name, entry] of entriesOf(childOf(root, 'regions'))) {
    const role = textOf(childOf(entry.node, 'role'));
    if (role === 'active' || role === 'standby' || role === 'witness') roles.set(name, role);
  }
  return roles;
}

export function checkRegions(collector: FaultCollector): void {
  const { root } = collector;
  const regions = childOf(root, 'regions');
  if (regions?.kind !== 'map') return;
  const roles = rolesOf(root);
  const actives = [...roles].filter(([, role]) => role === 'active').map(([name]) => name);
  const [first, ...others] = actives;
  for (const other of others) {
    collector.add(
      ['regions', other, 'role'],
      'value',
      `${other} is a second active region: ${first} is active already`,
      `One region is active at a time. Give this one, or ${first} (${describePlace(placeAt(root, ['regions', first as string], 'key'))}), the role standby.`,
    );
  }
  // With a role that could not be read, what seems to be missing may be there.
  if (roles.size < regions.entries.size) return;
  if (first === undefined) collector.add(['regions'], 'key', 'no region is active', 'Give the region that serves now the role active.');
  if (![...roles.values()].includes('standby') && !isBackedUp(root))
    collector.add(
      ['regions'],
      'key',
      'no region is a standby: nothing could take over',
      'Give a second region the role standby, or back the components up: with backups, one region will do.',
    );
}

/** Something brings data back, even where no region could take over. */
function isBackedUp(root: LocatedNode): boolean {
  return [...entriesOf(childOf(root, 'components')).values()].some(({ node }) => childOf(node, 'backup') !== undefined);
}

function checkNeedsExist(name: string, component: LocatedNode, components: ReadonlyMap<string, unknown>, collector: FaultCollector): void {
  const needs = childOf(component, 'needs');
  if (needs?.kind !== 'list') return;
  const seen = new Set<string>();
  for (const [index, item] of needs.items.entries()) {
    const need = textOf(item);
    if (need === undefined) continue;
    const path = ['components', name, 'needs', index];
    if (!components.has(need))
      collector.add(
        path,
        'value',
        `component ${name} needs "${need}", and there is no such component`,
        didYouMean(need, [...components.keys()], `There are: ${[...components.keys()].join(', ')}.`),
      );
    else if (seen.has(need)) collector.add(path, 'value', `component ${name} needs "${need}" twice`, 'Take one of the two away.');
    seen.add(need);
  }
}

type Needs = ReadonlyMap<string, readonly string[]>;

/** Takes away, again and again, whatever needs nothing that is left. What remains is in a cycle or needs something that is. */
function withoutSatisfied(needs: Needs): Map<string, readonly string[]> {
  const remaining = new Map(needs);
  const neededBy = new Map<string, string[]>();
  const open = new Map<string, number>();
  for (const [name, wanted] of needs) {
    const known = wanted.filter((need) => needs.has(need));
    open.set(name, known.length);
    for (const need of known) neededBy.set(need, [...(neededBy.get(need) ?? []), name]);
  }
  const ready = [...open].filter(([, count]) => count === 0).map(([name]) => name);
  for (let name = ready.pop(); name !== undefined; name = ready.pop()) {
    remaining.delete(name);
    for (const dependent of neededBy.get(name) ?? []) {
      const count = (open.get(dependent) as number) - 1;
      open.set(dependent, count);
      if (count === 0) ready.push(dependent);
    }
  }
  return remaining;
}

/** Cycles that share no component, each as the names along it. */
export function findCycles(needs: Needs): readonly (readonly string[])[] {
  const cycles: string[][] = [];
  let remaining = withoutSatisfied(needs);
  while (remaining.size > 0) {
    const walked: string[] = [];
    const placeOf = new Map<string, number>();
    let at = remaining.keys().next().value as string;
    while (!placeOf.has(at)) {
      placeOf.set(at, walked.length);
      walked.push(at);
      at = (remaining.get(at) as readonly string[]).find((need) => remaining.has(need)) as string;
    }
    const cycle = walked.slice(placeOf.get(at));
    cycles.push(cycle);
    for (const name of cycle) remaining.delete(name);
    remaining = withoutSatisfied(remaining);
  }
  return cycles;
}

function checkCycles(components: ReadonlyMap<string, { readonly node: LocatedNode }>, collector: FaultCollector): void {
  const needs = new Map<string, readonly string[]>();
  for (const [name, entry] of components) {
    const list = childOf(entry.node, 'needs');
    // One need twice is one need: a second edge would never be taken away.
    needs.set(name, list?.kind === 'list' ? [...new Set(list.items.map(textOf).filter((need) => need !== undefined))] : []);
  }
  for (const cycle of findCycles(needs)) {
    const [first, second] = [cycle[0] as string, cycle[1] ?? (cycle[0] as string)];
    const list = childOf(components.get(first)?.node, 'needs');
    const index = list?.kind === 'list' ? list.items.findIndex((item) => textOf(item) === second) : 0;
    collector.add(
      ['components', first, 'needs', index],
      'value',
      `components need each other in a circle: ${[...cycle, first].join(' -> ')}`,
      'Take one of these needs away: none of them could ever be the first to start.',
    );
  }
}

function checkSites(name: string, component: LocatedNode, catalog: DriverCatalog, collector: FaultCollector): void {
  const regionNames = [...entriesOf(childOf(collector.root, 'regions')).keys()];
  const sites = childOf(component, 'sites');
  for (const region of entriesOf(sites).keys()) {
    if (regionNames.includes(region)) continue;
    collector.add(
      ['components', name, 'sites', region],
      'key',
      `component ${name} has a site in "${region}", and there is no such region`,
      didYouMean(region, regionNames, regionNames.length === 0 ? 'Name it below regions.' : `There are: ${regionNames.join(', ')}.`),
    );
  }
  const kind = catalog.get(textOf(childOf(component, 'driver')) ?? '')?.kind;
  if (kind !== 'data' && kind !== 'workload') return;
  if (sites !== undefined && sites.kind !== 'map' && !(sites.kind === 'scalar' && sites.value === null)) return;
  for (const [region, role] of rolesOf(collector.root)) {
    if (role === 'witness' || entriesOf(sites).has(region)) continue;
    const what =
      role === 'active' ? 'the active region: there is nothing to take over from' : 'the standby region: nothing could take over there';
    collector.add(
      ['components', name, 'sites'],
      'key',
      `component ${name} has no site in ${region}, ${what}`,
      `Add ${region} below sites of ${name}.`,
    );
  }
}

export function checkComponents(catalog: DriverCatalog, collector: FaultCollector): void {
  const components = entriesOf(childOf(collector.root, 'components'));
  for (const [name, entry] of components) {
    checkNeedsExist(name, entry.node, components, collector);
    checkSites(name, entry.node, catalog, collector);
  }
  checkCycles(components, collector);
}
