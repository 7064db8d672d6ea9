/** One request for objects: get, list, create, update, patch, delete, and the sub-resources status, scale, eviction. Everything that the real server refuses is refused here. */
import { ApiError, badRequest, invalid, noSuchPath } from './api-error.ts';
import { serverSideApply } from './field-owners.ts';
import { type Fields, isFields, type KubeObject, parseSelector, selects, stamp } from './fields.ts';
import { apiVersionOf, type Kind, kindNamed } from './kinds.ts';
import { jsonPatch, mergePatch, strategicPatch } from './patches.ts';
import { checkFields } from './schema.ts';
import type { Change, Store } from './store.ts';
import { setDefaults, validate } from './validation.ts';

export interface ResourceRequest {
  readonly method: string;
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly body: string;
  readonly userAgent: string;
}

export interface ResourceAnswer {
  readonly status: number;
  readonly body: Fields;
  readonly warnings: readonly string[];
}

/** What the cluster does about a pod that shall go: its controllers know of budgets and of graceful ends. */
export interface PodEnds {
  evict(pod: KubeObject): void;
  end(pod: KubeObject, graceSeconds: number | undefined): void;
}

export function answerResource(store: Store, ends: PodEnds, request: ResourceRequest): ResourceAnswer {
  const warnings: string[] = [];
  const { status, body } = perform(store, ends, request, warnings);
  return { status, body, warnings };
}

function perform(store: Store, ends: PodEnds, request: ResourceRequest, warnings: string[]): { status: number; body: Fields } {
  const { method, kind, namespace, name, subresource } = request;
  if (subresource !== undefined) return { status: method === 'POST' ? 201 : 200, body: performUnder(store, ends, request, warnings) };
  if (name === undefined) {
    if (method === 'GET') return { status: 200, body: listOf(store, request) };
    if (method === 'POST') return { status: 201, body: create(store, request, warnings) };
    if (method !== 'DELETE') throw methodNotAllowed();
    for (const object of store.list(kind.resource, namespace).filter(filterOf(request))) endObject(store, ends, request, object);
    return { status: 200, body: { kind: 'Status', apiVersion: 'v1', status: 'Success' } };
  }
  switch (method) {
    case 'GET':
      return { status: 200, body: store.get(kind, namespace, name) };
    case 'PUT':
      return { status: 200, body: replace(store, request, warnings) };
    case 'PATCH':
      return patch(store, request, warnings);
    case 'DELETE': {
      const object = store.get(kind, namespace, name);
      const wanted = parseOptional(request.body)?.preconditions as Fields | undefined;
      if (wanted?.uid !== undefined && wanted.uid !== object.metadata.uid)
        throw new ApiError(
          409,
          'Conflict',
          `the UID in the precondition (${wanted.uid}) does not match the UID in record (${object.metadata.uid})`,
        );
      if (request.query.get('dryRun') !== 'All') endObject(store, ends, request, object);
      return {
        status: 200,
        body: {
          kind: 'Status',
          apiVersion: 'v1',
          status: 'Success',
          details: { name, group: kind.group, kind: kind.resource, uid: object.metadata.uid },
        },
      };
    }
    default:
      throw methodNotAllowed();
  }
}

const methodNotAllowed = () => new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');

function endObject(store: Store, ends: PodEnds, request: ResourceRequest, object: KubeObject): void {
  const grace = Number(parseOptional(request.body)?.gracePeriodSeconds ?? request.query.get('gracePeriodSeconds') ?? Number.NaN);
  if (request.kind.resource === 'pods') ends.end(object, Number.isNaN(grace) ? undefined : grace);
  else if ((object.metadata.finalizers ?? []).length > 0)
    store.change(request.kind.resource, object, (copy) => {
      copy.metadata.deletionTimestamp ??= stamp();
    });
  else store.remove(request.kind.resource, object);
}

export function filterOf({ query }: Pick<ResourceRequest, 'query'>): (object: KubeObject) => boolean {
  const labels = query.get('labelSelector');
  const selector = labels ? parseSelector(labels) : undefined;
  const fields = (query.get('fieldSelector') ?? '').split(',').filter((each) => each !== '');
  return (object) =>
    (selector === undefined || selects(selector, object.metadata.labels)) &&
    fields.every((term) => {
      const [, path, operator, value] = /^([^!=]+)(==|!=|=)(.*)$/.exec(term) ?? [];
      if (path === undefined) throw badRequest(`invalid field selector: ${term}`);
      const at = path.split('.').reduce<unknown>((inner, part) => (isFields(inner) ? inner[part] : undefined), object);
      return (String(at ?? '') === value) === (operator !== '!=');
    });
}

function listOf(store: Store, { kind, namespace, query }: ResourceRequest): Fields {
  const all = store.list(kind.resource, namespace).filter(filterOf({ query }));
  const from = Number(query.get('continue') ?? 0);
  const limit = Number(query.get('limit') ?? 0) || all.length;
  const items = all.slice(from, from + limit);
  const rest = all.length - from - items.length;
  return {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: { resourceVersion: String(store.version), ...(rest > 0 ? { continue: String(from + limit), remainingItemCount: rest } : {}) },
    items,
  };
}

