/**
 * What has to be asked to write a first spec, as data: a terminal, a form or flags can ask it. The questions about a component are made from its driver's schemas:
 * one for each key that can't be left out.
 */

import { parse } from 'yaml';
import { z } from 'zod';
import { parseDurationMs } from '../base/durations.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { AnyDriver } from '../contracts/driver.ts';
import { branchesOf, isOptionalMember, isSecretSchema, keyMeta, type Schema } from './schema-shape.ts';
import { nameSchema } from './section-schemas.ts';

export interface Question {
  readonly id: string;
  readonly prompt: string;
  readonly default?: string;
  /** What is wrong with the answer; undefined when nothing is. An empty answer stands for the default. */
  validate(answer: string): string | undefined;
}

function nameFault(answer: string): string | undefined {
  const result = nameSchema.safeParse(answer);
  return result.success
    ? undefined
    : `${result.error.issues[0]?.message}. Use lower-case letters, digits and hyphens, beginning with a letter.`;
}

function durationFault(answer: string): string | undefined {
  try {
    parseDurationMs(answer);
    return undefined;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return `${error.message}. ${error.hint}`;
  }
}

export const questions: readonly Question[] = [
  { id: 'name', prompt: 'Name of the platform', default: 'my-platform', validate: nameFault },
  { id: 'active', prompt: 'Region that serves now', default: 'us-east-1', validate: nameFault },
  { id: 'standby', prompt: 'Region that takes over', default: 'us-west-2', validate: nameFault },
  {
    id: 'witness',
    prompt: 'Region that only watches and votes (empty for none)',
    default: '',
    validate: (answer) => (answer === '' ? undefined : nameFault(answer)),
  },
  { id: 'rto', prompt: 'For how long may the platform be gone', default: '5m', validate: durationFault },
  { id: 'rpo', prompt: 'How much of the newest data may be lost', default: '1m', validate: durationFault },
  {
    id: 'automatic',
    prompt: 'May a failover start without a person (yes or no)',
    default: 'no',
    validate: (answer) => (['yes', 'no'].includes(answer) ? undefined : 'Answer yes or no.'),
  },
];

/** The keys of an options schema that can't be left out, with their schemas. */
export function requiredKeys(options: Schema): ReadonlyMap<string, Schema> {
  const object = branchesOf(options).find((branch) => (branch as z.core.$ZodTypes)._zod.def.type === 'object') as
    | z.core.$ZodObject
    | undefined;
  return new Map(Object.entries(object?._zod.def.shape ?? {}).filter(([, member]) => !isOptionalMember(member)));
}

function parseLoosely(text: string): Json {
  try {
    return parse(text, { logLevel: 'silent' }) as Json;
  } catch {
    // What is not YAML is meant as the bare text.
    return text;
  }
}

/** An answer as the value that the key's schema takes: `8080` a number where one is wanted, `PGPASSWORD` the name of a variable where a secret is. */
export function answerValue(schema: Schema, answer: string): { readonly value: Json } | { readonly fault: string } {
  const isSecret = branchesOf(schema).some(isSecretSchema);
  const asReference: Json[] = !isSecret ? [] : answer.startsWith('/') ? [{ file: answer }] : /^\w+$/.test(answer) ? [{ env: answer }] : [];
  const candidates: Json[] = [...asReference, answer, parseLoosely(answer)];
  const fitting = candidates.find((candidate) => z.safeParse(schema, candidate).success);
  if (fitting !== undefined) return { value: fitting };
  const issue = z.safeParse(schema, answer).error?.issues[0];
  return {
    fault: isSecret
      ? 'Name an environment variable, or the path of a file.'
      : (issue?.message ?? 'This is not a value that is taken here.'),
  };
}

function keyQuestion(id: string, key: string, where: string, schema: Schema): Question {
  const { description, examples } = keyMeta([schema]);
  const isSecret = branchesOf(schema).some(isSecretSchema);
  const [example] = examples;
  const shown = isSecret
    ? ' (an environment variable or the path of a file)'
    : example === undefined
      ? ''
      : ` (such as ${typeof example === 'string' ? example : JSON.stringify(example)})`;
  return {
    id,
    prompt: `${key} of ${where}: ${description ?? key}${shown}`,
    validate: (answer) => {
      const result = answerValue(schema, answer);
      return 'fault' in result ? result.fault : undefined;
    },
  };
}

/** One question for each key that the driver demands: ids are `COMPONENT.KEY` and `COMPONENT.REGION.KEY`, as `--set` takes them. */
export function componentQuestions(component: string, driver: AnyDriver, regions: readonly string[]): readonly Question[] {
  const own = [...requiredKeys(driver.componentOptions as Schema)].map(([key, schema]) =>
    keyQuestion(`${component}.${key}`, key, component, schema),
  );
  const sites = regions.flatMap((region) =>
    [...requiredKeys(driver.siteOptions as Schema)].map(([key, schema]) =>
      keyQuestion(`${component}.${region}.${key}`, key, `${component} in ${region}`, schema),
    ),
  );
  return [...own, ...sites];
}
