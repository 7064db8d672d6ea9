/**
 * One ClickHouse server, by its HTTP interface. The only file that speaks to it.
 *
 * Invariants: every call ends within its time limit; an answer that is not whole JSON is SYSTEM_WRONG_ANSWER, never an empty result; the server holds an answer back until the query has ended
 * (`wait_end_of_query`), so that a failure half way is a status and not a tail of the data. What is told by code is decided by `X-ClickHouse-Exception-Code`, never by words.
 * https://clickhouse.com/docs/interfaces/http
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { Host, TlsTrust } from '../../host/host.ts';

export interface ClickhouseTarget {
  readonly url: string;
  readonly user: string;
  readonly password: Secret | undefined;
  readonly trust: TlsTrust;
}

export interface QueryLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly maxBodyBytes?: number;
}

/** Numbers of 64 bits come as texts. */
export type Row = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

const notAllowed = new Set([192, 193, 194, 497, 516]);
/** Too many queries, out of time, too much memory, read-only for want of Keeper, Keeper in trouble: they pass. */
const passes = new Set([159, 202, 241, 242, 243, 999]);
export const backupExists = 598;
export const backupNotFound = 599;

export class ClickhouseClient {
  readonly #host: Host;
  readonly #target: ClickhouseTarget;

  constructor(host: Host, target: ClickhouseTarget) {
    this.#host = host;
    this.#target = target;
  }

  get name(): string {
    return new URL(this.#target.url).host;
  }

  /** Whether the server runs; says nothing of its tables. */
  async ping(limits: QueryLimits): Promise<void> {
    const { status, body } = await this.#host.net.http({ url: `${this.#base()}/ping`, ...this.#target.trust, ...limits });
    if (status === 200 && body.trim() === 'Ok.') return;
    throw this.#refusal(status, {}, body);
  }

  async query(sql: string, limits: QueryLimits): Promise<readonly Row[]> {
    const text = await this.run(`${sql}\nFORMAT JSON`, limits);
    try {
      const { data } = JSON.parse(text) as { data?: readonly Row[] };
      if (Array.isArray(data)) return data;
    } catch (cause) {
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.name}: the answer is not whole JSON`, cause });
    }
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.name}: the answer has no data, so ClickHouse has not given it` });
  }

  /** For what has no rows to give. */
  async run(sql: string, limits: QueryLimits): Promise<string> {
    const { status, headers, body } = await this.#host.net.http({
      method: 'POST',
      url: `${this.#base()}/?wait_end_of_query=1&output_format_json_quote_64bit_integers=1`,
      headers: this.#headers(),
      body: sql,
      ...this.#target.trust,
      ...limits,
    });
    if (status !== 200 || headers['x-clickhouse-exception-code'] !== undefined) throw this.#refusal(status, headers, body);
    return body;
  }

  /** Rows in the body of an INSERT, in the format that the statement names. */
  async insert(sql: string, rows: Uint8Array, limits: QueryLimits): Promise<void> {
    const { status, headers, body } = await this.#host.net.http({
      method: 'POST',
      url: `${this.#base()}/?wait_end_of_query=1&query=${encodeURIComponent(sql)}`,
      headers: this.#headers(),
      body: rows,
      ...this.#target.trust,
      ...limits,
    });
    if (status !== 200) throw this.#refusal(status, headers, body);
  }

  /** The answer as it arrives. A server that fails half way can only end it: whoever reads must know how long it is. */
  async stream(sql: string, limits: QueryLimits): Promise<AsyncIterable<Uint8Array>> {
    const { httpStream } = this.#host.net;
    if (httpStream === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'this host has no streams of HTTP' });
    const { timeoutMs, signal } = limits;
    const { status, headers, body } = await httpStream.call(this.#host.net, {
      method: 'POST',
      url: `${this.#base()}/`,
      headers: this.#headers(),
      body: sql,
      timeoutMs,
      signal,
      ...this.#target.trust,
    });
    if (status === 200) return body;
    let text = '';
    for await (const piece of body) {
      text += Buffer.from(piece).toString('utf8');
      if (text.length > 4_096) break;
    }
    throw this.#refusal(status, headers, text);
  }

  #base(): string {
    return this.#target.url.replace(/\/$/, '');
  }

  #headers(): Record<string, string> {
    const { user, password } = this.#target;
    return { 'x-clickhouse-user': user, ...(password === undefined ? {} : { 'x-clickhouse-key': password.reveal() }) };
  }

  #refusal(status: number, headers: Readonly<Record<string, string>>, body: string): HoldfastError {
    const code = Number(headers['x-clickhouse-exception-code'] ?? 0);
    const said =
      code === 0
        ? `HTTP status ${status}`
        : body
            .trim()
            .replace(/ \(version [^)]*\)+\s*$/, '')
            .slice(0, 600);
    const message = `${this.name}: ${said}`;
    const details = { cause: 'other', status, exception: code };
    if (notAllowed.has(code) || (code === 0 && (status === 401 || status === 403)))
      return fail('SYSTEM_WRONG_CREDENTIALS', { message, details });
    if (passes.has(code) || (code === 0 && (status === 429 || status === 503))) return fail('SYSTEM_NOT_SERVING', { message, details });
    if (code !== 0) return fail('SYSTEM_REFUSED', { message, details });
    if (status >= 500) return fail('SYSTEM_UNREACHABLE', { message, details });
    return fail('SYSTEM_WRONG_ANSWER', { message: `${message}, which ClickHouse does not answer so`, details });
  }
}

/** Which exception of ClickHouse it was; 0 for anything else. */
export const exceptionOf = (error: unknown): number => (error instanceof HoldfastError ? Number(error.details.exception ?? 0) : 0);

/** A text as a literal. */
export const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** A name as an identifier. */
export const identifier = (name: string): string => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;

export const tableOf = ({ database, name }: { readonly database: string; readonly name: string }): string =>
  `${identifier(database)}.${identifier(name)}`;
