/**
 * One cluster, by its API. Every call ends within its time limit, is sent at most once, and asks for strict checks of fields: an unknown one is refused instead of dropped.
 *
 * A change whose answer is lost is SYSTEM_OUTCOME_UNKNOWN: whoever asked looks again. The credentials are read when a request is made, and shown nowhere.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Host, HttpResponse } from '../../host/host.ts';
import { type ClusterAccess, openAccess } from './cluster-access.ts';
import type { ConnectionOptions } from './connection-options.ts';
import { type KubeObject, parseList, parseObject, textAt } from './objects.ts';
import { refusalOf } from './refusal.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Where a kind of object is: its group and version, its plural, and the namespace where it has one. */
export interface Resource {
  /** `v1`, `apps/v1`. */
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespace?: string | undefined;
}

const maxBodyBytes = 16 * 1_024 * 1_024;
const pageSize = 250;
const pagesMax = 400;
const attemptsMax = 8;
export const fieldManager = 'holdfast';

export class KubernetesClient {
  readonly #host: Host;
  readonly #site: ConnectionOptions;
  #access: Promise<ClusterAccess> | undefined;
  #clusterId: string | undefined;

  constructor(host: Host, site: ConnectionOptions) {
    this.#host = host;
    this.#site = site;
  }

  /** For messages: the context, or the address. */
  get name(): string {
    const { context, kubeconfig, server } = this.#site;
    return context ?? (server === undefined ? (kubeconfig ?? 'this cluster') : new URL(server).host);
  }

  get(resource: Resource, name: string, call: CallOptions): Promise<KubeObject> {
    return this.#object('GET', pathOf(resource, name), {}, undefined, call);
  }

