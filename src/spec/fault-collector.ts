/** Gathers the faults of one spec, each with the place that its path has in the text. */
import type { z } from 'zod';
import { describeIssue, type IssueContext } from './describe-issue.ts';
import { concealAddressPasswords, type Fault, formatPath, type SpecPath } from './fault.ts';
import { type LocatedNode, lineAndColumn, nodeAt, type Place, placeAt, plainValue } from './located-node.ts';
import type { Schema } from './schema-shape.ts';

export function faultAt(place: Place, path: SpecPath, message: string, hint: string): Fault {
  return {
    file: place.source.file,
    ...lineAndColumn(place.source, place.start),
    path: formatPath(path),
    message: concealAddressPasswords(message),
    hint: concealAddressPasswords(hint),
  };
}

/** `orders.yaml line 12`, for messages about another place. */
export function describePlace(place: Place): string {
  return `${place.source.file} line ${lineAndColumn(place.source, place.start).line}`;
}

function concealed(place: Place, fault: Fault): Fault {
  return { ...fault, conceal: lineAndColumn(place.source, place.end) };
}

export class FaultCollector {
  readonly root: LocatedNode;
  readonly faults: Fault[] = [];

  constructor(root: LocatedNode) {
    this.root = root;
  }

  /** A fault at a value, or at a key. */
  add(path: SpecPath, which: 'key' | 'value', message: string, hint: string): void {
    this.faults.push(faultAt(placeAt(this.root, path, which), path, message, hint));
  }

  /** All that zod found in the value at the path. */
  addIssues(path: SpecPath, issues: readonly z.core.$ZodIssue[], context: IssueContext, which?: 'key'): void {
    for (const described of issues.flatMap((issue) => describeIssue(issue, context))) {
      const whole = [...path, ...described.path];
      const place = placeAt(this.root, whole, which ?? described.which);
      const fault = faultAt(place, whole, described.message, described.hint || 'See holdfast schema for what may stand here.');
      this.faults.push(described.conceal ? concealed(place, fault) : fault);
    }
  }

  /** The value at the path as the schema gives it, or undefined after its faults were added. What is not there is parsed as an empty map, so that defaults apply. */
  parse<T>(path: SpecPath, schema: z.ZodType<T>, subject: string): T | undefined {
    const node = nodeAt(this.root, path);
    return this.parseValue(path, node === undefined ? {} : plainValue(node), schema, { subject });
  }

  parseValue<T>(path: SpecPath, value: unknown, schema: z.ZodType<T>, context: Omit<IssueContext, 'schema' | 'value'>): T | undefined {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    this.addIssues(path, result.error.issues, { ...context, schema: schema as Schema, value });
    return undefined;
  }
}
