/**
 * Turns what zod found into words for people: what is wrong, what to write instead, and which place to point at.
 *
 * Invariant: a value that stands where a secret belongs is in no message or hint.
 */
import { z } from 'zod';
import { nearestWord } from '../base/nearest.ts';
import type { SpecPath } from './fault.ts';
import { keyMeta, knownKeys, literalValues, type Schema, schemasAt, secretDepthOf } from './schema-shape.ts';

export interface DescribedIssue {
  readonly path: SpecPath;
  readonly which: 'key' | 'value';
  readonly message: string;
  readonly hint: string;
  /** The value may be a secret: it must not be shown. */
  readonly conceal: boolean;
}

export interface IssueContext {
  readonly schema: Schema;
  /** The value that was parsed. */
  readonly value: unknown;
  /** How people call the whole of what was parsed, where it is itself at fault: `site us-east-1`. */
  readonly subject: string;
  /** Keys known at the root beside those of the schema, and hints for keys that belong elsewhere. */
  readonly otherKeys?: readonly string[];
  readonly misplacedKeys?: ReadonlyMap<string, string>;
}

type Issue = z.core.$ZodIssue;

const defaultMessage = z.locales.en().localeError;

function valueAt(value: unknown, path: SpecPath): unknown {
  return path.reduce<unknown>(
    (inner, part) =>
      inner !== null && typeof inner === 'object' && Object.hasOwn(inner, part)
        ? (inner as Record<string | number, unknown>)[part]
        : undefined,
    value,
  );
}

function nameOf(path: SpecPath, subject: string): string {
  const last = path.at(-1);
  if (last === undefined) return subject;
  if (typeof last === 'string') return `"${last}"`;
  const list = path.at(-2);
  return typeof list === 'string' ? `item ${last + 1} of "${list}"` : `item ${last + 1}`;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'a map',
  record: 'a map',
  null: 'nothing',
  nan: 'a number',
};

function typeNameOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeNames[typeof value] ?? typeof value;
}

