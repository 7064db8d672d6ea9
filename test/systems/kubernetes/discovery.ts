/** What the server serves, as clients ask for it before anything else: versions, groups, resources, and as much of OpenAPI as tells that unknown fields are checked here. */
import type { Fields } from './fields.ts';
import { apiVersionOf, builtInKinds, customKinds, definitionOf, type Kind } from './kinds.ts';
import type { Store } from './store.ts';

const version = {
  major: '1',
  minor: '31',
  gitVersion: 'v1.31.4',
  gitCommit: '0',
  gitTreeState: 'clean',
  buildDate: '2025-01-01T00:00:00Z',
  goVersion: 'go1.22',
  compiler: 'gc',
  platform: 'linux/amd64',
};

/** Served now: the built-in ones, and those whose definition is there. */
export function servedKinds(store: Store): readonly Kind[] {
  const defined = new Set(store.list('customresourcedefinitions').map(({ metadata }) => metadata.name));
  return [...builtInKinds, ...[...customKinds].filter(([definition]) => defined.has(definition)).map(([, kind]) => kind)];
}

const reviews: Kind = {
  ...(builtInKinds[0] as Kind),
  group: 'authorization.k8s.io',
  version: 'v1',
  resource: 'selfsubjectaccessreviews',
  kind: 'SelfSubjectAccessReview',
  shortNames: [],
  namespaced: false,
  hasStatus: false,
};

export function discover(store: Store, path: string): Fields | string | undefined {
  const kinds = [...servedKinds(store), reviews];
  const versions = [...new Set(kinds.map(apiVersionOf))];
  if (path === '/version') return version;
  if (path === '/healthz' || path === '/livez' || path === '/readyz') return 'ok';
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: versions.filter((each) => each !== 'v1').map(groupOf) };
  const group = /^\/apis\/([^/]+)$/.exec(path)?.[1];
  if (group !== undefined) {
    const found = versions.find((each) => each.startsWith(`${group}/`));
    return found === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(found) };
  }
  const wanted = /^\/(?:api|apis)\/([^/]+(?:\/[^/]+)?)$/.exec(path)?.[1];
  if (wanted !== undefined && versions.includes(wanted)) return resourcesOf(kinds, wanted);
  if (path === '/openapi/v3')
    return { paths: Object.fromEntries(versions.map((each) => [pathOf(each), { serverRelativeURL: `/openapi/v3/${pathOf(each)}` }])) };
  const documented = versions.find((each) => path === `/openapi/v3/${pathOf(each)}`);
  return documented === undefined ? undefined : openApi(kinds, documented);
}

const pathOf = (apiVersion: string): string => (apiVersion.includes('/') ? `apis/${apiVersion}` : `api/${apiVersion}`);

function groupOf(apiVersion: string): Fields {
  const [name, each] = apiVersion.split('/');
  const one = { groupVersion: apiVersion, version: each };
  return { name, versions: [one], preferredVersion: one };
}

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

function resourcesOf(kinds: readonly Kind[], groupVersion: string): Fields {
  const resources = kinds
    .filter((kind) => apiVersionOf(kind) === groupVersion)
    .flatMap((kind): Fields[] => {
      const base = { singularName: '', namespaced: kind.namespaced, kind: kind.kind };
      const under = (name: string, verbs: readonly string[], more: Fields = {}) => ({
        ...base,
        name: `${kind.resource}/${name}`,
        verbs,
        ...more,
      });
      return [
        {
          ...base,
          name: kind.resource,
          singularName: kind.kind.toLowerCase(),
          shortNames: kind.shortNames,
          verbs: kind === reviews ? ['create'] : allVerbs,
        },
        ...(kind.hasStatus ? [under('status', ['get', 'patch', 'update'])] : []),
        ...(kind.hasScale ? [under('scale', ['get', 'patch', 'update'], { group: 'autoscaling', version: 'v1', kind: 'Scale' })] : []),
        ...(kind.resource === 'pods'
          ? [under('eviction', ['create'], { group: 'policy', version: 'v1', kind: 'Eviction' }), under('log', ['get'])]
          : []),
      ];
    });
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

function openApi(kinds: readonly Kind[], groupVersion: string): Fields {
  const parameters = ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map((name) => ({
    name,
    in: 'query',
    schema: { type: 'string' },
  }));
  const paths = kinds
    .filter((kind) => apiVersionOf(kind) === groupVersion)
    .map((kind) => [
      `/${pathOf(groupVersion)}/${kind.namespaced ? 'namespaces/{namespace}/' : ''}${kind.resource}/{name}`,
      {
        patch: {
          'x-kubernetes-group-version-kind': { group: kind.group, version: kind.version, kind: kind.kind },
          parameters,
          responses: {},
        },
      },
    ]);
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: version.gitVersion }, paths: Object.fromEntries(paths) };
}

export const knownDefinitions = [...customKinds.values()].map(definitionOf);