  /** Undefined where there is none of that name. */
  async find(resource: Resource, name: string, call: CallOptions): Promise<KubeObject | undefined> {
    try {
      return await this.get(resource, name, call);
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** All of them, page by page. */
  async list(
    resource: Resource,
    filter: { readonly labels?: string | undefined; readonly fields?: string },
    call: CallOptions,
  ): Promise<readonly KubeObject[]> {
    const items: KubeObject[] = [];
    let next: string | undefined;
    for (let page = 0; page < pagesMax; page += 1) {
      const query = {
        limit: String(pageSize),
        ...(filter.labels ? { labelSelector: filter.labels } : {}),
        ...(filter.fields ? { fieldSelector: filter.fields } : {}),
        ...(next ? { continue: next } : {}),
      };
      const path = pathOf(resource);
      const parsed = parseList(await this.#json('GET', path, query, undefined, call));
      if (parsed === undefined) throw this.#wrongAnswer(path, 'is no list of objects');
      items.push(...parsed.items);
      next = parsed.next;
      if (next === undefined) return items;
    }
    throw this.#wrongAnswer(pathOf(resource), `does not end after ${pagesMax} pages`);
  }

  /** A merge patch. With `metadata.resourceVersion` in it, it takes only what is as it was read: otherwise STATE_CONFLICT. */
  async merge(resource: Resource, name: string, patch: JsonObject, call: CallOptions): Promise<KubeObject> {
    await this.#requireCluster(call);
    const body = { content: patch, type: 'application/merge-patch+json' };
    return this.#object('PATCH', pathOf(resource, name), { fieldManager, fieldValidation: 'Strict' }, body, call);
  }

  /**
   * Reads, decides, and patches what was read and nothing newer; where somebody was faster (controllers write a status all the time) all of it again. `decide` says nothing where nothing is to be changed.
   */
  async change(
    resource: Resource,
    name: string,
    decide: (object: KubeObject) => (JsonObject & { readonly metadata?: JsonObject }) | undefined,
    call: CallOptions,
  ): Promise<KubeObject> {
    for (let attempt = 1; ; attempt += 1) {
      const object = await this.get(resource, name, call);
      const patch = decide(object);
      if (patch === undefined) return object;
      try {
        return await this.merge(resource, name, { ...patch, metadata: { ...patch.metadata, ...versionOf(object) } }, call);
      } catch (error) {
        if (!(error instanceof HoldfastError) || error.code !== 'STATE_CONFLICT' || attempt === attemptsMax) throw error;
      }
    }
  }

  async create(resource: Resource, object: JsonObject, call: CallOptions): Promise<KubeObject> {
    await this.#requireCluster(call);
    const body = { content: object, type: 'application/json' };
    return this.#object('POST', pathOf(resource), { fieldManager, fieldValidation: 'Strict' }, body, call);
  }

  /** Nothing happens where there is none. */
  async remove(resource: Resource, name: string, call: CallOptions): Promise<void> {
    await this.#requireCluster(call);
    try {
      await this.#json('DELETE', pathOf(resource, name), {}, undefined, call);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'NOT_FOUND') throw error;
    }
  }

  async evict(namespace: string, pod: string, call: CallOptions): Promise<void> {
    await this.#requireCluster(call);
    const content = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod, namespace } };
    const path = `${pathOf({ apiVersion: 'v1', plural: 'pods', namespace }, pod)}/eviction`;
    await this.#json('POST', path, {}, { content, type: 'application/json' }, call);
  }

  /** Names the cluster: no two have the same. Undefined where it may not be read. */
  async readClusterId(call: CallOptions): Promise<string | undefined> {
    if (this.#clusterId !== undefined) return this.#clusterId;
    try {
      const { metadata } = await this.get({ apiVersion: 'v1', plural: 'namespaces' }, 'kube-system', call);
      this.#clusterId = metadata.uid;
    } catch (error) {
      // Whoever may see one namespace only is let in all the same.
      if (!(error instanceof HoldfastError) || error.details.status !== 403) throw error;
    }
    return this.#clusterId;
  }

  /** The spec may say which cluster it means: then nothing is changed in another one. Read anew each time, for an address may lead elsewhere meanwhile. */
  async #requireCluster(call: CallOptions): Promise<void> {
    const wanted = this.#site['cluster-id'];
    if (wanted === undefined) return;
    this.#clusterId = undefined;
    const found = await this.readClusterId(call);
    if (found !== wanted) throw wrongCluster(this.name, wanted, found);
  }

  async #object(
    method: string,
    path: string,
    query: Readonly<Record<string, string>>,
    body: { readonly content: JsonObject; readonly type: string } | undefined,
    call: CallOptions,
  ): Promise<KubeObject> {
    const parsed = parseObject(await this.#json(method, path, query, body, call));
    if (parsed === undefined) throw this.#wrongAnswer(path, 'is no object');
    return parsed;
  }

  async #json(
    method: string,
    path: string,
    query: Readonly<Record<string, string>>,
    body: { readonly content: JsonObject; readonly type: string } | undefined,
    call: CallOptions,
  ): Promise<unknown> {
    const access = await this.#open();
    const token = await access.readToken(call.signal);
    const search = new URLSearchParams(query).toString();
    const changes = method !== 'GET';
    let response: HttpResponse;
    try {
      response = await this.#host.net.http({
        method,
        url: `${access.server}${path}${search === '' ? '' : `?${search}`}`,
        headers: {
          accept: 'application/json',
          'user-agent': fieldManager,
          ...(token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` }),
          ...(body === undefined ? {} : { 'content-type': body.type }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body.content) }),
        maxBodyBytes,
        ...access.trust,
        timeoutMs: call.timeoutMs,
        signal: call.signal,
      });
    } catch (error) {
      throw changes ? lostAnswer(error, `${method} ${path}`) : error;
    }
    if (response.status === 401) {
      access.forgetToken();
      // Credentials that were changed in the kubeconfig count from the next request on.
      this.#access = undefined;
    }
    return this.#read(path, response, changes);
  }

  #read(path: string, { status, body, headers }: HttpResponse, changes: boolean): unknown {
    let parsed: unknown;
    try {
      parsed = JSON.parse(body);
    } catch (cause) {
      if (status >= 500) throw refusalOf(this.name, path, status, undefined);
      if (status === 401 || status === 403) throw refusalOf(this.name, path, status, undefined);
      const words = `${this.name}: the answer to ${path} is not JSON (status ${status}, ${headers['content-type'] ?? 'no content type'})`;
      // A change that was answered by half may have been made.
      if (changes && status < 300) throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: words, cause });
      throw fail('SYSTEM_WRONG_ANSWER', { message: words, cause });
    }
    if (status >= 200 && status < 300) return parsed;
    throw refusalOf(this.name, path, status, textAt(parsed, 'kind') === 'Status' ? (parsed as JsonObject) : undefined);
  }

  #wrongAnswer(path: string, what: string): HoldfastError {
    return fail('SYSTEM_WRONG_ANSWER', { message: `${this.name}: the answer to ${path} ${what}` });
  }

  /** Opened on first use; what could not be read is tried again. */
  async #open(): Promise<ClusterAccess> {
    this.#access ??= openAccess(this.#host, this.#site);
    try {
      return await this.#access;
    } catch (error) {
      this.#access = undefined;
      throw error;
    }
  }
}

export function wrongCluster(name: string, wanted: string, found: string | undefined): HoldfastError {
  return fail('SYSTEM_WRONG_IDENTITY', {
    message: `${name} is the cluster ${found ?? 'that does not say which it is'}, not ${wanted}`,
    hint: 'Look at where the address leads; cluster-id is the uid of the namespace kube-system.',
  });
}

/** For a patch that takes only what was read. */
export function versionOf({ metadata }: KubeObject): JsonObject {
  return metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion };
}

function pathOf({ apiVersion, plural, namespace }: Resource, name?: string): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const parts = [...(namespace === undefined ? [] : ['namespaces', namespace]), plural, ...(name === undefined ? [] : [name])];
  return `${root}/${parts.map(encodeURIComponent).join('/')}`;
}

/** A request that left and was not answered may have had its effect. */
function lostAnswer(error: unknown, what: string): unknown {
  if (!(error instanceof HoldfastError) || (error.kind !== 'transient' && error.code !== 'SYSTEM_WRONG_ANSWER')) return error;
  if (error.details.sent === false || error.details.cause === 'refused' || error.details.cause === 'tls') return error;
  if (error.details.sent === undefined && error.code !== 'INTERRUPTED') return error;
  return fail('SYSTEM_OUTCOME_UNKNOWN', { message: `${what}: ${error.message}`, cause: error });
}
