/**
 * One node of Vault (or OpenBao), by its HTTP API. The only file that speaks to it.
 *
 * Invariants: every call ends within its time limit; a status alone is never believed: health is read where number and body agree, so that a proxy's 429 or 503 is no word of Vault's.
 * Tokens and key shares go in headers and bodies only, never into messages.
 * https://developer.hashicorp.com/vault/api-docs/system/health
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Secret } from '../../base/secret.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';
import type { Host, HttpResponse } from '../../host/host.ts';

export type NodeState = 'active' | 'standby' | 'performance-standby' | 'dr-secondary' | 'cut-off' | 'uninitialized' | 'sealed' | 'removed';

/** By number: https://developer.hashicorp.com/vault/api-docs/system/health#status-codes. OpenBao has the first four only. */
const stateByStatus: Readonly<Record<number, NodeState>> = {
  200: 'active',
  429: 'standby',
  501: 'uninitialized',
  503: 'sealed',
  472: 'dr-secondary',
  473: 'performance-standby',
  474: 'cut-off',
  530: 'removed',
};

export interface NodeHealth {
  readonly state: NodeState;
  readonly version: string;
  /** Not told by a node that is sealed or was never initialized. */
  readonly clusterId?: string;
}

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly token?: Secret | undefined;
}

export class VaultNode {
  readonly name: string;
  readonly #host: Host;
  readonly #url: string;
  readonly #readCa: () => Promise<string | undefined>;

  constructor(host: Host, url: string, readCa: () => Promise<string | undefined>) {
    this.#host = host;
    this.#url = url.replace(/\/$/, '');
    this.#readCa = readCa;
    this.name = new URL(url).host;
  }

  async health({ timeoutMs, signal }: CallOptions): Promise<NodeHealth> {
    const response = await this.#host.net.http({ url: `${this.#url}/v1/sys/health`, ...(await this.#trust()), timeoutMs, signal });
    const state = stateByStatus[response.status];
    const body = objectOf(response.body);
    const agrees =
      typeof body?.initialized === 'boolean' &&
      typeof body.sealed === 'boolean' &&
      (state === 'uninitialized' ? !body.initialized : state === 'sealed' ? body.initialized && body.sealed : true) &&
      (state !== 'active' || (body.initialized && !body.sealed && body.standby === false)) &&
      (state !== 'standby' || body.standby === true);
    if (state === undefined || !agrees)
      throw fail('SYSTEM_WRONG_ANSWER', {
        message: `${this.name}: /v1/sys/health was answered by ${response.status} and ${excerpt(response.body)}, which Vault does not say`,
      });
    const id = body.cluster_id;
    return { state, version: String(body.version ?? ''), ...(typeof id === 'string' && id !== '' ? { clusterId: id } : {}) };
  }

  /** The answer's body; `{}` where there is none (204). */
  async call(method: 'GET' | 'PUT' | 'POST', path: string, options: CallOptions & { readonly body?: JsonObject }): Promise<JsonObject> {
    const { body, timeoutMs, signal, token } = options;
    const response = await this.#host.net.http({
      method,
      url: `${this.#url}${path}`,
      headers: headersOf(token),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(await this.#trust()),
      timeoutMs,
      signal,
    });
    if (response.status === 204) return {};
    if (response.status !== 200) throw this.#refusal(path, response);
    const answer = objectOf(response.body);
    if (answer === undefined)
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.name}: ${path} was answered by ${excerpt(response.body)}, which is not JSON` });
    return answer;
  }

  /** The snapshot as it comes. */
  async openSnapshot(options: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    const path = '/v1/sys/storage/raft/snapshot';
    const { status, headers, body } = await this.#stream({ url: `${this.#url}${path}`, ...options });
    if (status !== 200) throw this.#refusal(path, { status, headers, body: await readStart(body) });
    return body;
  }

  /** Resolves when Vault has taken the snapshot in, which is before it has applied it. */
  async sendSnapshot(snapshot: AsyncIterable<Uint8Array>, options: CallOptions): Promise<void> {
    const path = '/v1/sys/storage/raft/snapshot-force';
    const { status, headers, body } = await this.#stream({ method: 'POST', url: `${this.#url}${path}`, input: snapshot, ...options });
    const text = await readStart(body);
    if (status !== 200 && status !== 204) throw this.#refusal(path, { status, headers, body: text });
  }

  async #stream({
    token,
    ...request
  }: CallOptions & { readonly url: string; readonly method?: string; readonly input?: AsyncIterable<Uint8Array> }) {
    const { net } = this.#host;
    if (net.httpStream === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'this host has no streams of HTTP' });
    return net.httpStream({ ...request, headers: headersOf(token), ...(await this.#trust()) });
  }

  async #trust(): Promise<{ ca?: string }> {
    const ca = await this.#readCa();
    return ca === undefined ? {} : { ca };
  }

  #refusal(path: string, { status, body }: HttpResponse): HoldfastError {
    const answer = objectOf(body);
    const errors = Array.isArray(answer?.errors) ? answer.errors.map(String).join('; ') : undefined;
    const message = `${this.name}: ${path}: ${errors || `HTTP status ${status}`}`;
    const details = { status };
    if (errors === undefined && status !== 307)
      return fail(status === 429 || status >= 500 ? 'SYSTEM_NOT_SERVING' : 'SYSTEM_WRONG_ANSWER', { message, details });
    if (status === 307)
      return fail('SYSTEM_WRONG_ROLE', { message: `${this.name} is a standby and sends ${path} on to the active node`, details });
    if (status === 403) return fail('SYSTEM_WRONG_CREDENTIALS', { message, details });
    if (status === 503) return fail('SYSTEM_NOT_SERVING', { message, details: { ...details, sealed: /sealed/i.test(message) } });
    return fail(status === 429 || status >= 500 ? 'SYSTEM_NOT_SERVING' : 'SYSTEM_REFUSED', { message, details });
  }
}

const headersOf = (token: Secret | undefined): Record<string, string> => ({
  'x-vault-request': 'true',
  ...(token === undefined ? {} : { 'x-vault-token': token.reveal() }),
});

function objectOf(text: string): JsonObject | undefined {
  const value = parseBody(text);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line === '' ? 'nothing' : `"${line.slice(0, 80)}"`;
}

async function readStart(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const piece of body) {
    text += Buffer.from(piece).toString('utf8');
    if (text.length > 4_096) break;
  }
  return text;
}
