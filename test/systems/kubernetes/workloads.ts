/** The controllers of deployments (by replica sets) and stateful sets (in order), with the status that rollouts are judged by; autoscalers as far as they get in somebody's way. */
import { ApiError } from './api-error.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { type Fields, type KubeObject, shortHash } from './fields.ts';
import { kindNamed } from './kinds.ts';
import { isOwnedBy, isReady, type Pods, withCondition } from './pods.ts';
import type { Store } from './store.ts';

const letters = 'bcdfghjklmnpqrstvwxz2456789';

export class Workloads {
  readonly #store: Store;
  readonly #pods: Pods;
  readonly #settings: ClusterSettings;
  /** By uid: what the progress was when it last changed. */
  readonly #progress = new Map<string, { readonly mark: string; readonly sinceMs: number }>();
  #names = 0;

  constructor(store: Store, pods: Pods, settings: ClusterSettings) {
    this.#store = store;
    this.#pods = pods;
    this.#settings = settings;
  }

  reconcile(): void {
    this.#collectOrphans();
    for (const autoscaler of this.#store.list('horizontalpodautoscalers')) this.#autoscale(autoscaler);
    for (const deployment of this.#store.list('deployments')) this.#deployment(deployment);
    for (const set of this.#store.list('replicasets'))
      if (!set.metadata.ownerReferences?.length) this.#keepCount(set, Number(set.spec.replicas));
    for (const set of this.#store.list('statefulsets')) this.#statefulSet(set);
  }

  /** What belonged to something that is gone goes with it. */
  #collectOrphans(): void {
    const owners = ['deployments', 'replicasets', 'statefulsets', 'daemonsets', 'customresourcedefinitions', 'applications'].flatMap(
      (resource) => this.#store.list(resource),
    );
    const alive = new Set(owners.map(({ metadata }) => metadata.uid));
    const known = new Set(['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet']);
    for (const resource of ['replicasets', 'pods'])
      for (const object of this.#store.list(resource)) {
        const owner = ((object.metadata.ownerReferences ?? []) as Fields[]).find(
          ({ controller, kind }) => controller === true && known.has(kind),
        );
        if (owner === undefined || alive.has(owner.uid)) continue;
        if (resource === 'pods') this.#pods.end(object);
        else this.#store.remove(resource, object);
      }
  }

  /** With no replicas an autoscaler does nothing; otherwise it puts its own bounds in place of what was asked for. */
  #autoscale(autoscaler: KubeObject): void {
    const { scaleTargetRef, minReplicas = 1, maxReplicas } = autoscaler.spec;
    const resource = scaleTargetRef.kind === 'StatefulSet' ? 'statefulsets' : 'deployments';
    const target = this.#store.find(resource, autoscaler.metadata.namespace, scaleTargetRef.name);
    const replicas = Number(target?.spec.replicas ?? 0);
    if (target === undefined || replicas === 0) return;
    this.#store.change(resource, target, (copy) => {
      copy.spec.replicas = Math.min(maxReplicas, Math.max(minReplicas, replicas));
    });
  }

