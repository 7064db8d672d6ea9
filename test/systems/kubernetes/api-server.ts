/** The API over HTTP: who asks, what for, and the answer as JSON, as a table, or as a stream of events. */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type Attributes, authenticate, authorize, mayDo, type User } from './access.ts';
import { ApiError, badRequest, noSuchPath } from './api-error.ts';
import { discover, servedKinds } from './discovery.ts';
import { type Fields, isFields, type KubeObject } from './fields.ts';
import type { Kind } from './kinds.ts';
import { answerResource, filterOf, type PodEnds, type ResourceRequest } from './resource-requests.ts';
import type { Store, WatchEvent } from './store.ts';
import { tableOf } from './table.ts';

/** What goes wrong with the next request that matches: before it has had its effect, or with its answer. */
export interface ServerFault {
  readonly kind: 'hang' | 'reset' | 'lose-answer' | 'web-page' | 'half-answer' | 'status';
  readonly status?: number;
  readonly matches: (method: string, path: string) => boolean;
  times: number;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly contentType: string;
  readonly body: string;
  readonly user: string;
}

export interface ApiServerParts {
  readonly store: Store;
  readonly ends: PodEnds;
  readonly users: readonly User[];
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca: string };
  readonly faults: ServerFault[];
  readonly seen: SeenRequest[];
  /** True while nothing is answered. */
  readonly isSilent: () => boolean;
}

export function createApiServer(parts: ApiServerParts): Server {
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    serve(parts, request, response).catch(() => request.socket.destroy());
  };
  if (parts.tls === undefined) return createHttpServer(onRequest);
  return createHttpsServer({ ...parts.tls, requestCert: true, rejectUnauthorized: false }, onRequest) as unknown as Server;
}

async function serve(parts: ApiServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'https://cluster');
  const method = request.method ?? 'GET';
  const body = await readAll(request);
  if (parts.isSilent()) return;
  const fault = parts.faults.find((each) => each.times > 0 && each.matches(method, url.pathname));
  if (fault) fault.times -= 1;
  if (fault?.kind === 'hang') return;
  if (fault?.kind === 'reset') {
    request.socket.destroy();
    return;
  }
  if (fault?.kind === 'web-page') {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Sign in to continue</body></html>');
    return;
  }
  if (fault?.kind === 'status') {
    send(response, fault.status ?? 500, new ApiError(fault.status ?? 500, 'Unknown', 'ordered by a test').status());
    return;
  }
  try {
    const user = authenticate(parts.users, request);
    parts.seen.push({
      method,
      path: url.pathname,
      query: url.search,
      contentType: request.headers['content-type'] ?? '',
      body,
      user: user.name,
    });
    if (parts.seen.length > 2_000) parts.seen.splice(0, 1_000);
    answer(parts, user, { method, url, body, request, response, lost: fault?.kind });
  } catch (error) {
    const refusal = error instanceof ApiError ? error : new ApiError(500, 'InternalError', `Internal error occurred: ${String(error)}`);
    send(response, refusal.code, refusal.status());
  }
}

interface Exchange {
  readonly method: string;
  readonly url: URL;
  readonly body: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly lost: ServerFault['kind'] | undefined;
}

function answer(parts: ApiServerParts, user: User, exchange: Exchange): void {
  const { method, url, response, request } = exchange;
  const path = url.pathname.replace(/\/$/, '') || '/';
  const discovered = method === 'GET' ? discover(parts.store, path) : undefined;
  if (discovered !== undefined) {
    if (typeof discovered === 'string') response.writeHead(200, { 'content-type': 'text/plain' }).end(discovered);
    else send(response, 200, discovered);
    return;
  }
  if (path === '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews' && method === 'POST') {
    send(response, 201, review(user, exchange.body));
    return;
  }
  const wanted = resourceRequest(parts.store, exchange);
  const watches = method === 'GET' && wanted.name === undefined && ['true', '1'].includes(url.searchParams.get('watch') ?? '');
  authorize(user, { ...attributesOf(wanted), ...(watches ? { verb: 'watch' } : {}) });
  const asTable = (request.headers.accept ?? '').includes('as=Table');
  if (watches) {
    watch(parts.store, wanted, response, asTable);
    return;
  }
  const { status, body, warnings } = answerResource(parts.store, parts.ends, wanted);
  if (exchange.lost === 'lose-answer') {
    request.socket.destroy();
    return;
  }
  const shown = asTable && method === 'GET' && wanted.subresource === undefined ? asTableBody(body) : body;
  const headers = warnings.length === 0 ? {} : { warning: warnings.map((each) => `299 - "${each.replaceAll('"', '\\"')}"`) };
  if (exchange.lost === 'half-answer') {
    const text = JSON.stringify(shown);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text.slice(0, text.length / 2));
    return;
  }
  send(response, status, shown, headers);
}