function parseOptional(body: string): Fields | undefined {
  return body.trim() === '' ? undefined : parse(body);
}

function parse(body: string): Fields {
  try {
    const value: unknown = JSON.parse(body);
    if (isFields(value)) return value;
  } catch {
    // worded below: what is no object is refused alike
  }
  throw badRequest("the object provided is unrecognized (must be of type Object): couldn't get version/kind; json parse error");
}

/** The object with its unknown fields taken out (or refused) and its defaults set. */
function admit(request: ResourceRequest, input: Fields, warnings: string[]): Fields {
  const { kind } = request;
  const { value, findings } = checkFields(kind.fields, input);
  const [wrong] = findings.wrong;
  if (wrong !== undefined && !kind.isCustom)
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: json: cannot unmarshal ${wrong.found} into Go struct field .${wrong.path} of type ${wrong.wanted}`,
    );
  judgeUnknown(request, findings.unknown, warnings);
  const causes = [
    ...findings.wrong.map(({ path, wanted, found }) => ({
      reason: 'FieldValueTypeInvalid',
      field: path,
      message: `Invalid value: "${found}": ${path} in body must be of type ${wanted}`,
    })),
    ...findings.missing.map((path) => ({ reason: 'FieldValueRequired', field: path, message: 'Required value' })),
  ];
  if (causes.length > 0) throw invalid(kind.group, kind.kind, String(input.metadata?.name ?? ''), causes);
  const admitted = structuredClone(value) as Fields;
  setDefaults(kind, admitted);
  return admitted;
}

/** As `fieldValidation` says: an error, a warning, or nothing at all. */
function judgeUnknown({ kind, query }: ResourceRequest, unknown: readonly string[], warnings: string[]): void {
  const strictness = query.get('fieldValidation') || 'Warn';
  if (!['Strict', 'Warn', 'Ignore'].includes(strictness)) throw badRequest(`invalid fieldValidation parameter: ${strictness}`);
  const words = unknown.map((path) => `unknown field "${path}"`);
  if (words.length > 0 && strictness === 'Strict')
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${words.join(', ')}`,
    );
  if (strictness === 'Warn') warnings.push(...words);
}

function changeOf({ query, userAgent, subresource }: ResourceRequest): Change {
  return {
    part: subresource === 'status' ? 'status' : 'object',
    manager: query.get('fieldManager') || userAgent.split('/')[0] || 'unknown',
    dryRun: query.get('dryRun') === 'All',
  };
}

