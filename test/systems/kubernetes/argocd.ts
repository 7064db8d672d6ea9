/**
 * The controller of Argo CD: compares what Git renders with what is there, says Synced and Healthy, syncs by an `operation` (and leaves the state of the last one standing until it has taken up the next),
 * and with self-heal undoes within its interval whatever somebody changes behind its back.
 */
import type { ClusterSettings, OutsideWorld } from './cluster-settings.ts';
import { equal, type Fields, isFields, type KubeObject, stamp } from './fields.ts';
import { apiVersionOf, builtInKinds, type Kind } from './kinds.ts';
import { mergePatch } from './patches.ts';
import type { Store } from './store.ts';

const trackingId = 'argocd.argoproj.io/tracking-id';
const refresh = 'argocd.argoproj.io/refresh';

interface Comparison {
  readonly revision: string;
  readonly error: string | undefined;
  readonly wanted: readonly {
    readonly kind: Kind;
    readonly manifest: Fields;
    readonly live: KubeObject | undefined;
    readonly same: boolean;
  }[];
  /** There, tracked by this application, and no longer in Git. */
  readonly extra: readonly { readonly kind: Kind; readonly live: KubeObject }[];
}

export class ArgoCd {
  readonly #store: Store;
  readonly #settings: ClusterSettings;
  readonly #world: OutsideWorld;
  readonly #operations = new Map<string, { readonly operation: Fields; readonly begunMs: number }>();
  readonly #comparedMs = new Map<string, number>();
  /** A failed automatic sync of a commit is not tried again. */
  readonly #autoSynced = new Map<string, string>();

  constructor(store: Store, settings: ClusterSettings, world: OutsideWorld) {
    this.#store = store;
    this.#settings = settings;
    this.#world = world;
  }

