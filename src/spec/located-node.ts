/**
 * The content of a YAML file with the place in the text that each part comes from, free of the parser's types: maps, lists and scalars only, aliases followed.
 */
import type { SpecPath } from './fault.ts';

export interface SourceText {
  readonly file: string;
  readonly text: string;
  /** Offset at which each line begins. */
  readonly lineStarts: readonly number[];
}

/** A stretch of a text; `end` is exclusive. */
export interface Place {
  readonly source: SourceText;
  readonly start: number;
  readonly end: number;
}

export interface LocatedEntry {
  readonly key: Place;
  readonly node: LocatedNode;
}

export type LocatedNode =
  | { readonly kind: 'map'; readonly place: Place; readonly size: number; readonly entries: ReadonlyMap<string, LocatedEntry> }
  | { readonly kind: 'list'; readonly place: Place; readonly size: number; readonly items: readonly LocatedNode[] }
  | { readonly kind: 'scalar'; readonly place: Place; readonly size: number; readonly value: string | number | boolean | null };

export function makeSourceText(file: string, text: string): SourceText {
  const lineStarts = [0];
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) lineStarts.push(end + 1);
  return { file, text, lineStarts };
}

/** Line and column, both from 1, of an offset. */
export function lineAndColumn(source: SourceText, offset: number): { readonly line: number; readonly column: number } {
  let low = 0;
  let high = source.lineStarts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((source.lineStarts[middle] as number) <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - (source.lineStarts[low] as number) + 1 };
}

export function makeMap(place: Place, entries: ReadonlyMap<string, LocatedEntry>): LocatedNode {
  let size = 1;
  for (const entry of entries.values()) size += entry.node.size;
  return { kind: 'map', place, size, entries };
}

export function makeList(place: Place, items: readonly LocatedNode[]): LocatedNode {
  return { kind: 'list', place, size: items.reduce((size, item) => size + item.size, 1), items };
}

export function makeScalar(place: Place, value: string | number | boolean | null): LocatedNode {
  return { kind: 'scalar', place, size: 1, value };
}

const noEntries: ReadonlyMap<string, LocatedEntry> = new Map();

/** The entries of a map; none for anything else. */
export function entriesOf(node: LocatedNode | undefined): ReadonlyMap<string, LocatedEntry> {
  return node?.kind === 'map' ? node.entries : noEntries;
}

export function childOf(node: LocatedNode | undefined, part: string | number): LocatedNode | undefined {
  if (node?.kind === 'map') return node.entries.get(String(part))?.node;
  if (node?.kind === 'list' && typeof part === 'number') return node.items[part];
  return undefined;
}

export function nodeAt(root: LocatedNode, path: SpecPath): LocatedNode | undefined {
  return path.reduce<LocatedNode | undefined>((node, part) => childOf(node, part), root);
}

/**
 * Where to point for a path. `value`: at the value, or at its key where the value is empty text. `key`: at the key. What does not exist is
 * pointed at by the key of the innermost map that does: it is the place where the missing thing has to be added.
 */
export function placeAt(root: LocatedNode, path: SpecPath, which: 'key' | 'value'): Place {
  let node: LocatedNode = root;
  let key = root.place;
  for (const part of path) {
    const child = childOf(node, part);
    if (child === undefined) return key;
    key = (node.kind === 'map' ? node.entries.get(String(part))?.key : undefined) ?? child.place;
    node = child;
  }
  return which === 'key' || node.place.start === node.place.end ? key : node.place;
}

/** The bare value. Every key has been checked to be harmless when the node was made. */
export function plainValue(node: LocatedNode): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(plainValue);
  const object: Record<string, unknown> = {};
  for (const [key, entry] of node.entries) object[key] = plainValue(entry.node);
  return object;
}

/** The same map with some of its entries only. */
export function pickEntries(node: LocatedNode, wanted: (key: string) => boolean): LocatedNode {
  return makeMap(node.place, new Map([...entriesOf(node)].filter(([key]) => wanted(key))));
}
