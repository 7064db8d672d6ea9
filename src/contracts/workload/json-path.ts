/**
 * Paths into a JSON document as a spec writes them: `components.*.status`. Segments are separated by dots; a number picks an array element; `*` takes every member, so
 * that one line can say "all of them". Compiled once, read often: a probe must not parse its own options each second.
 */
import type { Json, JsonObject } from '../../base/json.ts';

/** Every value that the path leads to; `undefined` stands for a member that is missing. Empty when `*` met nothing to look at. */
export type JsonPathReader = (document: Json) => readonly (Json | undefined)[];

export function compileJsonPath(path: string): JsonPathReader {
  const segments = path.split('.');
  return (document) => {
    let found: (Json | undefined)[] = [document];
    for (const segment of segments) {
      const next: (Json | undefined)[] = [];
      for (const value of found) {
        if (segment === '*') next.push(...membersOf(value));
        else next.push(memberOf(value, segment));
      }
      found = next;
    }
    return found;
  };
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  if (Array.isArray(value)) return /^\d+$/.test(name) ? (value[Number(name)] as Json | undefined) : undefined;
  return Object.hasOwn(value, name) ? (value as JsonObject)[name] : undefined;
}

function membersOf(value: Json | undefined): readonly (Json | undefined)[] {
  if (value === null || typeof value !== 'object') return [undefined];
  return Object.values(value);
}
