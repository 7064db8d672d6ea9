/**
 * Several files, one spec: the maps of the top level are merged name by name, lists are joined. The same name in two files is a fault that names both places; only
 * `holdfast` may be said in each of them.
 */
import type { Fault } from './fault.ts';
import { describePlace, faultAt } from './fault-collector.ts';
import { entriesOf, type LocatedEntry, type LocatedNode, makeList, makeMap, plainValue } from './located-node.ts';

export interface MergedFiles {
  readonly root: LocatedNode;
  readonly faults: readonly Fault[];
}

function mergeEntry(name: string, first: LocatedEntry, second: LocatedEntry, faults: Fault[]): LocatedEntry {
  if (first.node.kind === 'list' && second.node.kind === 'list')
    return { key: first.key, node: makeList(first.node.place, [...first.node.items, ...second.node.items]) };
  if (first.node.kind === 'map' && second.node.kind === 'map') {
    const entries = new Map(first.node.entries);
    for (const [key, entry] of second.node.entries) {
      const earlier = entries.get(key);
      if (earlier === undefined) entries.set(key, entry);
      else
        faults.push(
          faultAt(
            entry.key,
            [name, key],
            `"${key}" of ${name} is given in two files`,
            `It is also in ${describePlace(earlier.key)}: keep one of the two.`,
          ),
        );
    }
    return { key: first.key, node: makeMap(first.node.place, entries) };
  }
  const same = name === 'holdfast' && plainValue(first.node) === plainValue(second.node);
  if (!same)
    faults.push(
      faultAt(second.key, [name], `"${name}" is given in two files`, `It is also in ${describePlace(first.key)}: keep one of the two.`),
    );
  return first;
}

/** `roots` are maps, one for each file, in order; at least one. */
export function mergeFiles(roots: readonly LocatedNode[]): MergedFiles {
  const [first, ...others] = roots as readonly [LocatedNode, ...LocatedNode[]];
  const faults: Fault[] = [];
  const merged = new Map(entriesOf(first));
  for (const root of others) {
    for (const [name, entry] of entriesOf(root)) {
      const earlier = merged.get(name);
      merged.set(name, earlier === undefined ? entry : mergeEntry(name, earlier, entry, faults));
    }
  }
  return { root: makeMap(first.place, merged), faults };
}
