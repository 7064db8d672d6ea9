/**
 * Smoke checks: requests that a working service answers in a known way. They run in order and the first that fails ends the round.
 *
 * Rounds are repeated until one passes or the step's time is over, so a check must be fit to be repeated; nothing is kept between rounds, and a controller that dies
 * in one begins a new one.
 */
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import type { Net } from '../../host/host.ts';
import { duration } from '../options.ts';
import type { Inspection } from '../verbs.ts';
import { type AnswerCheck, answerExpectation, compileAnswerCheck } from './answer-check.ts';
import { type Endpoint, headerOptions } from './endpoint.ts';

const smokeCheck = z.strictObject({
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']).default('GET').describe('The HTTP method'),
  path: z.string().regex(/^\//, 'starts with a slash').describe('The path to ask for'),
  body: z
    .union([z.string(), z.record(z.string(), z.json()), z.array(z.json())])
    .optional()
    .describe('What to send: a text, or an object or list that is sent as JSON'),
  headers: headerOptions.optional(),
  expect: z.strictObject(answerExpectation).prefault({}).describe('What the answer must look like'),
  timeout: duration('How long to wait for the answer').prefault('10s'),
});

export const smokeOptions = z
  .array(smokeCheck)
  .describe('Requests that a working service answers in a known way; run by the check verb, repeated until all pass');

export type SmokeOptions = z.output<typeof smokeOptions>;

export class SmokeChecks {
  readonly #net: Net;
  readonly #endpoint: Endpoint;
  readonly #checks: readonly { readonly options: SmokeOptions[number]; readonly passes: AnswerCheck }[];

  constructor(net: Net, endpoint: Endpoint, options: SmokeOptions) {
    this.#net = net;
    this.#endpoint = endpoint;
    this.#checks = options.map((each) => ({ options: each, passes: compileAnswerCheck(each.expect) }));
  }

  async inspect(signal: AbortSignal): Promise<Inspection> {
    for (const [index, { options, passes }] of this.#checks.entries()) {
      const label = `smoke check ${index + 1} of ${this.#checks.length}, ${options.method} ${this.#endpoint.urlOf(options.path)}`;
      const fault = await this.#run(options, passes, signal);
      if (fault !== undefined) return { state: 'pending', why: `${label}: ${this.#endpoint.redact(fault, options.headers)}` };
    }
    return { state: 'done', output: { detail: `${this.#checks.length} smoke checks passed at ${this.#endpoint.urlOf('')}` } };
  }

  async #run(options: SmokeOptions[number], passes: AnswerCheck, signal: AbortSignal): Promise<string | undefined> {
    const json = options.body !== undefined && typeof options.body !== 'string';
    const body = json ? JSON.stringify(options.body) : (options.body as string | undefined);
    const headers = { ...(json ? { 'content-type': 'application/json' } : {}), ...this.#endpoint.headers(options.headers) };
    try {
      const ca = this.#endpoint.hasCa ? { ca: await this.#endpoint.ca() } : undefined;
      const answer = await this.#net.http({
        method: options.method,
        url: this.#endpoint.urlOf(options.path),
        headers,
        timeoutMs: options.timeout,
        signal,
        ...ca,
        ...(body === undefined ? {} : { body }),
      });
      return passes(answer);
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug' || thrown.kind === 'invalid' || signal.aborted) throw thrown;
      return thrown.message;
    }
  }
}