function exampleText(example: unknown): string {
  if (Array.isArray(example)) return `[${example.map(exampleText).join(', ')}]`;
  if (example !== null && typeof example === 'object')
    return `{ ${Object.entries(example)
      .map(([key, value]) => `${key}: ${exampleText(value)}`)
      .join(', ')} }`;
  return typeof example === 'string' && /[:#{}[\],&*>|%@`"']|^\s|\s$|^$/.test(example) && !/^[\w./-]+%?$/.test(example)
    ? JSON.stringify(example)
    : String(example);
}

/** `Time between two probes. For example: every: 1s` */
function explain(context: IssueContext, path: SpecPath): string {
  const schemas = schemasAt(context.schema, path);
  const choices = literalValues(schemas);
  // Several schemas: the branches of a union, of which the first one's words would hide the others.
  if (schemas.length > 1 && choices.length > 1) return `One of: ${choices.join(', ')}.`;
  const meta = keyMeta(schemas);
  const key = path.at(-1) ?? /^"(.*)"$/.exec(context.subject)?.[1];
  // An item is explained by its list.
  if (typeof key === 'number' && meta.description === undefined && path.length > 0) return explain(context, path.slice(0, -1));
  const example = meta.examples[0];
  const shown =
    example === undefined
      ? choices.length === 0
        ? ''
        : `One of: ${choices.join(', ')}.`
      : `For example: ${typeof key === 'string' ? `${key}: ` : ''}${exampleText(example)}`;
  return [meta.description === undefined ? '' : `${meta.description}.`, shown].filter((part) => part !== '').join(' ');
}

function describeUnknownKeys(keys: readonly string[], path: SpecPath, context: IssueContext): DescribedIssue[] {
  const known = [...knownKeys(schemasAt(context.schema, path)), ...(path.length === 0 ? (context.otherKeys ?? []) : [])];
  return keys.map((key) => {
    const nearest = nearestWord(key, known);
    const misplaced = path.length === 0 ? context.misplacedKeys?.get(key) : undefined;
    const list = known.length === 0 ? 'No keys are known here: take it away.' : `Known here: ${[...known].sort().join(', ')}.`;
    return {
      path: [...path, key],
      which: 'key',
      message: `unknown key "${key}" in ${nameOf(path, context.subject)}`,
      hint: misplaced ?? (nearest === undefined ? list : `Did you mean "${nearest}"?`),
      conceal: false,
    };
  });
}

function wrongType(expected: readonly string[], value: unknown, path: SpecPath, context: IssueContext): { message: string; hint: string } {
  const name = nameOf(path, context.subject);
  const wanted = [...new Set(expected.map((type) => typeNames[type] ?? `a ${type}`))];
  const examples = keyMeta(schemasAt(context.schema, path)).examples;
  const takesAnyText = wanted.includes('a text') && examples.every((example) => typeof example !== 'string' || !/^\d/.test(example));
  const quote = takesAnyText && (typeof value === 'number' || typeof value === 'boolean') ? `Put it in quotes: "${value}".` : '';
  const needsUnit =
    typeof value === 'number' &&
    wanted.includes('a text') &&
    typeof examples[0] === 'string' &&
    /^\d+(?:\.\d+)?\s*(?:[a-z]+|%)$/i.test(examples[0]);
  if (needsUnit) return { message: `${name} is a number without a unit`, hint: explain(context, path) };
  if (value === null) return { message: `${name} has no value`, hint: explain(context, path) || `Write ${wanted.join(' or ')}.` };
  return {
    message: `${name} must be ${wanted.join(' or ')}, not ${typeof value === 'number' && wanted.includes('a whole number') ? value : typeNameOf(value)}`,
    hint: quote || explain(context, path) || `Write ${wanted.join(' or ')}.`,
  };
}

function wrongChoice(values: readonly string[], value: unknown, path: SpecPath, context: IssueContext): { message: string; hint: string } {
  const shown = value === null || typeof value === 'object' ? typeNameOf(value) : `"${value}"`;
  const nearest = nearestWord(String(value), values);
  return {
    message: `${nameOf(path, context.subject)} must be ${values.length === 1 ? '' : 'one of '}${values.join(', ')}, not ${shown}`,
    hint: nearest === undefined ? explain(context, path) : `Did you mean "${nearest}"?`,
  };
}

function outOfBounds(
  issue: z.core.$ZodIssueTooBig | z.core.$ZodIssueTooSmall,
  path: SpecPath,
  context: IssueContext,
): { message: string; hint: string } {
  const name = nameOf(path, context.subject);
  const small = issue.code === 'too_small';
  const bound = small ? issue.minimum : issue.maximum;
  const unit: Readonly<Record<string, string>> = { string: ' characters', array: ' items', set: ' items' };
  const counted = Object.hasOwn(unit, issue.origin);
  const side = small ? (issue.inclusive ? 'at least' : 'more than') : issue.inclusive ? 'at most' : 'less than';
  const message =
    small && counted && Number(bound) === 1
      ? `${name} may not be empty`
      : `${name} must ${counted ? 'have' : 'be'} ${side} ${bound}${unit[issue.origin] ?? ''}`;
  return { message, hint: explain(context, path) };
}

/** `is not a url` and `not a url` are said of something: its name goes before them. */
function asSentence(message: string, name: string): string {
  if (/^not\b/.test(message)) return `${name} is ${message}`;
  return /^(?:is|are|has|have|holds|must|may|can|needs|takes)\b/.test(message) ? `${name} ${message}` : message;
}

function words(issue: Issue, path: SpecPath, context: IssueContext): { message: string; hint: string } {
  const value = valueAt(context.value, path);
  if (issue.code === 'custom') {
    const hint = issue.params?.hint;
    const message = issue.message === 'Invalid input' ? `${nameOf(path, context.subject)} is not right` : issue.message;
    return { message: asSentence(message, nameOf(path, context.subject)), hint: typeof hint === 'string' ? hint : explain(context, path) };
  }
  // A message that the schema's author wrote is better than any made here.
  const standard = defaultMessage({ ...issue, input: value } as z.core.$ZodRawIssue);
  if (issue.message !== (typeof standard === 'string' ? standard : standard?.message))
    return { message: asSentence(issue.message, nameOf(path, context.subject)), hint: explain(context, path) };
  switch (issue.code) {
    case 'invalid_type':
      return wrongType([issue.expected], value, path, context);
    case 'invalid_value':
      return wrongChoice(issue.values.map(String), value, path, context);
    case 'too_big':
    case 'too_small':
      return outOfBounds(issue, path, context);
    default:
      return { message: `${nameOf(path, context.subject)} is not well-formed`, hint: explain(context, path) };
  }
}

/** How far into the value a branch got before it failed: the further, the more likely it is the one that was meant. */
function depthOf(issues: readonly Issue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0)));
}

