/**
 * One member of etcd, by its HTTP gateway (JSON). The only file that speaks to it.
 *
 * Invariants: every call ends within its time limit; a zero is left out of an answer, so a missing field is never an error by itself; numbers of 64 bits stay texts. The token of a login is
 * kept in memory only.
 * https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Host, HttpResponse, TlsTrust } from '../../host/host.ts';
import type { EtcdOptions, EtcdSiteOptions } from './options.ts';

export interface EtcdTarget {
  readonly url: string;
  readonly socketPath?: string;
  readonly trust: TlsTrust;
  readonly options: EtcdOptions;
}

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly maxBodyBytes?: number;
}

const unauthenticated = 16;
const permissionDenied = 7;
const wrongLogin = 3;

export async function readTrust(host: Host, { ca, certificate, key }: EtcdSiteOptions): Promise<TlsTrust> {
  return {
    ...(ca === undefined ? {} : { ca: await host.files.readText(ca) }),
    ...(certificate === undefined ? {} : { certificate: await host.files.readText(certificate) }),
    ...(key === undefined ? {} : { key }),
  };
}

export class EtcdClient {
  readonly #host: Host;
  readonly #target: EtcdTarget;
  #token: string | undefined;

  constructor(host: Host, target: EtcdTarget) {
    this.#host = host;
    this.#target = target;
  }

  get name(): string {
    return this.#target.socketPath ?? new URL(this.#target.url).host;
  }

  /** Whether the member says that it can serve: it asks for a quorum itself. */
  async isHealthy(options: CallOptions): Promise<boolean> {
    const { trust, socketPath } = this.#target;
    const response = await this.#host.net.http({ url: this.#at('/health'), ...trust, ...(socketPath ? { socketPath } : {}), ...options });
    return response.status === 200 && /"health"\s*:\s*"?true"?/.test(response.body);
  }

  async call(path: string, body: JsonObject, options: CallOptions): Promise<JsonObject> {
    await this.login(options);
    const response = await this.#post(path, body, options);
    if (!this.#token || !/invalid auth token/.test(response.status === 200 ? '' : errorOf(response.body).message))
      return this.#parse(path, response, options.maxBodyBytes);
    // Tokens end after some minutes.
    this.#token = undefined;
    await this.login(options);
    return this.#parse(path, await this.#post(path, body, options), options.maxBodyBytes);
  }

  /** The answer as it streams in: one JSON object a line. */
  async stream(path: string, timeoutMs: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { net } = this.#host;
    if (net.httpStream === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'this host has no streams of HTTP' });
    await this.login({ timeoutMs, signal });
    const { status, body } = await net.httpStream({
      method: 'POST',
      url: this.#at(path),
      headers: this.#headers(),
      body: '{}',
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
    throw this.#refusal(path, status, text);
  }

  /** Nothing where no user is given, or the cluster's authentication is off. */
  async login(options: CallOptions): Promise<void> {
    const { user, password } = this.#target.options;
    if (user === undefined || password === undefined || this.#token !== undefined) return;
    const path = '/v3/auth/authenticate';
    const response = await this.#post(path, { name: user, password: password.reveal() }, options);
    const message = errorOf(response.body).message;
    if (response.status !== 200 && /authentication is not enabled/.test(message)) this.#token = '';
    else if (response.status !== 200 && errorOf(response.body).code === wrongLogin)
      throw fail('SYSTEM_WRONG_CREDENTIALS', { message: `${this.name} does not accept the user ${user}: ${message}` });
    else {
      const { token } = this.#parse(path, response, undefined);
      if (typeof token !== 'string') throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.name} gave no token for a login` });
      this.#token = token;
    }
  }

  #post(path: string, body: JsonObject, options: CallOptions): Promise<HttpResponse> {
    const { trust, socketPath } = this.#target;
    return this.#host.net.http({
      method: 'POST',
      url: this.#at(path),
      headers: this.#headers(),
      body: JSON.stringify(body),
      ...trust,
      ...(socketPath === undefined ? {} : { socketPath }),
      ...options,
    });
  }

  #headers(): Record<string, string> {
    return { 'content-type': 'application/json', ...(this.#token ? { authorization: this.#token } : {}) };
  }

  #at(path: string): string {
    return `${this.#target.url.replace(/\/$/, '')}${path}`;
  }

  #parse(path: string, { status, body }: HttpResponse, maxBodyBytes: number | undefined): JsonObject {
    if (status !== 200) throw this.#refusal(path, status, body);
    try {
      return JSON.parse(body) as JsonObject;
    } catch (cause) {
      const isCut = maxBodyBytes !== undefined && Buffer.byteLength(body) >= maxBodyBytes;
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.name}: the answer to ${path} is not JSON`, details: { isCut }, cause });
    }
  }

  #refusal(path: string, status: number, body: string): HoldfastError {
    const { code, message } = errorOf(body);
    const words = `${this.name}: ${path}: ${message || `HTTP status ${status}`}`;
    if (code === unauthenticated || code === permissionDenied || /user name is empty|invalid auth token/.test(message))
      return fail('SYSTEM_WRONG_CREDENTIALS', { message: words });
    // etcd does not take a certificate with a common name through its gateway, for it would be taken for the gateway's own.
    if (/CommonName of client/.test(message))
      return fail('SYSTEM_REFUSED', {
        message: words,
        details: { gateway: 'missing' },
        hint: 'Give Holdfast a certificate without a common name (CN).',
      });
    if (status === 404)
      return fail('SYSTEM_WRONG_ANSWER', {
        message: words,
        details: { gateway: 'missing' },
        hint: 'Its gateway is off, or it is not etcd 3.4 or newer.',
      });
    return fail(status >= 500 ? 'SYSTEM_UNREACHABLE' : 'SYSTEM_REFUSED', { message: words, details: { cause: 'other', status } });
  }
}

function errorOf(body: string): { readonly code: number; readonly message: string } {
  try {
    const { code, message, error } = JSON.parse(body) as { code?: unknown; message?: unknown; error?: unknown };
    const inner = (typeof error === 'object' && error !== null ? error : {}) as { grpc_code?: unknown; message?: unknown };
    return {
      code: Number(code ?? inner.grpc_code ?? 0),
      message: String(message ?? inner.message ?? (typeof error === 'string' ? error : '')),
    };
  } catch {
    return { code: 0, message: body.trim().slice(0, 200) }; // not an answer of the gateway, but of what is before it
  }
}
