/**
 * What an HTTP answer must look like: options for the spec, and the check that they compile to.
 *
 * Invariant: an answer passes only by what it says. An empty list of components, a missing member and a body that is not JSON all fail, since a check that nothing can
 * fail proves nothing.
 */
import { z } from 'zod';
import type { Json } from '../../base/json.ts';
import type { HttpResponse } from '../../host/host.ts';
import { compileJsonPath, type JsonPathReader } from './json-path.ts';

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const statusCode = z.int().min(100).max(599);

/** The keys of an expectation, to be spread into the strict object that holds them. */
export const answerExpectation = {
  status: z
    .union([statusCode, z.array(statusCode).min(1)])
    .default(200)
    .describe('The HTTP status, or a list of those that are right'),
  contains: z.string().min(1).optional().describe('A text that the body must contain'),
  json: z
    .record(z.string().min(1), z.union([scalar, z.array(scalar).min(1)]))
    .optional()
    .describe(
      'Paths into the JSON body and what must stand there: a value, or a list of values that are all right. `*` means every member: { "components.*.status": healthy }',
    ),
  'content-type': z.string().min(1).optional().describe('The beginning of the Content-Type header, for example application/json'),
};

export type AnswerExpectation = { readonly [K in keyof typeof answerExpectation]?: z.output<(typeof answerExpectation)[K]> | undefined };

/** One sentence on what is wrong with the answer, or undefined when nothing is. */
export type AnswerCheck = (answer: HttpResponse) => string | undefined;

interface JsonRule {
  readonly path: string;
  readonly read: JsonPathReader;
  readonly allowed: readonly Json[];
}

export function compileAnswerCheck(expectation: AnswerExpectation): AnswerCheck {
  const statuses = [expectation.status ?? 200].flat();
  const { contains } = expectation;
  const contentType = expectation['content-type']?.toLowerCase();
  const rules: readonly JsonRule[] = Object.entries(expectation.json ?? {}).map(([path, expected]) => ({
    path,
    read: compileJsonPath(path),
    allowed: [expected].flat(),
  }));
  return (answer) => {
    if (!statuses.includes(answer.status)) return `answered ${answer.status}, not ${statuses.join(' or ')}`;
    if (contentType !== undefined && !(answer.headers['content-type'] ?? '').toLowerCase().startsWith(contentType)) {
      return `answered with content type "${answer.headers['content-type'] ?? 'none'}", not ${contentType}`;
    }
    if (contains !== undefined && !answer.body.includes(contains))
      return `the body does not contain "${contains}": ${excerpt(answer.body)}`;
    return rules.length === 0 ? undefined : faultInJson(answer.body, rules);
  };
}

function faultInJson(body: string, rules: readonly JsonRule[]): string | undefined {
  const document = parseBody(body);
  if (document === undefined) return `the body is not JSON: ${excerpt(body)}`;
  for (const { path, read, allowed } of rules) {
    const values = read(document);
    if (values.length === 0) return `the body lists nothing at ${path}`;
    for (const value of values) {
      if (value === undefined) return `the body has nothing at ${path}`;
      if (!allowed.some((right) => right === value))
        return `${path} is ${excerpt(JSON.stringify(value))}, not ${allowed.map((right) => JSON.stringify(right)).join(' or ')}`;
    }
  }
  return undefined;
}

/** The document, or undefined for a body that is no JSON. */
export function parseBody(body: string): Json | undefined {
  try {
    return JSON.parse(body) as Json;
  } catch {
    return undefined; // not JSON: that is the answer, and the caller words it
  }
}

function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  if (line === '') return 'it is empty';
  return line.length > 80 ? `${line.slice(0, 80)}...` : line;
}
