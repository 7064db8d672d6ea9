/** Turns an options schema into rows for people: one per key, nested keys by their path. */
import { z } from 'zod';

export interface OptionRow {
  /** `health.path`, `smoke[].method`, `env.*`. */
  readonly key: string;
  readonly type: string;
  readonly required: boolean;
  readonly default: string | undefined;
  readonly description: string;
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly holdfast?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** What people write: before transforms, with secrets as references. */
export function flattenOptions(schema: z.ZodType): OptionRow[] {
  return rowsOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema, '');
}

function rowsOf(schema: JsonSchema, prefix: string): OptionRow[] {
  const rows = new Map<string, OptionRow>();
  for (const branch of objectsIn(schema)) {
    for (const [key, member] of Object.entries(branch.properties ?? {})) {
      const path = prefix === '' ? key : `${prefix}.${key}`;
      const row: OptionRow = {
        key: path,
        type: typeOf(member),
        required: branch.required?.includes(key) ?? false,
        default: member.default === undefined || isEmpty(member.default) ? undefined : JSON.stringify(member.default),
        description: describe(member),
      };
      if (!rows.has(path)) rows.set(path, row);
      for (const inner of rowsInside(member, path)) if (!rows.has(inner.key)) rows.set(inner.key, inner);
    }
  }
  return [...rows.values()];
}

/** The keys of what a member holds: an object, a list of objects, a map to objects. */
function rowsInside(member: JsonSchema, path: string): OptionRow[] {
  if (member.holdfast === 'secret') return [];
  const inside = branchesOf(member).flatMap((branch) => {
    if (branch.holdfast === 'secret') return [];
    if (branch.items) return rowsOf(branch.items, `${path}[]`);
    if (typeof branch.additionalProperties === 'object') return rowsOf(branch.additionalProperties, `${path}.*`);
    return [];
  });
  return [...rowsOf(member, path), ...inside];
}

function branchesOf(schema: JsonSchema): readonly JsonSchema[] {
  if (schema.holdfast === 'secret') return [schema];
  const choice = schema.anyOf ?? schema.oneOf;
  return choice ? choice.flatMap(branchesOf) : [schema];
}

function objectsIn(schema: JsonSchema): readonly JsonSchema[] {
  return branchesOf(schema).filter((branch) => branch.holdfast !== 'secret' && branch.properties !== undefined);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function describe(schema: JsonSchema): string {
  const examples = (schema.examples ?? []).map((example) => `\`${typeof example === 'string' ? example : JSON.stringify(example)}\``);
  return `${schema.description ?? ''}${examples.length > 0 ? ` (${examples.join(', ')})` : ''}`;
}

function typeOf(schema: JsonSchema): string {
  if (schema.holdfast === 'secret') return 'secret';
  const branches = branchesOf(schema);
  if (branches.length > 1) return [...new Set(branches.map(typeOf))].join(' or ');
  const [only] = branches;
  if (!only) return 'anything';
  if (only.const !== undefined) return `\`${String(only.const)}\``;
  if (only.enum) return only.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (only.items) return `list of ${plural(typeOf(only.items))}`;
  if (Array.isArray(only.type)) return only.type.map(nameOfType).join(' or ');
  if (only.type === 'object') return only.properties ? 'object' : 'map';
  return `${nameOfType(only.type as string | undefined)}${boundsOf(only)}`;
}

function nameOfType(type: string | undefined): string {
  const names: Readonly<Record<string, string>> = {
    string: 'text',
    integer: 'whole number',
    boolean: 'true or false',
    array: 'list',
    null: 'nothing',
  };
  return type === undefined ? 'anything' : (names[type] ?? type);
}

function plural(type: string): string {
  return /^(?:text|object|map|secret|number|whole number|list)$/.test(type) ? `${type}s` : type;
}

function boundsOf({ minimum, maximum }: JsonSchema): string {
  const low = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const high = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (low !== undefined && high !== undefined) return ` from ${low} to ${high}`;
  if (low !== undefined) return `, at least ${low}`;
  return high === undefined ? '' : `, at most ${high}`;
}