function checkHead({ kind, namespace, name }: ResourceRequest, input: Fields): void {
  if (input.apiVersion !== apiVersionOf(kind) || input.kind !== kind.kind)
    throw badRequest(
      `the API version in the data (${input.apiVersion ?? ''}) or the kind (${input.kind ?? ''}) does not match the expected ${apiVersionOf(kind)}, Kind=${kind.kind}`,
    );
  if (input.metadata?.namespace !== undefined && input.metadata.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  if (name !== undefined && input.metadata?.name !== undefined && input.metadata.name !== name)
    throw badRequest(`the name of the object (${input.metadata.name}) does not match the name on the URL (${name})`);
}

function create(store: Store, request: ResourceRequest, warnings: string[]): Fields {
  const { kind, namespace } = request;
  const input = parse(request.body);
  checkHead(request, input);
  if (kind.namespaced && !store.find('namespaces', undefined, String(namespace)))
    throw new ApiError(404, 'NotFound', `namespaces "${namespace}" not found`, { name: namespace, kind: 'namespaces' });
  if (!input.metadata?.name && !input.metadata?.generateName)
    throw invalid(kind.group, kind.kind, '', [
      { reason: 'FieldValueRequired', field: 'metadata.name', message: 'Required value: name or generateName is required' },
    ]);
  if (input.metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  const admitted = admit(request, input, warnings);
  if (kind.hasStatus && kind.kind !== 'Namespace' && kind.kind !== 'PersistentVolumeClaim') delete admitted.status;
  if (admitted.metadata.name) validate(kind, admitted as KubeObject, undefined);
  return store.create(kind, namespace, admitted, changeOf(request));
}

function replace(store: Store, request: ResourceRequest, warnings: string[]): Fields {
  const { kind, namespace, name } = request;
  const input = parse(request.body);
  checkHead(request, input);
  const before = store.get(kind, namespace, name as string);
  const next = admit(request, input, warnings) as KubeObject;
  next.metadata = { ...next.metadata, name: before.metadata.name, ...(namespace === undefined ? {} : { namespace }) };
  return settle(store, request, before, next);
}

/** Judged and kept. One whose last finalizer went and that shall go is gone. */
function settle(store: Store, request: ResourceRequest, before: KubeObject, next: KubeObject): Fields {
  const { kind } = request;
  if (request.subresource !== 'status') validate(kind, next, before);
  const kept = store.update(kind, next, changeOf(request));
  if (kept.metadata.deletionTimestamp && kind.resource !== 'pods' && (kept.metadata.finalizers ?? []).length === 0)
    store.remove(kind.resource, kept);
  return kept;
}

function patch(store: Store, request: ResourceRequest, warnings: string[]): { status: number; body: Fields } {
  const { kind, namespace, name, contentType } = request;
  if (contentType === 'application/apply-patch+yaml') return apply(store, request, warnings);
  const before = store.get(kind, namespace, name as string);
  const next = patched(kind, before, request) as KubeObject;
  if (next.metadata?.name !== name || next.metadata.namespace !== namespace)
    throw badRequest('the name or the namespace of an object can not be changed');
  return { status: 200, body: settle(store, request, before, admit(request, next, warnings) as KubeObject) };
}

function patched(kind: Kind, before: Fields, { contentType, body }: ResourceRequest): Fields {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw badRequest('error decoding patch: invalid character');
  }
  switch (contentType) {
    case 'application/json-patch+json':
      return jsonPatch(before, parsed) as Fields;
    case 'application/merge-patch+json':
      if (!isFields(parsed))
        throw badRequest('error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}');
      return mergePatch(before, parsed) as Fields;
    case 'application/strategic-merge-patch+json':
      if (kind.isCustom) throw unsupportedPatch('application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml');
      if (!isFields(parsed))
        throw badRequest('error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}');
      return strategicPatch(kind.fields, before, parsed) as Fields;
    default:
      throw unsupportedPatch(
        'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml',
      );
  }
}

const unsupportedPatch = (supported: string) =>
  new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${supported}`,
  );

function apply(store: Store, request: ResourceRequest, warnings: string[]): { status: number; body: Fields } {
  const { kind, namespace, name, query } = request;
  const manager = query.get('fieldManager');
  if (!manager)
    throw invalid('meta.k8s.io', 'PatchOptions', '', [
      { reason: 'FieldValueRequired', field: 'fieldManager', message: 'Required value: is required for apply patch' },
    ]);
  const input = parse(request.body);
  checkHead(request, input);
  if (input.metadata?.managedFields) throw badRequest('metadata.managedFields must be nil');
  const before = store.find(kind.resource, namespace, name as string);
  const { value, findings } = checkFields(kind.fields, input);
  judgeUnknown(request, findings.unknown, warnings);
  const result = serverSideApply(kind.fields, before, value as Fields, { manager, force: query.get('force') === 'true' }) as KubeObject;
  const admitted = admit(request, result, warnings) as KubeObject;
  const { managedFields } = result.metadata;
  const change = { dryRun: query.get('dryRun') === 'All' };
  if (before === undefined) {
    validate(kind, admitted, undefined);
    return { status: 201, body: store.create(kind, namespace, { ...admitted, metadata: { ...admitted.metadata, managedFields } }, change) };
  }
  validate(kind, admitted, before);
  return { status: 200, body: store.update(kind, { ...admitted, metadata: { ...admitted.metadata, managedFields } }, change) };
}

function performUnder(store: Store, ends: PodEnds, request: ResourceRequest, warnings: string[]): Fields {
  const { method, kind, namespace, name, subresource } = request;
  const object = store.get(kind, namespace, name as string);
  if (subresource === 'status' && kind.hasStatus) {
    if (method === 'GET') return object;
    return method === 'PUT' ? replace(store, request, warnings) : patch(store, request, warnings).body;
  }
  if (subresource === 'scale' && kind.hasScale) return scale(store, request, object);
  if (subresource === 'eviction' && kind.resource === 'pods' && method === 'POST') {
    const eviction = parse(request.body);
    if (eviction.kind !== 'Eviction') throw badRequest(`the kind ${eviction.kind} is not Eviction`);
    ends.evict(object);
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
  }
  throw noSuchPath();
}

const scaleKind = { ...kindNamed('replicasets'), group: 'autoscaling', version: 'v1', kind: 'Scale' };

function scale(store: Store, request: ResourceRequest, object: KubeObject): Fields {
  const { kind, method, query } = request;
  const present = scaleOf(object);
  if (method === 'GET') return present;
  const next = method === 'PUT' ? parse(request.body) : patched({ ...scaleKind, isCustom: true }, present, request);
  const replicas = next.spec?.replicas ?? 0;
  if (!Number.isInteger(replicas))
    throw badRequest(
      `Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal ${typeof replicas} into Go struct field ScaleSpec.spec.replicas of type int32`,
    );
  if (replicas < 0)
    throw invalid('autoscaling', 'Scale', object.metadata.name, [
      { reason: 'FieldValueInvalid', field: 'spec.replicas', message: `Invalid value: ${replicas}: must be greater than or equal to 0` },
    ]);
  const { resourceVersion } = next.metadata ?? {};
  const wanted: KubeObject = {
    ...object,
    spec: { ...object.spec, replicas },
    metadata: { ...object.metadata, resourceVersion: resourceVersion ?? object.metadata.resourceVersion },
  };
  return scaleOf(store.update(kind, wanted, { ...changeOf(request), part: 'object', dryRun: query.get('dryRun') === 'All' }));
}

function scaleOf({ metadata, spec, status }: KubeObject): Fields {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const selector = Object.entries(spec.selector?.matchLabels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0, selector },
  };
}
