/**
 * Who owns which field (`metadata.managedFields`), and server-side apply by it: a field that another applier or writer owns with another value is a conflict, and a field that was
 * applied before and is left out now is removed.
 */
import { ApiError } from './api-error.ts';
import { equal, type Fields, isFields, stamp } from './fields.ts';
import { strategicPatch } from './patches.ts';
import type { Schema } from './schema.ts';

/** `f:spec` then `f:replicas`; members of lists by their key: `k:{"name":"web"}`. */
type Path = readonly string[];
const pathKey = (path: Path): string => JSON.stringify(path);

interface Leaf {
  readonly path: Path;
  readonly value: unknown;
}

function leavesOf(schema: Schema | undefined, value: unknown, path: Path = []): Leaf[] {
  if (isFields(value) && (schema?.type === 'object' || schema?.type === 'map' || path.length === 0)) {
    const inner = (name: string) => (schema?.type === 'object' ? schema.fields[name] : schema?.type === 'map' ? schema.of : undefined);
    return Object.entries(value).flatMap(([name, each]) => leavesOf(inner(name), each, [...path, `f:${name}`]));
  }
  if (Array.isArray(value) && schema?.type === 'list' && schema.key !== undefined) {
    const { key, of } = schema;
    return value.flatMap((each) => leavesOf(of, each, [...path, `k:${JSON.stringify({ [key]: (each as Fields)?.[key] })}`]));
  }
  return [{ path, value }];
}

const notOwned = new Set(['f:apiVersion', 'f:kind', 'f:status']);
const ownedMetadata = new Set(['f:labels', 'f:annotations', 'f:finalizers', 'f:ownerReferences']);

function ownable(schema: Schema, value: Fields): Map<string, Leaf> {
  const leaves = leavesOf(schema, value).filter(
    ({ path }) => !notOwned.has(path[0] as string) && (path[0] !== 'f:metadata' || ownedMetadata.has(path[1] as string)),
  );
  return new Map(leaves.map((leaf) => [pathKey(leaf.path), leaf]));
}

interface Owner {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly time: string;
  readonly paths: Set<string>;
}

function readOwners(object: Fields): Owner[] {
  return ((object.metadata?.managedFields ?? []) as Fields[]).map(({ manager, operation, time, fieldsV1 }) => {
    const paths = new Set<string>();
    const walk = (tree: Fields, path: Path): void => {
      if (Object.keys(tree).length === 0) paths.add(pathKey(path));
      for (const [name, inner] of Object.entries(tree)) walk(inner as Fields, [...path, name]);
    };
    walk((fieldsV1 ?? {}) as Fields, []);
    return { manager, operation, time, paths };
  });
}

function writeOwners(owners: readonly Owner[], apiVersion: string): Fields[] {
  return owners
    .filter(({ paths }) => paths.size > 0)
    .map(({ manager, operation, time, paths }) => {
      const fieldsV1: Fields = {};
      for (const key of paths) {
        let at = fieldsV1;
        for (const part of JSON.parse(key) as string[]) {
          at[part] ??= {};
          at = at[part] as Fields;
        }
      }
      return { manager, operation, apiVersion, time, fieldsType: 'FieldsV1', fieldsV1 };
    });
}

/** What was changed belongs to who changed it from now on. */
export function recordUpdate(schema: Schema, before: Fields | undefined, after: Fields, manager: string): void {
  const old = before === undefined ? new Map<string, Leaf>() : ownable(schema, before);
  const now = ownable(schema, after);
  const changed = [...now].filter(([key, { value }]) => !equal(old.get(key)?.value, value)).map(([key]) => key);
  const owners = readOwners(before ?? {}).map((owner) => ({ ...owner, paths: new Set([...owner.paths].filter((key) => now.has(key))) }));
  if (changed.length > 0) {
    let own = owners.find((each) => each.manager === manager && each.operation === 'Update');
    if (own === undefined) {
      own = { manager, operation: 'Update', time: stamp(), paths: new Set() };
      owners.push(own);
    }
    for (const owner of owners) for (const key of changed) if (owner !== own) owner.paths.delete(key);
    for (const key of changed) own.paths.add(key);
  }
  after.metadata.managedFields = writeOwners(owners, String(after.apiVersion));
}

/** The object after an apply by `manager`. */
export function serverSideApply(
  schema: Schema,
  before: Fields | undefined,
  applied: Fields,
  { manager, force }: { readonly manager: string; readonly force: boolean },
): Fields {
  const wanted = ownable(schema, applied);
  const live = before === undefined ? new Map<string, Leaf>() : ownable(schema, before);
  const owners = readOwners(before ?? {});
  const own = owners.find((each) => each.manager === manager && each.operation === 'Apply') ?? {
    manager,
    operation: 'Apply' as const,
    time: stamp(),
    paths: new Set<string>(),
  };
  const others = owners.filter((each) => each !== own);
  const conflicts = others.flatMap((other) =>
    [...wanted]
      .filter(([key, { value }]) => other.paths.has(key) && live.has(key) && !equal(live.get(key)?.value, value))
      .map(([key, { path }]) => ({ other, key, field: path.map((part) => `.${part.replace(/^f:/, '')}`).join('') })),
  );
  if (conflicts.length > 0 && !force) {
    const causes = conflicts.map(({ other, field }) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${other.manager}"${other.operation === 'Update' ? ` using ${String(applied.apiVersion)}` : ''}`,
      field,
    }));
    throw new ApiError(
      409,
      'Conflict',
      `Apply failed with ${causes.length} conflict${causes.length === 1 ? '' : 's'}: ${causes.map((each) => `${each.message}: ${each.field}`).join(', ')}`,
      { causes },
    );
  }
  for (const { other, key } of conflicts) other.paths.delete(key);
  let result = strategicPatch(schema, before ?? {}, applied) as Fields;
  const heldByOthers = new Set(others.flatMap((each) => [...each.paths]));
  for (const key of own.paths) if (!wanted.has(key) && !heldByOthers.has(key)) result = without(result, JSON.parse(key) as Path) as Fields;
  own.paths.clear();
  for (const key of wanted.keys()) own.paths.add(key);
  result.metadata = { ...result.metadata, managedFields: writeOwners([...others, own], String(applied.apiVersion)) };
  return result;
}

function without(value: unknown, [part, ...rest]: Path): unknown {
  if (part === undefined) return undefined;
  if (part.startsWith('k:')) {
    const wanted = JSON.parse(part.slice(2)) as Fields;
    if (!Array.isArray(value)) return value;
    return value.flatMap((each) => {
      if (!isFields(each) || !Object.entries(wanted).every(([name, is]) => each[name] === is)) return [each];
      const left = rest.length === 0 ? undefined : without(each, rest);
      return left === undefined ? [] : [left];
    });
  }
  if (!isFields(value)) return value;
  const name = part.slice(2);
  const inner = without(value[name], rest);
  const { [name]: _, ...others } = value;
  return inner === undefined ? others : { ...others, [name]: inner };
}
