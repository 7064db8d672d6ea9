/**
 * Looks into zod schemas: what may stand at a path, which keys are known there, how a key is described, and whether a secret belongs there.
 *
 * Wrappers (optional, default, transform and so on) are looked through and every branch of a union counts, so the answers hold for what people write: the input.
 */
import { z } from 'zod';

export type Schema = z.core.$ZodType;

export interface KeyMeta {
  readonly description?: string;
  readonly examples: readonly unknown[];
}

type Metadata = { readonly description?: string; readonly examples?: readonly unknown[]; readonly holdfast?: string };

function metadataOf(schema: Schema): Metadata {
  return (z.globalRegistry.get(schema) ?? {}) as Metadata;
}

export function isSecretSchema(schema: Schema): boolean {
  return metadataOf(schema).holdfast === 'secret';
}

/** One level of wrapping off; undefined when there is none. */
function unwrap(schema: Schema): readonly Schema[] | undefined {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return [def.innerType];
    case 'pipe':
      return [def.in];
    case 'lazy':
      return [def.getter()];
    case 'union':
      return def.options;
    case 'intersection':
      return [def.left, def.right];
    default:
      return undefined;
  }
}

/** The schemas behind wrappers and unions. A secret's schema is kept whole. */
export function branchesOf(schema: Schema): readonly Schema[] {
  if (isSecretSchema(schema)) return [schema];
  const inside = unwrap(schema);
  return inside === undefined ? [schema] : inside.flatMap(branchesOf);
}

function step(schema: Schema, part: string | number): readonly Schema[] {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'object': {
      const member = Object.hasOwn(def.shape, part) ? def.shape[part] : def.catchall;
      // A strict object's catch-all takes nothing: its keys are all known.
      return member && (member as z.core.$ZodTypes)._zod.def.type !== 'never' ? [member] : [];
    }
    case 'array':
      return [def.element];
    case 'tuple': {
      const member = def.items[part as number] ?? def.rest;
      return member ? [member] : [];
    }
    case 'record':
      return [def.valueType];
    default:
      return [];
  }
}

/** Every schema that may apply to the member `part` of what `schemas` describe; wrappers are still on. */
export function memberSchemas(schemas: readonly Schema[], part: string | number): readonly Schema[] {
  return schemas.flatMap(branchesOf).flatMap((branch) => (isSecretSchema(branch) ? [] : step(branch, part)));
}

export function schemasAt(schema: Schema, path: readonly (string | number)[]): readonly Schema[] {
  return path.reduce<readonly Schema[]>(memberSchemas, [schema]);
}

/** How many parts of the path lead to a secret, where it leads to one or into one; undefined otherwise. */
export function secretDepthOf(schema: Schema, path: readonly (string | number)[]): number | undefined {
  let schemas: readonly Schema[] = [schema];
  for (let length = 0; length <= path.length; length += 1) {
    if (schemas.flatMap(branchesOf).some(isSecretSchema)) return length;
    if (length < path.length) schemas = memberSchemas(schemas, path[length] as string | number);
  }
  return undefined;
}

/** The keys that an object described by any of the schemas may have. */
export function knownKeys(schemas: readonly Schema[]): readonly string[] {
  const keys = schemas.flatMap(branchesOf).flatMap((branch) => {
    const def = (branch as z.core.$ZodTypes)._zod.def;
    return def.type === 'object' ? Object.keys(def.shape) : [];
  });
  return [...new Set(keys)];
}

/** Whether a key may be left out. */
export function isOptionalMember(schema: Schema): boolean {
  return z.safeParse(schema, undefined).success;
}

/** The outermost description and examples that can be found. */
export function keyMeta(schemas: readonly Schema[]): KeyMeta {
  for (const schema of schemas) {
    const own = metadataOf(schema);
    const inner = isSecretSchema(schema) ? undefined : unwrap(schema);
    const below = inner && inner.length === 1 ? keyMeta(inner) : { examples: [] };
    const description = own.description ?? below.description;
    const examples = own.examples ?? below.examples;
    if (description !== undefined || examples.length > 0) return { ...(description === undefined ? {} : { description }), examples };
  }
  return { examples: [] };
}

/** The values that a key may have, where they are few and fixed. */
export function literalValues(schemas: readonly Schema[]): readonly string[] {
  const values = schemas.flatMap(branchesOf).flatMap((branch) => {
    const def = (branch as z.core.$ZodTypes)._zod.def;
    if (def.type === 'enum') return Object.values(def.entries);
    return def.type === 'literal' ? def.values : [];
  });
  return [...new Set(values.map(String))];
}