  reconcile(): void {
    for (const application of this.#store.list('applications')) {
      this.#takeOperation(application);
      this.#endOperation(application);
      const due = performance.now() - (this.#comparedMs.get(application.metadata.uid) ?? 0) >= this.#settings.argoIntervalMs;
      if (due || application.metadata.annotations?.[refresh] !== undefined || application.status?.sync === undefined)
        this.#compare(application);
    }
  }

  /** Lets the controller believe that it had an operation before, with this outcome. */
  #takeOperation(application: KubeObject): void {
    const { operation, metadata } = application;
    if (operation === undefined || this.#operations.has(metadata.uid)) return;
    this.#operations.set(metadata.uid, { operation, begunMs: performance.now() });
    this.#store.change('applications', application, (copy) => {
      delete copy.operation;
      copy.status = {
        ...copy.status,
        operationState: { operation, phase: 'Running', startedAt: stamp(), message: 'waiting for healthy state' },
      };
    });
  }

  #endOperation(application: KubeObject): void {
    const running = this.#operations.get(application.metadata.uid);
    if (
      running === undefined ||
      this.#settings.argoFault === 'hang' ||
      performance.now() - running.begunMs < this.#settings.argoOperationMs
    )
      return;
    this.#operations.delete(application.metadata.uid);
    const { operation } = running;
    const compared = this.#look(application);
    const problem = this.#settings.argoFault === 'fail' ? 'one or more objects failed to apply' : compared.error;
    const resources =
      problem === undefined && operation.sync?.dryRun !== true ? this.#sync(application, compared, operation.sync ?? {}) : [];
    this.#store.change('applications', application, (copy) => {
      copy.status = {
        ...copy.status,
        operationState: {
          ...copy.status?.operationState,
          operation,
          phase: problem === undefined ? 'Succeeded' : 'Failed',
          message: problem ?? 'successfully synced (all tasks run)',
          finishedAt: stamp(),
          syncResult: { revision: compared.revision, resources },
        },
      };
    });
    this.#compare(application);
  }

  #sync(application: KubeObject, { wanted, extra }: Comparison, sync: Fields): Fields[] {
    const only = sync.resources as readonly Fields[] | undefined;
    const chosen = (kind: Kind, name: string): boolean =>
      only === undefined || only.some((each) => each.kind === kind.kind && each.name === name);
    const results: Fields[] = [];
    for (const { kind, manifest, live } of wanted) {
      const { name } = manifest.metadata as Fields;
      if (!chosen(kind, name)) continue;
      const namespace = String(manifest.metadata.namespace ?? application.spec.destination.namespace);
      const tracked = mergePatch(manifest, {
        metadata: {
          namespace,
          annotations: { [trackingId]: `${application.metadata.name}:${kind.group}/${kind.kind}:${namespace}/${name}` },
        },
      }) as Fields;
      if (live) this.#store.change(kind.resource, live, (copy) => Object.assign(copy, mergePatch(copy, tracked)));
      else if (this.#store.find('namespaces', undefined, namespace))
        this.#store.create(kind, namespace, tracked, { manager: 'argocd-controller' });
      results.push({ kind: kind.kind, name, namespace, status: 'Synced' });
    }
    if (sync.prune === true)
      for (const { kind, live } of extra) {
        this.#store.remove(kind.resource, live);
        results.push({ kind: kind.kind, name: live.metadata.name, namespace: live.metadata.namespace, status: 'Pruned' });
      }
    return results;
  }

  #compare(application: KubeObject): void {
    this.#comparedMs.set(application.metadata.uid, performance.now());
    const compared = this.#look(application);
    const outOfSync = compared.wanted.some(({ same }) => !same) || compared.extra.length > 0;
    const health = this.#healthOf(compared);
    this.#store.change('applications', application, (copy) => {
      delete copy.metadata.annotations?.[refresh];
      copy.status = {
        ...copy.status,
        reconciledAt: new Date().toISOString(),
        sync: { status: compared.error === undefined ? (outOfSync ? 'OutOfSync' : 'Synced') : 'Unknown', revision: compared.revision },
        health: { status: health },
        conditions: compared.error === undefined ? [] : [{ type: 'ComparisonError', message: compared.error }],
        resources: [
          ...compared.wanted.map(({ kind, manifest, same }) => ({
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            name: manifest.metadata.name,
            namespace: manifest.metadata.namespace ?? application.spec.destination.namespace,
            status: same ? 'Synced' : 'OutOfSync',
          })),
          ...compared.extra.map(({ kind, live }) => ({
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            name: live.metadata.name,
            namespace: live.metadata.namespace,
            status: 'OutOfSync',
            requiresPruning: true,
          })),
        ],
      };
    });
    this.#heal(application, compared, outOfSync);
  }

  #heal(application: KubeObject, compared: Comparison, outOfSync: boolean): void {
    const { automated } = application.spec.syncPolicy ?? {};
    if (
      !isFields(automated) ||
      automated.enabled === false ||
      !outOfSync ||
      compared.error !== undefined ||
      this.#operations.has(application.metadata.uid) ||
      application.operation
    )
      return;
    const mark = JSON.stringify([compared.revision, application.spec.source]);
    const isNew = this.#autoSynced.get(application.metadata.uid) !== mark;
    // Without self-heal only a new commit (or new parameters) is synced by itself; nothing at all is pruned where Git renders nothing.
    if (!isNew && automated.selfHeal !== true) return;
    if (compared.wanted.length === 0 && automated.allowEmpty !== true) return;
    this.#autoSynced.set(application.metadata.uid, mark);
    const resources = this.#sync(application, compared, { prune: automated.prune === true });
    const operation = { initiatedBy: { automated: true }, sync: { revision: compared.revision, prune: automated.prune === true } };
    this.#store.change('applications', application, (copy) => {
      copy.status = {
        ...copy.status,
        operationState: {
          operation,
          phase: 'Succeeded',
          startedAt: stamp(),
          finishedAt: stamp(),
          syncResult: { revision: compared.revision, resources },
        },
      };
    });
  }

  #look(application: KubeObject): Comparison {
    const { source, destination } = application.spec;
    const repository = this.#world.repositories.get(`${source?.repoURL} ${source?.path ?? ''}`.trim());
    if (repository === undefined)
      return {
        revision: '',
        error: `rpc error: code = Unknown desc = failed to list refs: repository not found: ${source?.repoURL}`,
        wanted: [],
        extra: [],
      };
    const wanted: { kind: Kind; manifest: Fields; live: KubeObject | undefined; same: boolean }[] = [];
    for (const plain of repository.manifests) {
      const kind = builtInKinds.find((each) => each.kind === plain.kind && apiVersionOf(each) === plain.apiVersion);
      if (kind === undefined)
        return {
          revision: repository.revision,
          error: `no matches for kind "${plain.kind}" in version "${plain.apiVersion}"`,
          wanted: [],
          extra: [],
        };
      const manifest = withParameters(plain, source);
      const live = this.#store.find(kind.resource, manifest.metadata.namespace ?? destination.namespace, manifest.metadata.name);
      wanted.push({ kind, manifest, live, same: live !== undefined && holds(withoutIgnored(manifest, application.spec), live) });
    }
    const own = new Set(wanted.map(({ live }) => live?.metadata.uid));
    const extra = builtInKinds.flatMap((kind) =>
      this.#store
        .list(kind.resource)
        .filter(
          (live) =>
            String(live.metadata.annotations?.[trackingId] ?? '').startsWith(`${application.metadata.name}:${kind.group}/${kind.kind}:`) &&
            !own.has(live.metadata.uid),
        )
        .map((live) => ({ kind, live })),
    );
    return { revision: repository.revision, error: undefined, wanted, extra };
  }

  #healthOf({ wanted, error }: Comparison): string {
    if (error !== undefined) return 'Unknown';
    const each = wanted.map(({ live, kind }): string => {
      if (live === undefined) return 'Missing';
      if (kind.kind !== 'Deployment' && kind.kind !== 'StatefulSet') return 'Healthy';
      const conditions = (live.status?.conditions ?? []) as Fields[];
      if (conditions.some(({ reason }) => reason === 'ProgressDeadlineExceeded')) return 'Degraded';
      const wantedCount = Number(live.spec.replicas);
      return (live.status?.updatedReplicas ?? 0) === wantedCount && (live.status?.readyReplicas ?? 0) === wantedCount
        ? 'Healthy'
        : 'Progressing';
    });
    return ['Degraded', 'Missing', 'Progressing'].find((worst) => each.includes(worst)) ?? 'Healthy';
  }
}

