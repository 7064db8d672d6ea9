/**
 * The fields that a kind has, and what is wrong with an object that has others. Unknown fields are errors, warnings or silence as `fieldValidation` says; a wrong type is refused always.
 */
import { type Fields, isFields } from './fields.ts';

export type Schema =
  | { readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'any' | 'int-or-string' | 'base64' }
  | { readonly type: 'object'; readonly fields: Readonly<Record<string, Schema>>; readonly required: readonly string[] }
  | { readonly type: 'map'; readonly of: Schema }
  | {
      readonly type: 'list';
      readonly of: Schema /** Members with the same value here are one and the same. */;
      readonly key: string | undefined;
    };

export const text: Schema = { type: 'string' };
export const integer: Schema = { type: 'integer' };
export const flag: Schema = { type: 'boolean' };
export const any: Schema = { type: 'any' };
export const intOrString: Schema = { type: 'int-or-string' };
export const base64: Schema = { type: 'base64' };
export const texts: Schema = { type: 'list', of: text, key: undefined };
export const map = (of: Schema): Schema => ({ type: 'map', of });
export const labels = map(text);
export const list = (of: Schema, key?: string): Schema => ({ type: 'list', of, key });
/** A name that ends in `!` must be there. */
export function object(fields: Readonly<Record<string, Schema>>): Schema {
  const plain = Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name.replace(/!$/, ''), schema]));
  return {
    type: 'object',
    fields: plain,
    required: Object.keys(fields)
      .filter((name) => name.endsWith('!'))
      .map((name) => name.slice(0, -1)),
  };
}

export interface SchemaFindings {
  readonly unknown: string[];
  readonly wrong: { readonly path: string; readonly wanted: string; readonly found: string }[];
  readonly missing: string[];
}

/** The object without its unknown fields, and what was found. */
export function checkFields(schema: Schema, value: unknown): { readonly value: unknown; readonly findings: SchemaFindings } {
  const findings: SchemaFindings = { unknown: [], wrong: [], missing: [] };
  return { value: look(schema, value, '', findings), findings };
}

function look(schema: Schema, value: unknown, path: string, findings: SchemaFindings): unknown {
  if (schema.type === 'any' || value === null || value === undefined) return value;
  const wrong = (wanted: string): unknown => {
    findings.wrong.push({ path, wanted, found: Array.isArray(value) ? 'array' : typeof value });
    return value;
  };
  switch (schema.type) {
    case 'object':
      return isFields(value) ? lookAtObject(schema, value, path, findings) : wrong('object');
    case 'map':
      if (!isFields(value)) return wrong('object');
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, look(schema.of, each, `${path}.${key}`, findings)]));
    case 'list':
      return Array.isArray(value) ? value.map((each, index) => look(schema.of, each, `${path}[${index}]`, findings)) : wrong('array');
    case 'integer':
      return Number.isInteger(value) ? value : wrong('integer');
    case 'int-or-string':
      return Number.isInteger(value) || typeof value === 'string' ? value : wrong('integer or string');
    case 'base64':
      return typeof value === 'string' && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)
        ? value
        : wrong('base64');
    default:
      return typeof value === schema.type ? value : wrong(schema.type);
  }
}

function lookAtObject(schema: Extract<Schema, { type: 'object' }>, value: Fields, path: string, findings: SchemaFindings): Fields {
  const kept: Fields = {};
  for (const [name, each] of Object.entries(value)) {
    const inner = schema.fields[name];
    const innerPath = path === '' ? name : `${path}.${name}`;
    if (inner === undefined) findings.unknown.push(innerPath);
    else if (each !== null) kept[name] = look(inner, each, innerPath, findings);
  }
  for (const name of schema.required)
    if (kept[name] === undefined || kept[name] === '') findings.missing.push(path === '' ? name : `${path}.${name}`);
  return kept;
}