function asTableBody(body: Fields): Fields {
  if (Array.isArray(body.items))
    return { ...tableOf(body.items as KubeObject[], String(body.metadata.resourceVersion)), metadata: body.metadata };
  return tableOf([body as KubeObject], String(body.metadata?.resourceVersion ?? ''));
}

function send(response: ServerResponse, status: number, body: Fields, headers: Readonly<Record<string, string | string[]>> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

const verbsByMethod: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

function attributesOf({ method, kind, subresource, namespace, name }: ResourceRequest): Attributes {
  const verb =
    method === 'GET'
      ? name === undefined
        ? 'list'
        : 'get'
      : method === 'DELETE' && name === undefined
        ? 'deletecollection'
        : (verbsByMethod[method] ?? method.toLowerCase());
  return { verb, group: kind.group, resource: kind.resource, subresource, namespace, name };
}

/** `/api/v1/namespaces/n/pods/p/eviction`, `/apis/apps/v1/deployments`. */
function resourceRequest(store: Store, { method, url, body, request }: Exchange): ResourceRequest {
  const parts = url.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const [root, ...rest] = parts;
  const [group, version, ...path] = root === 'api' ? ['', ...rest] : root === 'apis' ? rest : [];
  if (group === undefined || version === undefined) throw noSuchPath();
  const inNamespace = path[0] === 'namespaces' && path.length > 2 && path[2] !== 'status' && path[2] !== 'finalize';
  const namespace = inNamespace ? path[1] : undefined;
  const [resource, name, subresource, ...more] = inNamespace ? path.slice(2) : path;
  const kind: Kind | undefined = servedKinds(store).find(
    (each) => each.group === group && each.version === version && each.resource === resource,
  );
  if (kind === undefined || more.length > 0 || (!kind.namespaced && inNamespace) || (kind.namespaced && name !== undefined && !inNamespace))
    throw noSuchPath();
  return {
    method,
    kind,
    namespace,
    name,
    subresource,
    query: url.searchParams,
    contentType: (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '',
    body,
    userAgent: request.headers['user-agent'] ?? '',
  };
}

function review(user: User, body: string): Fields {
  const input = JSON.parse(body) as Fields;
  const asked = input.spec?.resourceAttributes as Fields | undefined;
  if (!asked) throw badRequest('spec.resourceAttributes is required');
  const { verb, group = '', resource, subresource, namespace, name } = asked;
  const allowed = mayDo(user, { verb, group, resource, subresource: subresource || undefined, namespace: namespace || undefined, name });
  return { ...input, apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', metadata: {}, status: { allowed } };
}

function watch(store: Store, wanted: ResourceRequest, response: ServerResponse, asTable: boolean): void {
  const { kind, namespace, query } = wanted;
  const filter = filterOf(wanted);
  const from = Number(query.get('resourceVersion') ?? 0);
  if (Number.isNaN(from)) throw badRequest('invalid resourceVersion');
  const write = (type: string, object: Fields): void => {
    const shown = asTable && isFields(object.metadata) ? tableOf([object as KubeObject], String(object.metadata.resourceVersion)) : object;
    response.write(`${JSON.stringify({ type, object: shown })}\n`);
  };
  response.writeHead(200, { 'content-type': 'application/json' });
  // Otherwise a client waits for the head until something happens.
  response.flushHeaders();
  if (from !== 0 && from < store.oldestEvent - 1) {
    response.end(
      `${JSON.stringify({ type: 'ERROR', object: new ApiError(410, 'Expired', `too old resource version: ${from}`).status() })}\n`,
    );
    return;
  }
  const concerns = ({ resource, object }: WatchEvent): boolean =>
    resource === kind.resource && (namespace === undefined || object.metadata.namespace === namespace) && filter(object);
  if (from === 0) for (const object of store.list(kind.resource, namespace).filter(filter)) write('ADDED', object);
  else for (const event of store.eventsAfter(from)) if (concerns(event)) write(event.type, event.object);
  const stop = store.listen((event) => {
    if (concerns(event)) write(event.type, event.object);
  });
  const seconds = Number(query.get('timeoutSeconds') ?? 0);
  const timer = seconds > 0 ? setTimeout(() => response.end(), seconds * 1_000) : undefined;
  timer?.unref();
  response.on('close', () => {
    stop();
    clearTimeout(timer);
  });
}

async function readAll(stream: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}
