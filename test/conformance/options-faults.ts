/** Looks through a driver's options schema as it is published. */
import { z } from 'zod';

/** The part of JSON Schema that zod writes and that is walked here. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: boolean | Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly $ref?: string;
}

/** Faults of an options schema: a key without a description, an object that lets unknown keys pass. */
export function faultsOfOptions(options: z.ZodType, where: string): readonly string[] {
  // A Secret is a class and has no JSON form; its reference, the other member of the union, has.
  const schema = z.toJSONSchema(options, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Schema;
  const faults: string[] = [];
  const walk = (node: Schema, path: string): void => {
    if (node.properties) {
      if (node.additionalProperties !== false) faults.push(`${path} lets unknown keys pass`);
      for (const [key, child] of Object.entries(node.properties)) {
        if (!describes(child)) faults.push(`${path}.${key} has no description`);
        walk(child, `${path}.${key}`);
      }
    }
    if (typeof node.additionalProperties === 'object') walk(node.additionalProperties, `${path}.*`);
    if (typeof node.items === 'object') walk(node.items, `${path}[]`);
    for (const member of [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])]) walk(member, path);
  };
  if (schema.type !== 'object') faults.push(`${where} is no object`);
  walk(schema, where);
  return [...new Set(faults)];
}

function describes(node: Schema): boolean {
  if (node.$ref !== undefined) return true;
  return node.description !== undefined && node.description.trim() !== '';
}
