/**
 * What the commands must print for each verb: the plans use these fields, so an output without them is refused at the step that printed it, not at a later one that misses them.
 */
import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { SiteVerb } from '../../contracts/verbs.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';

const count = z.int().min(0);
const position = z.looseObject({ history: z.string(), timeline: z.number(), offset: z.string().regex(/^\d+$/), text: z.string() });
const proofs = ['stopped', 'demoted', 'cannot-acknowledge', 'nothing-listens', 'revoked', 'lease-expired'] as const;

const outputs: Readonly<Record<SiteVerb, z.ZodType<unknown>>> = {
  fence: z.looseObject({ proof: z.enum(proofs), evidence: z.string().min(1), sinceMs: z.number() }),
  freeze: z.looseObject({ position }),
  thaw: z.looseObject({}),
  'await-position': z.looseObject({ position }),
  promote: z.looseObject({ position, timeline: z.number() }),
  follow: z.looseObject({ method: z.string() }),
  protect: z.looseObject({ inSync: z.array(z.string()) }),
  salvage: z.looseObject({ diverged: z.boolean(), files: z.array(z.string()), detail: z.string() }),
  scale: z.looseObject({ wanted: count, previous: count }),
  'await-ready': z.looseObject({ wanted: count, ready: count }),
  route: z.looseObject({ confirmedBy: z.array(z.string()) }),
  check: z.looseObject({ detail: z.string() }),
  run: z.looseObject({ detail: z.string() }),
};

const reading = z.strictObject({
  role: z.enum(['primary', 'standby', 'none', 'unknown']).optional(),
  writable: z.boolean().optional(),
  identity: z.string().optional(),
  replicas: z.strictObject({ wanted: count, ready: count }).optional(),
  facts: z.record(z.string(), z.json()).optional(),
});

/** The object that a command printed; `{}` where it printed nothing. A fence that doesn't say since when holds from now; `check` and `run` may print plain words. */
export function readOutput(verb: SiteVerb, stdout: string, nowMs: number): JsonObject {
  const text = stdout.trim();
  const plain = verb === 'check' || verb === 'run';
  const printed = text === '' ? {} : parseBody(text);
  let output: JsonObject;
  if (printed !== null && typeof printed === 'object' && !Array.isArray(printed)) output = printed as JsonObject;
  else if (plain) output = { detail: text.slice(-400) };
  else throw wrongOutput(verb, 'what it printed is not a JSON object');
  if (plain && output.detail === undefined) output = { ...output, detail: 'the inspect command says that it is done' };
  if (verb === 'fence' && output.sinceMs === undefined) output = { ...output, sinceMs: nowMs };
  const checked = outputs[verb].safeParse(output);
  if (!checked.success) throw wrongOutput(verb, firstIssue(checked.error));
  return output;
}

/** What an observe command printed besides its exit code. */
export function readReading(stdout: string): Omit<Reading, 'health' | 'evidence'> {
  const text = stdout.trim();
  if (!text.startsWith('{')) return {};
  const checked = reading.safeParse(parseBody(text));
  if (!checked.success)
    throw fail('SYSTEM_WRONG_ANSWER', { message: `the observe command printed what is no reading: ${firstIssue(checked.error)}` });
  return checked.data as Omit<Reading, 'health' | 'evidence'>;
}

function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue ? `${issue.path.join('.') || 'it'}: ${issue.message}` : 'it does not fit';
}

function wrongOutput(verb: SiteVerb, fault: string): Error {
  return fail('SYSTEM_WRONG_ANSWER', {
    message: `the inspect command of ${verb} ended with 0, but ${fault}`,
    hint: 'The reference of the shell driver lists what each verb must print.',
  });
}
