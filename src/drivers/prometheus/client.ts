/**
 * Asks one Prometheus, or what speaks as one (Thanos, Mimir, VictoriaMetrics). Time is its own: what it evaluates "now" is by its clock.
 * https://prometheus.io/docs/prometheus/latest/querying/api/
 */
import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';
import type { Endpoint } from '../../contracts/workload/endpoint.ts';
import type { Net } from '../../host/host.ts';

const sample = z.tuple([z.number(), z.string()]);
const labels = z.record(z.string(), z.string());
const series = z.looseObject({ metric: labels, value: sample });
const ranged = z.looseObject({ metric: labels, values: z.array(sample) });
const data = z.union([
  z.looseObject({ resultType: z.literal('vector'), result: z.array(series) }),
  z.looseObject({ resultType: z.literal('scalar'), result: sample }),
  z.looseObject({ resultType: z.literal('matrix'), result: z.array(ranged) }),
]);
const success = z.looseObject({ status: z.literal('success'), data, warnings: z.array(z.string()).optional() });
const failure = z.looseObject({ status: z.literal('error'), errorType: z.string(), error: z.string() });

export interface SeriesValues {
  /** `{region="east"}`, for people. */
  readonly name: string;
  /** One for an instant, several over a time; NaN and infinities as they are. */
  readonly points: readonly { readonly atSeconds: number; readonly value: number }[];
}

export class PrometheusClient {
  readonly #net: Net;
  readonly #endpoint: Endpoint;
  readonly #timeoutMs: number;

  constructor(net: Net, endpoint: Endpoint, timeoutMs: number) {
    this.#net = net;
    this.#endpoint = endpoint;
    this.#timeoutMs = timeoutMs;
  }

  /** The values now. Empty where there is no such series. An answer that it calls partial is SYSTEM_NOT_SERVING. */
  query(expression: string, signal: AbortSignal): Promise<readonly SeriesValues[]> {
    return this.#ask('query', { query: expression }, signal);
  }

  queryRange(
    expression: string,
    range: { startSeconds: number; endSeconds: number; stepSeconds: number },
    signal: AbortSignal,
  ): Promise<readonly SeriesValues[]> {
    const { startSeconds, endSeconds, stepSeconds } = range;
    return this.#ask(
      'query_range',
      { query: expression, start: String(startSeconds), end: String(endSeconds), step: String(stepSeconds) },
      signal,
    );
  }

  async #ask(path: string, parameters: Readonly<Record<string, string>>, signal: AbortSignal): Promise<readonly SeriesValues[]> {
    const url = this.#endpoint.urlOf(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const ca = this.#endpoint.hasCa ? { ca: await this.#endpoint.ca() } : undefined;
    const answer = await this.#net.http({ url, headers: this.#endpoint.headers(), timeoutMs: this.#timeoutMs, signal, ...ca });
    const where = this.#endpoint.urlOf('');
    const body = parseBody(answer.body);
    const refused = failure.safeParse(body);
    if (answer.status === 401 || answer.status === 403)
      throw fail('SYSTEM_WRONG_CREDENTIALS', { message: `${where} answers ${answer.status}`, details: { status: answer.status } });
    if (refused.success && refused.data.errorType === 'bad_data')
      throw fail('SYSTEM_REFUSED', {
        message: `${where} does not understand ${parameters.query}: ${this.#endpoint.redact(refused.data.error)}`,
        hint: 'Try the expression in the web page of that Prometheus.',
      });
    if (answer.status === 429 || answer.status >= 500)
      throw fail('SYSTEM_NOT_SERVING', {
        message: `${where} answers ${answer.status}${refused.success ? `: ${refused.data.errorType}` : ''}`,
      });
    const parsed = success.safeParse(body);
    if (answer.status !== 200 || !parsed.success)
      throw fail('SYSTEM_WRONG_ANSWER', {
        message: `${where} answers ${answer.status} and not as Prometheus does`,
        hint: 'Is url the address of a Prometheus, without /api/v1?',
      });
    const [warning] = parsed.data.warnings ?? [];
    if (warning !== undefined)
      throw fail('SYSTEM_NOT_SERVING', { message: `${where} warns that its answer is not whole: ${this.#endpoint.redact(warning)}` });
    return valuesOf(parsed.data.data);
  }
}

function valuesOf(read: z.output<typeof data>): readonly SeriesValues[] {
  const point = ([atSeconds, text]: readonly [number, string]) => ({ atSeconds, value: numberOf(text) });
  if (read.resultType === 'scalar') return [{ name: '{}', points: [point(read.result)] }];
  if (read.resultType === 'vector') return read.result.map(({ metric, value }) => ({ name: nameOf(metric), points: [point(value)] }));
  return read.result.map(({ metric, values }) => ({ name: nameOf(metric), points: values.map(point) }));
}

/** Prometheus writes NaN, +Inf and -Inf; anything else that is no number is none. */
function numberOf(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return text.trim() === '' ? Number.NaN : Number(text);
}

function nameOf(metric: Readonly<Record<string, string>>): string {
  const { __name__: name = '', ...others } = metric;
  return `${name}{${Object.entries(others)
    .map(([label, value]) => `${label}="${value}"`)
    .join(',')}}`;
}