  #deployment(deployment: KubeObject): void {
    const { spec, metadata } = deployment;
    const hash = shortHash(spec.template);
    const sets = this.#store.list('replicasets', metadata.namespace).filter((set) => isOwnedBy(set, deployment));
    const current =
      sets.find((set) => set.metadata.labels?.['pod-template-hash'] === hash) ??
      this.#store.create(kindNamed('replicasets'), metadata.namespace, {
        metadata: {
          name: `${metadata.name}-${hash}`,
          labels: { ...spec.template.metadata?.labels, 'pod-template-hash': hash },
          annotations: { 'deployment.kubernetes.io/revision': String(sets.length + 1) },
          ownerReferences: [
            {
              apiVersion: 'apps/v1',
              kind: 'Deployment',
              name: metadata.name,
              uid: metadata.uid,
              controller: true,
              blockOwnerDeletion: true,
            },
          ],
        },
        spec: { replicas: 0, selector: spec.selector, template: spec.template },
      });
    const wanted = Number(spec.replicas);
    const old = sets.filter((set) => set.metadata.uid !== current.metadata.uid);
    const surge = Math.max(1, Math.ceil(wanted / 4));
    const count = (set: KubeObject, test: (pod: KubeObject) => boolean = () => true): number => this.#podsOf(set).filter(test).length;
    const oldPods = old.reduce((sum, set) => sum + count(set), 0);
    const refusal = this.#keepCount(current, Math.min(wanted, Math.max(0, wanted + surge - oldPods)));
    const available = [current, ...old].reduce((sum, set) => sum + count(set, isReady), 0);
    let spare = available - (wanted - Math.floor(wanted / 4));
    for (const set of old) {
      const own = this.#podsOf(set);
      // Those that do not work go first.
      const unready = own.filter((pod) => !isReady(pod)).length;
      const end = Math.min(own.length, unready + Math.max(0, spare));
      spare -= Math.max(0, end - unready);
      this.#keepCount(set, own.length - end);
    }
    this.#deploymentStatus(deployment, current, old, refusal);
  }

  #deploymentStatus(deployment: KubeObject, current: KubeObject, old: readonly KubeObject[], refusal: ApiError | undefined): void {
    const updated = this.#podsOf(current);
    const all = [current, ...old].flatMap((set) => this.#podsOf(set));
    const ready = all.filter(isReady).length;
    const wanted = Number(deployment.spec.replicas);
    const complete = updated.length === wanted && all.length === wanted && ready === wanted;
    const mark = `${deployment.metadata.generation} ${updated.length} ${ready} ${all.length}`;
    const last = this.#progress.get(deployment.metadata.uid);
    if (last?.mark !== mark) this.#progress.set(deployment.metadata.uid, { mark, sinceMs: performance.now() });
    const stuck = !complete && last?.mark === mark && performance.now() - last.sinceMs > this.#settings.progressDeadlineMs;
    this.#store.change('deployments', deployment, (copy) => {
      copy.status = {
        conditions: copy.status?.conditions ?? [],
        observedGeneration: copy.metadata.generation,
        replicas: all.length,
        updatedReplicas: updated.length,
        readyReplicas: ready,
        availableReplicas: ready,
        unavailableReplicas: Math.max(0, wanted - ready),
      };
      withCondition(copy, {
        type: 'Available',
        status: ready >= wanted - Math.floor(wanted / 4) ? 'True' : 'False',
        reason: 'MinimumReplicas',
      });
      const name = current.metadata.name;
      if (stuck)
        withCondition(copy, {
          type: 'Progressing',
          status: 'False',
          reason: 'ProgressDeadlineExceeded',
          message: `ReplicaSet "${name}" has timed out progressing.`,
        });
      else withCondition(copy, { type: 'Progressing', status: 'True', reason: complete ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated' });
      if (refusal) withCondition(copy, { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: refusal.message });
      else copy.status.conditions = (copy.status.conditions as Fields[]).filter(({ type }) => type !== 'ReplicaFailure');
    });
  }

  /** Pods of it that shall stay. */
  #podsOf(owner: KubeObject): KubeObject[] {
    return this.#store.list('pods', owner.metadata.namespace).filter((pod) => isOwnedBy(pod, owner) && !pod.metadata.deletionTimestamp);
  }

  #keepCount(set: KubeObject, wanted: number): ApiError | undefined {
    const own = this.#podsOf(set);
    let refusal: ApiError | undefined;
    for (let index = own.length; index < wanted && refusal === undefined; index += 1) {
      const made = this.#pods.create(set, set.spec.template as Fields, `${set.metadata.name}-${this.#suffix()}`, {
        'pod-template-hash': set.metadata.labels?.['pod-template-hash'],
      });
      if (made instanceof ApiError) refusal = made;
    }
    for (const pod of own.toSorted((a, b) => Number(isReady(a)) - Number(isReady(b))).slice(0, Math.max(0, own.length - wanted)))
      this.#pods.end(pod);
    const now = this.#podsOf(set);
    this.#store.change('replicasets', set, (copy) => {
      copy.spec.replicas = wanted;
      copy.status = { replicas: now.length, readyReplicas: now.filter(isReady).length, observedGeneration: copy.metadata.generation };
    });
    return refusal;
  }

  #suffix(): string {
    this.#names += 1;
    let left = this.#names * 7_919 + 104_729;
    let suffix = '';
    for (let index = 0; index < 5; index += 1) {
      suffix += letters[left % letters.length];
      left = Math.floor(left / letters.length);
    }
    return suffix;
  }

  /** One after the other, each once the one before it is ready; down and anew from the last one. */
  #statefulSet(set: KubeObject): void {
    const { spec, metadata } = set;
    const hash = shortHash(spec.template);
    const revision = `${metadata.name}-${hash}`;
    const wanted = Number(spec.replicas);
    const parallel = spec.podManagementPolicy === 'Parallel';
    const all = this.#store.list('pods', metadata.namespace).filter((pod) => isOwnedBy(pod, set));
    const byOrdinal = new Map(all.map((pod) => [Number(pod.metadata.name.slice(metadata.name.length + 1)), pod]));
    for (let ordinal = 0; ordinal < wanted; ordinal += 1) {
      const pod = byOrdinal.get(ordinal);
      if (pod === undefined) {
        this.#claims(set, ordinal);
        // A refusal is only told in an event: the status of a stateful set does not carry it.
        this.#pods.create(set, spec.template as Fields, `${metadata.name}-${ordinal}`, { 'controller-revision-hash': revision });
      }
      if (!parallel && (pod === undefined || pod.metadata.deletionTimestamp || !isReady(pod))) break;
    }
    const beyond = [...byOrdinal].filter(([ordinal]) => ordinal >= wanted).toSorted(([a], [b]) => b - a);
    for (const [, pod] of parallel ? beyond : beyond.slice(0, 1)) this.#pods.end(pod);
    this.#rollStatefulSet(set, revision, byOrdinal, wanted);
    this.#statefulSetStatus(set, revision);
  }

  #rollStatefulSet(set: KubeObject, revision: string, byOrdinal: ReadonlyMap<number, KubeObject>, wanted: number): void {
    if (set.spec.updateStrategy?.type === 'OnDelete') return;
    for (let ordinal = wanted - 1; ordinal >= 0; ordinal -= 1) {
      const pod = byOrdinal.get(ordinal);
      if (pod === undefined || pod.metadata.deletionTimestamp) return;
      if (pod.metadata.labels?.['controller-revision-hash'] === revision) {
        if (!isReady(pod)) return;
        continue;
      }
      this.#pods.end(pod);
      return;
    }
  }

  #statefulSetStatus(set: KubeObject, revision: string): void {
    const all = this.#store.list('pods', set.metadata.namespace).filter((pod) => isOwnedBy(pod, set));
    const ready = all.filter((pod) => isReady(pod) && !pod.metadata.deletionTimestamp).length;
    const updated = all.filter((pod) => pod.metadata.labels?.['controller-revision-hash'] === revision).length;
    const complete = updated === Number(set.spec.replicas) && ready === updated;
    this.#store.change('statefulsets', set, (copy) => {
      copy.status = {
        observedGeneration: copy.metadata.generation,
        replicas: all.length,
        readyReplicas: ready,
        availableReplicas: ready,
        updatedReplicas: updated,
        currentRevision: complete ? revision : (copy.status?.currentRevision ?? revision),
        updateRevision: revision,
      };
    });
  }

  #claims(set: KubeObject, ordinal: number): void {
    for (const template of (set.spec.volumeClaimTemplates ?? []) as Fields[]) {
      const name = `${template.metadata?.name}-${set.metadata.name}-${ordinal}`;
      if (this.#store.find('persistentvolumeclaims', set.metadata.namespace, name)) continue;
      this.#store.create(kindNamed('persistentvolumeclaims'), set.metadata.namespace, {
        metadata: { name, labels: set.spec.selector?.matchLabels },
        spec: template.spec,
        status: { phase: 'Bound' },
      });
    }
  }
}
