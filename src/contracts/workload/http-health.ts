/**
 * A health check over HTTP: options, and the probe that they compile to.
 *
 * The probe runs once a second for every site of a large platform, so all that can be prepared is: the request, the check, the paths. An answer equal to the one before
 * gives the very same reading again, unparsed. Invariant: `up` is said only of an answer that passed the whole check.
 */
import { z } from 'zod';
import type { HttpRequest, HttpResponse, Net } from '../../host/host.ts';
import type { Reading } from '../observation.ts';
import { duration } from '../options.ts';
import { type AnswerCheck, answerExpectation, compileAnswerCheck, parseBody } from './answer-check.ts';
import type { Endpoint } from './endpoint.ts';
import { compileJsonPath, type JsonPathReader } from './json-path.ts';
import { evidenceOfNetError, readingOf } from './net-evidence.ts';

const urlPath = z.string().regex(/^\//, 'starts with a slash');

export const httpHealthOptions = z
  .strictObject({
    path: urlPath.default('/').describe('The path to ask for'),
    ...answerExpectation,
    timeout: duration('How long to wait for the answer, at most the time limit of a probe').optional(),
    'ready-count': z.string().min(1).optional().describe('Path in the JSON body to the number of replicas that are ready'),
    'wanted-count': z.string().min(1).optional().describe('Path in the JSON body to the number of replicas that are wanted'),
  })
  .describe('How a healthy service answers');

export type HttpHealthOptions = z.output<typeof httpHealthOptions>;

const maxBodyBytes = 256 * 1_024;

export class HttpHealthProbe {
  readonly #net: Net;
  readonly #endpoint: Endpoint;
  readonly #request: Omit<HttpRequest, 'headers' | 'signal'>;
  readonly #check: AnswerCheck;
  readonly #ready: JsonPathReader | undefined;
  readonly #wanted: JsonPathReader | undefined;
  #lastStatus = 0;
  #lastContentType: string | undefined;
  #lastBody = '';
  #lastReading: Reading | undefined;

  constructor(net: Net, endpoint: Endpoint, options: HttpHealthOptions, probeTimeoutMs: number) {
    this.#net = net;
    this.#endpoint = endpoint;
    this.#request = {
      method: 'GET',
      url: endpoint.urlOf(options.path),
      timeoutMs: Math.min(options.timeout ?? probeTimeoutMs, probeTimeoutMs),
      maxBodyBytes,
    };
    this.#check = compileAnswerCheck(options);
    this.#ready = options['ready-count'] === undefined ? undefined : compileJsonPath(options['ready-count']);
    this.#wanted = options['wanted-count'] === undefined ? undefined : compileJsonPath(options['wanted-count']);
  }

  async read(signal: AbortSignal): Promise<Reading> {
    let answer: HttpResponse;
    try {
      const ca = this.#endpoint.hasCa ? { ca: await this.#endpoint.ca() } : undefined;
      answer = await this.#net.http({ ...this.#request, ...ca, headers: this.#endpoint.headers(), signal });
    } catch (thrown) {
      return readingOf(evidenceOfNetError(thrown, this.#request.url));
    }
    const contentType = answer.headers['content-type'];
    if (this.#lastReading && answer.status === this.#lastStatus && contentType === this.#lastContentType && answer.body === this.#lastBody)
      return this.#lastReading;
    this.#lastStatus = answer.status;
    this.#lastContentType = contentType;
    this.#lastBody = answer.body;
    this.#lastReading = this.#judge(answer);
    return this.#lastReading;
  }

  #judge(answer: HttpResponse): Reading {
    const { url } = this.#request;
    const fault = this.#check(answer);
    if (fault !== undefined) {
      const kind = answer.status === 401 || answer.status === 403 ? 'not-allowed' : 'wrong-answer';
      return { ...readingOf({ kind, detail: `${url}: ${this.#endpoint.redact(fault)}` }), ...this.#replicas(answer) };
    }
    return { ...readingOf({ kind: 'answered', detail: `${url} answered ${answer.status}` }), ...this.#replicas(answer) };
  }

  #replicas(answer: HttpResponse): { replicas?: { wanted: number; ready: number } } {
    if (!this.#ready) return {};
    const document = parseBody(answer.body);
    if (document === undefined) return {};
    const ready = this.#ready(document)[0];
    const wanted = this.#wanted ? this.#wanted(document)[0] : ready;
    return typeof ready === 'number' && typeof wanted === 'number' ? { replicas: { wanted, ready } } : {};
  }
}