function describeUnion(issue: z.core.$ZodIssueInvalidUnion, path: SpecPath, context: IssueContext): DescribedIssue[] {
  const value = valueAt(context.value, path);
  const plain = (said: { message: string; hint: string }): DescribedIssue[] => [{ path, which: 'value', ...said, conceal: false }];
  if (issue.discriminator !== undefined) return plain(wrongChoice(literalValues(schemasAt(context.schema, path)), value, path, context));
  const branches = issue.errors.filter((issues) => issues.length > 0);
  const atRoot = branches.every((issues) =>
    issues.every((inner) => inner.path.length === 0 && (inner.code === 'invalid_type' || inner.code === 'invalid_value')),
  );
  if (atRoot) {
    const inner = branches.flat();
    const types = inner.flatMap((found) => (found.code === 'invalid_type' ? [found.expected] : []));
    const values = inner.flatMap((found) => (found.code === 'invalid_value' ? found.values.map(String) : []));
    if (values.length > 0 && (types.length === 0 || typeof value === 'string')) return plain(wrongChoice(values, value, path, context));
    return plain(wrongType(types, value, path, context));
  }
  // Branches that expected another kind of value altogether are not what was meant, nor are those whose fixed words do not match.
  const sameKind = branches.filter(
    (issues) => !issues.some((inner) => inner.path.length === 0 && (inner.code === 'invalid_type' || inner.code === 'invalid_value')),
  );
  const candidates = sameKind.length > 0 ? sameKind : branches;
  const sharesKey = (issues: readonly Issue[]) =>
    issues.filter((inner) => inner.code === 'unrecognized_keys').flatMap((inner) => inner.keys).length;
  const best =
    [...candidates].sort(
      (left, right) => sharesKey(left) - sharesKey(right) || depthOf(right) - depthOf(left) || left.length - right.length,
    )[0] ?? [];
  return best.flatMap((inner) => describeIssue({ ...inner, path: [...path, ...inner.path] }, context));
}

const secretHint = 'Write where the secret is, not the secret: { env: NAME_OF_A_VARIABLE } or { file: /path/of/a/file }.';

/** The faults that one issue amounts to; `path` of each is relative to the value that was parsed. */
export function describeIssue(issue: Issue, context: IssueContext): readonly DescribedIssue[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (path.length > 0 && valueAt(context.value, path) === undefined && issue.code !== 'custom') {
    return [
      {
        path,
        which: 'key',
        message: `${nameOf(path, context.subject)} is missing in ${nameOf(path.slice(0, -1), context.subject)}`,
        hint: explain(context, path),
        conceal: false,
      },
    ];
  }
  const secretDepth = secretDepthOf(context.schema, path);
  if (secretDepth !== undefined) {
    const whole = path.slice(0, secretDepth);
    return [
      {
        path: whole,
        which: 'value',
        message: `${nameOf(whole, context.subject)} must be a reference to a secret`,
        hint: secretHint,
        conceal: true,
      },
    ];
  }
  if (issue.code === 'unrecognized_keys') return describeUnknownKeys(issue.keys, path, context);
  if (issue.code === 'invalid_union') return describeUnion(issue, path, context);
  if (issue.code === 'invalid_key')
    return issue.issues.map((inner) => ({ path, which: 'key', message: inner.message, hint: explain(context, path), conceal: false }));
  return [{ path, which: 'value', ...words(issue, path, context), conceal: false }];
}
