/**
 * One cluster over HTTP. Every call ends within its time limit and is sent at most once.
 *
 * A change whose answer is lost is SYSTEM_OUTCOME_UNKNOWN: whoever asked looks again. The password is revealed when a request is made, and shown nowhere.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { Endpoint } from '../../contracts/workload/endpoint.ts';
import type { Host, HttpResponse } from '../../host/host.ts';
import type { OpensearchContext, OpensearchOptions, OpensearchSiteOptions } from './options.ts';

export interface Call {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const maxBodyBytes = 16 * 1_024 * 1_024;

export class Cluster {
  readonly region: string;
  readonly site: OpensearchSiteOptions;
  readonly options: OpensearchOptions;
  readonly #host: Host;
  readonly #endpoint: Endpoint;

  constructor(context: OpensearchContext, region: string, site: OpensearchSiteOptions) {
    this.region = region;
    this.site = site;
    this.options = context.options;
    this.#host = context.host;
    this.#endpoint = new Endpoint(context.host, site);
  }

  /** For messages. */
  get address(): string {
    return new URL(this.site.url).host;
  }

  call(signal: AbortSignal): Call {
    return { timeoutMs: this.options['call-timeout'], signal };
  }

  get(path: string, call: Call, body?: JsonObject): Promise<JsonObject> {
    return this.#json(body === undefined ? 'GET' : 'POST', path, body, call, false);
  }

  /** Undefined where the cluster has none of that. */
  async find(path: string, call: Call): Promise<JsonObject | undefined> {
    try {
      return await this.get(path, call);
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** The spec may say which cluster it means: then nothing is changed in another one. Read anew each time, for an address may lead elsewhere meanwhile. */
  async change(method: 'PUT' | 'POST' | 'DELETE', path: string, body: JsonObject | undefined, call: Call): Promise<JsonObject> {
    const wanted = this.site['cluster-uuid'];
    if (wanted !== undefined) requireIdentity(this, uuidOf(this, await this.get('/', call)));
    return this.#json(method, path, body, call, true);
  }

  async #json(method: string, path: string, body: JsonObject | undefined, call: Call, changes: boolean): Promise<JsonObject> {
    const { user, password } = this.site;
    const ca = this.#endpoint.hasCa ? { ca: await this.#endpoint.ca() } : {};
    const credentials =
      user === undefined || password === undefined
        ? {}
        : { authorization: `Basic ${Buffer.from(`${user}:${password.reveal()}`).toString('base64')}` };
    let response: HttpResponse;
    try {
      response = await this.#host.net.http({
        method,
        url: this.#endpoint.urlOf(path),
        headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...credentials },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        maxBodyBytes,
        ...ca,
        ...call,
      });
    } catch (error) {
      throw changes ? lostAnswer(error, `${method} ${path}`) : error;
    }
    return this.#read(`${method} ${path}`, response, changes);
  }

  #read(what: string, { status, body }: HttpResponse, changes: boolean): JsonObject {
    let parsed: unknown;
    try {
      parsed = JSON.parse(body);
    } catch (cause) {
      if (status >= 400) throw refusalOf(this.address, what, status, undefined);
      const message = `${this.address}: the answer to ${what} is not JSON (status ${status})`;
      // A change that was answered by half may have been made.
      throw fail(changes ? 'SYSTEM_OUTCOME_UNKNOWN' : 'SYSTEM_WRONG_ANSWER', { message, cause });
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.address}: the answer to ${what} is no object` });
    if (status >= 200 && status < 300) return parsed as JsonObject;
    throw refusalOf(this.address, what, status, parsed as JsonObject);
  }
}

/** Who answers. Anything that is no OpenSearch has no such answer. */
export function uuidOf(cluster: Cluster, root: JsonObject): string {
  const version = root.version as JsonObject | undefined;
  if (typeof root.cluster_uuid !== 'string' || typeof version?.number !== 'string')
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${cluster.address} does not say which cluster it is: it is no OpenSearch` });
  if (version.distribution !== 'opensearch')
    throw fail('SYSTEM_WRONG_ANSWER', {
      message: `${cluster.address} is version ${version.number} of something else than OpenSearch`,
      hint: 'This driver speaks to OpenSearch 2 and newer.',
    });
  return root.cluster_uuid;
}

export function requireIdentity(cluster: Cluster, found: string): void {
  const wanted = cluster.site['cluster-uuid'];
  if (wanted === undefined || wanted === found) return;
  throw fail('SYSTEM_WRONG_IDENTITY', {
    message: `${cluster.address} is the cluster ${found}, not ${wanted}`,
    hint: 'Look at where the address leads; cluster-uuid is the cluster_uuid that GET / tells.',
  });
}

/** `type` and `reason` of OpenSearch's own errors; some are only a text. */
function wordsOf(answer: JsonObject | undefined): { readonly type: string; readonly reason: string } {
  const error = answer?.error;
  if (typeof error === 'string') return { type: '', reason: error };
  const parts = (error ?? {}) as JsonObject;
  return { type: String(parts.type ?? ''), reason: String(parts.reason ?? '') };
}

function refusalOf(address: string, what: string, status: number, answer: JsonObject | undefined): HoldfastError {
  const { type, reason } = wordsOf(answer);
  const parts = { message: `${address}: ${what}: ${reason === '' ? `HTTP status ${status}` : reason}`, details: { status, type } };
  if (status === 401 || (status === 403 && !type.includes('block'))) return fail('SYSTEM_WRONG_CREDENTIALS', parts);
  if (status === 404 && answer !== undefined) return fail('NOT_FOUND', parts);
  if (status === 404) return fail('SYSTEM_WRONG_ANSWER', parts);
  // What a cluster without a manager, or a full queue, answers passes; other errors of OpenSearch's own with 500 are refusals.
  if (status === 408 || status === 429 || status >= 501 || (status === 500 && type === '')) return fail('SYSTEM_NOT_SERVING', parts);
  return fail('SYSTEM_REFUSED', parts);
}

/** A request that left and was not answered may have had its effect. */
function lostAnswer(error: unknown, what: string): unknown {
  if (!(error instanceof HoldfastError) || (error.kind !== 'transient' && error.code !== 'SYSTEM_WRONG_ANSWER')) return error;
  if (error.details.sent === false || error.details.cause === 'refused' || error.details.cause === 'tls') return error;
  if (error.details.sent === undefined && error.code !== 'INTERRUPTED') return error;
  return fail('SYSTEM_OUTCOME_UNKNOWN', { message: `${what}: ${error.message}`, cause: error });
}