/** The manifest with the parameters that the Application itself carries. */
function withParameters(manifest: Fields, source: Fields): Fields {
  const replicas = ((source.kustomize?.replicas ?? []) as Fields[]).find(({ name }) => name === manifest.metadata.name)?.count;
  const parameter = ((source.helm?.parameters ?? []) as Fields[]).find(({ name }) => name === 'replicaCount')?.value;
  const count = replicas ?? parameter;
  if (count === undefined || (manifest.kind !== 'Deployment' && manifest.kind !== 'StatefulSet')) return manifest;
  return mergePatch(manifest, { spec: { replicas: Number(count) } }) as Fields;
}

/** Without what the Application was told to pass over: of its pointers the one of replicas is known here. */
function withoutIgnored(manifest: Fields, spec: Fields): Fields {
  const ignored = ((spec.ignoreDifferences ?? []) as Fields[]).some(
    ({ kind, jsonPointers }) => kind === manifest.kind && jsonPointers?.includes('/spec/replicas'),
  );
  if (!ignored) return manifest;
  const { replicas: _, ...rest } = manifest.spec as Fields;
  return { ...manifest, spec: rest };
}

/** Everything that the manifest says stands in the object; what it does not say does not matter. */
function holds(manifest: unknown, live: unknown): boolean {
  if (isFields(manifest)) return isFields(live) && Object.entries(manifest).every(([name, value]) => holds(value, live[name]));
  if (Array.isArray(manifest))
    return Array.isArray(live) && manifest.length === live.length && manifest.every((each, index) => holds(each, live[index]));
  return equal(manifest, live);
}
