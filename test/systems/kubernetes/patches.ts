/** The kinds of patch that the API takes: JSON (operations), merge, strategic merge (lists by their keys). Server-side apply is in field-owners.ts. */
import { badRequest } from './api-error.ts';
import { equal, type Fields, isFields } from './fields.ts';
import type { Schema } from './schema.ts';

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const merged: Fields = isFields(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

/** As the merge patch, but lists with a key are merged member by member; `$patch` and `$setElementOrder` are understood as far as kubectl writes them. */
export function strategicPatch(schema: Schema | undefined, target: unknown, patch: unknown): unknown {
  if (Array.isArray(patch) && schema?.type === 'list' && schema.key !== undefined) return mergeLists(schema.of, schema.key, target, patch);
  if (!isFields(patch)) return patch;
  if (patch.$patch === 'replace') return Object.fromEntries(Object.entries(patch).filter(([name]) => name !== '$patch'));
  const merged: Fields = isFields(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith('$')) continue;
    if (value === null) delete merged[name];
    else merged[name] = strategicPatch(innerSchema(schema, name), merged[name], value);
  }
  return merged;
}

function innerSchema(schema: Schema | undefined, name: string): Schema | undefined {
  if (schema?.type === 'object') return schema.fields[name];
  return schema?.type === 'map' ? schema.of : undefined;
}

function mergeLists(schema: Schema, key: string, target: unknown, patch: readonly unknown[]): unknown[] {
  const merged = Array.isArray(target) ? [...target] : [];
  for (const each of patch) {
    if (!isFields(each)) continue;
    if (each[key] === undefined) throw badRequest(`map: ${JSON.stringify(each)} does not contain declared merge key: ${key}`);
    const index = merged.findIndex((member) => isFields(member) && member[key] === each[key]);
    if (each.$patch === 'delete') {
      if (index >= 0) merged.splice(index, 1);
    } else if (index >= 0) merged[index] = strategicPatch(schema, merged[index], each);
    else merged.push(strategicPatch(schema, {}, each));
  }
  return merged;
}

export function jsonPatch(target: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  let result = structuredClone(target);
  for (const operation of operations as Fields[]) result = applyOperation(result, operation);
  return result;
}

function applyOperation(document: unknown, { op, path, value, from }: Fields): unknown {
  if (typeof path !== 'string') throw badRequest('a JSON patch operation needs a path');
  const found = readPath(document, path);
  switch (op) {
    case 'test':
      if (!equal(found, value)) throw Object.assign(badRequest(`testing value ${path} failed`), { code: 422, reason: 'Invalid' });
      return document;
    case 'remove':
      if (found === undefined)
        throw Object.assign(badRequest(`the server rejected our request due to an error in our request`), { code: 422, reason: 'Invalid' });
      return writePath(document, path, undefined, 'remove');
    case 'replace':
      if (found === undefined)
        throw Object.assign(badRequest(`replace operation does not apply: doc is missing path: ${path}`), { code: 422, reason: 'Invalid' });
      return writePath(document, path, value, 'replace');
    case 'add':
      return writePath(document, path, value, 'add');
    case 'copy':
      return writePath(document, path, readPath(document, String(from)), 'add');
    case 'move':
      return writePath(writePath(document, String(from), undefined, 'remove'), path, readPath(document, String(from)), 'add');
    default:
      throw badRequest(`Unexpected kind: ${op}`);
  }
}

const partsOf = (path: string): string[] =>
  path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

function readPath(document: unknown, path: string): unknown {
  return partsOf(path).reduce<unknown>(
    (at, part) => (Array.isArray(at) ? at[Number(part)] : isFields(at) ? at[part] : undefined),
    document,
  );
}

function writePath(document: unknown, path: string, value: unknown, how: 'add' | 'replace' | 'remove'): unknown {
  const parts = partsOf(path);
  const last = parts.pop();
  if (last === undefined) return value;
  const parent = parts.reduce<unknown>(
    (at, part) => (Array.isArray(at) ? at[Number(part)] : isFields(at) ? at[part] : undefined),
    document,
  );
  if (Array.isArray(parent)) {
    const index = last === '-' ? parent.length : Number(last);
    if (how === 'add') parent.splice(index, 0, value);
    else if (how === 'remove') parent.splice(index, 1);
    else parent[index] = value;
  } else if (isFields(parent)) {
    if (how === 'remove') delete parent[last];
    else parent[last] = value;
  } else throw Object.assign(badRequest(`${how} operation does not apply: doc is missing path: ${path}`), { code: 422, reason: 'Invalid' });
  return document;
}
