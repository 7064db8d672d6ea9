/** The life of pods: made by their controllers, placed on nodes, ready after a while, ended gracefully, evicted only as far as budgets allow, moved when their node is lost. */
import { ApiError } from './api-error.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { type Fields, type KubeObject, selects, stamp } from './fields.ts';
import { kindNamed } from './kinds.ts';
import type { Store } from './store.ts';

const pods = kindNamed('pods');

export const isReady = (object: KubeObject): boolean => conditionOf(object, 'Ready')?.status === 'True';
export const isOwnedBy = (object: KubeObject, owner: KubeObject): boolean =>
  ((object.metadata.ownerReferences ?? []) as Fields[]).some(({ uid, controller }) => uid === owner.metadata.uid && controller === true);

export function conditionOf(object: KubeObject, type: string): Fields | undefined {
  return ((object.status?.conditions ?? []) as Fields[]).find((each) => each.type === type);
}

/** With the time of the change only where something has changed. */
export function withCondition(
  object: Fields,
  next: { readonly type: string; readonly status: string; readonly reason?: string; readonly message?: string },
): void {
  object.status ??= {};
  const conditions = (object.status.conditions ?? []) as Fields[];
  const present = conditions.find(({ type }) => type === next.type);
  if (present?.status === next.status && present.reason === next.reason && present.message === next.message) return;
  object.status.conditions = [...conditions.filter(({ type }) => type !== next.type), { ...next, lastTransitionTime: stamp() }];
}

export class Pods {
  readonly #store: Store;
  readonly #settings: ClusterSettings;
  /** By uid: when its container was started, and when its end was asked for. */
  readonly #startedMs = new Map<string, number>();
  readonly #endingMs = new Map<string, number>();
  readonly #nodeLostMs = new Map<string, number>();

  constructor(store: Store, settings: ClusterSettings) {
    this.#store = store;
    this.#settings = settings;
  }

  /** Undefined where the quota of the namespace does not allow another one; the message is that of the real server. */
  create(owner: KubeObject, template: Fields, name: string, more: Fields = {}): KubeObject | ApiError {
    const namespace = owner.metadata.namespace as string;
    for (const quota of this.#store.list('resourcequotas', namespace)) {
      const hard = quota.spec?.hard?.pods;
      const used = this.#store.list('pods', namespace).length;
      if (hard !== undefined && used >= Number(hard))
        return new ApiError(
          403,
          'Forbidden',
          `pods "${name}" is forbidden: exceeded quota: ${quota.metadata.name}, requested: pods=1, used: pods=${used}, limited: pods=${hard}`,
        );
    }
    return this.#store.create(pods, namespace, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        labels: { ...template.metadata?.labels, ...more },
        annotations: template.metadata?.annotations,
        ownerReferences: [
          {
            apiVersion: owner.apiVersion,
            kind: owner.kind,
            name: owner.metadata.name,
            uid: owner.metadata.uid,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      spec: { ...template.spec },
      status: { phase: 'Pending' },
    });
  }

  end(pod: KubeObject, graceSeconds?: number): void {
    if (graceSeconds === 0) {
      this.#store.remove('pods', pod);
      return;
    }
    if (pod.metadata.deletionTimestamp) return;
    this.#endingMs.set(pod.metadata.uid, performance.now());
    this.#store.change('pods', pod, (copy) => {
      copy.metadata.deletionTimestamp = stamp();
      copy.metadata.deletionGracePeriodSeconds = graceSeconds ?? 30;
    });
  }

  /** 429 where a budget would be broken. */
  evict(pod: KubeObject): void {
    const budgets = this.#store
      .list('poddisruptionbudgets', pod.metadata.namespace)
      .filter(({ spec }) => selects(spec?.selector, pod.metadata.labels));
    if (budgets.length > 1)
      throw new ApiError(
        500,
        'InternalError',
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      );
    const [budget] = budgets;
    if (budget !== undefined && isReady(pod)) {
      const { allowed, healthy, desired } = this.budget(budget);
      if (allowed <= 0)
        throw new ApiError(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
          causes: [
            {
              reason: 'DisruptionBudget',
              message: `The disruption budget ${budget.metadata.name} needs ${desired} healthy pods and has ${healthy} currently`,
            },
          ],
        });
    }
    this.end(pod);
  }

  budget(budget: KubeObject): { allowed: number; healthy: number; desired: number; expected: number } {
    const own = this.#store
      .list('pods', budget.metadata.namespace)
      .filter(({ metadata }) => selects(budget.spec?.selector, metadata.labels));
    const healthy = own.filter((pod) => isReady(pod) && !pod.metadata.deletionTimestamp).length;
    const expected = Math.max(own.filter((pod) => !pod.metadata.deletionTimestamp).length, this.#expectedOf(budget));
    const { minAvailable, maxUnavailable } = budget.spec ?? {};
    const share = (value: unknown): number =>
      typeof value === 'string' ? Math.ceil((Number.parseFloat(value) / 100) * expected) : Number(value);
    const desired =
      minAvailable !== undefined ? share(minAvailable) : maxUnavailable !== undefined ? Math.max(0, expected - share(maxUnavailable)) : 0;
    return { allowed: Math.max(0, healthy - desired), healthy, desired, expected };
  }

  #expectedOf(budget: KubeObject): number {
    return ['deployments', 'statefulsets']
      .flatMap((resource) => this.#store.list(resource, budget.metadata.namespace))
      .filter(({ spec }) => selects(budget.spec?.selector, spec.template?.metadata?.labels))
      .reduce((sum, { spec }) => sum + Number(spec.replicas ?? 0), 0);
  }

  /** The container dies; the node starts it again. */
  crash(pod: KubeObject): void {
    this.#startedMs.set(pod.metadata.uid, performance.now());
    this.#store.change('pods', pod, (copy) => {
      withCondition(copy, { type: 'Ready', status: 'False', reason: 'ContainersNotReady' });
      const [container] = (copy.status.containerStatuses ?? []) as Fields[];
      if (container)
        Object.assign(container, {
          ready: false,
          restartCount: Number(container.restartCount ?? 0) + 1,
          state: { running: { startedAt: stamp() } },
        });
    });
  }

  reconcile(): void {
    const nowMs = performance.now();
    const nodes = this.#store.list('nodes');
    for (const node of nodes) this.#followNode(node, nowMs);
    const byName = new Map(nodes.map((node) => [node.metadata.name, node]));
    for (const pod of this.#store.list('pods')) this.#live(pod, byName, nowMs);
    for (const budget of this.#store.list('poddisruptionbudgets')) {
      const { allowed, healthy, desired, expected } = this.budget(budget);
      this.#store.change('poddisruptionbudgets', budget, (copy) => {
        copy.status = {
          ...copy.status,
          disruptionsAllowed: allowed,
          currentHealthy: healthy,
          desiredHealthy: desired,
          expectedPods: expected,
          observedGeneration: copy.metadata.generation,
        };
      });
    }
  }

  #followNode(node: KubeObject, nowMs: number): void {
    const name = node.metadata.name;
    if (isReady(node)) this.#nodeLostMs.delete(name);
    else if (!this.#nodeLostMs.has(name)) this.#nodeLostMs.set(name, nowMs);
  }

  #live(pod: KubeObject, nodes: ReadonlyMap<string, KubeObject>, nowMs: number): void {
    const node = nodes.get(pod.spec.nodeName ?? '');
    const lost = pod.spec.nodeName !== undefined && (node === undefined || !isReady(node));
    if (pod.metadata.deletionTimestamp) {
      // Nobody on a lost node says that a pod has ended: it stays until its node is back, or is gone from the cluster.
      if (lost && node !== undefined) return;
      if (nowMs - (this.#endingMs.get(pod.metadata.uid) ?? 0) >= this.#settings.podEndMs) this.#store.remove('pods', pod);
      return;
    }
    if (lost) {
      this.#store.change('pods', pod, (copy) => withCondition(copy, { type: 'Ready', status: 'False', reason: 'NodeNotReady' }));
      if (node === undefined) this.#store.remove('pods', pod);
      else if (nowMs - (this.#nodeLostMs.get(node.metadata.name) ?? nowMs) >= this.#settings.nodeGraceMs) this.end(pod);
      return;
    }
    if (pod.spec.nodeName === undefined) this.#place(pod, [...nodes.values()], nowMs);
    else this.#run(pod, nowMs);
  }

  /** On the node that may take it and has the fewest, zones first. */
  #place(pod: KubeObject, nodes: readonly KubeObject[], nowMs: number): void {
    const all = this.#store.list('pods');
    const on = (test: (node: KubeObject) => boolean): number =>
      all.filter(({ spec }) => nodes.some((node) => node.metadata.name === spec.nodeName && test(node))).length;
    const zoneOf = (node: KubeObject): string => String(node.metadata.labels?.['topology.kubernetes.io/zone'] ?? '');
    const load = (node: KubeObject): number =>
      on((each) => zoneOf(each) === zoneOf(node)) * 1_000 + on((each) => each.metadata.name === node.metadata.name);
    const fit = nodes.filter(
      (node) =>
        isReady(node) &&
        node.spec?.unschedulable !== true &&
        on((each) => each.metadata.name === node.metadata.name) < Number(node.status?.allocatable?.pods ?? 110),
    );
    const [best] = fit.toSorted((a, b) => load(a) - load(b));
    if (best === undefined) {
      const message = `0/${nodes.length} nodes are available`;
      this.#store.change('pods', pod, (copy) =>
        withCondition(copy, { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }),
      );
      return;
    }
    this.#startedMs.set(pod.metadata.uid, nowMs);
    this.#store.change('pods', pod, (copy) => {
      copy.spec.nodeName = best.metadata.name;
      withCondition(copy, { type: 'PodScheduled', status: 'True' });
    });
  }

  #run(pod: KubeObject, nowMs: number): void {
    const { badImages, podReadyMs } = this.#settings;
    const broken = ((pod.spec.containers ?? []) as Fields[]).find(({ image }) => badImages.has(image));
    const up = broken === undefined && (isReady(pod) || nowMs - (this.#startedMs.get(pod.metadata.uid) ?? 0) >= podReadyMs);
    this.#store.change('pods', pod, (copy) => {
      const restarts = Number(copy.status.containerStatuses?.[0]?.restartCount ?? 0);
      copy.status.phase = broken ? 'Pending' : 'Running';
      copy.status.podIP ??= `10.0.${this.#store.version % 250}.${(this.#store.version * 7) % 250}`;
      copy.status.containerStatuses = ((copy.spec.containers ?? []) as Fields[]).map(({ name, image }, index) => ({
        name,
        image,
        ready: up,
        restartCount: restarts,
        state: badImages.has(image)
          ? { waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}"` } }
          : (copy.status.containerStatuses?.[index]?.state ?? { running: { startedAt: stamp() } }),
      }));
      if (broken === undefined)
        for (const each of copy.status.containerStatuses) if (each.state.waiting) each.state = { running: { startedAt: stamp() } };
      withCondition(copy, { type: 'Ready', status: up ? 'True' : 'False', ...(up ? {} : { reason: 'ContainersNotReady' }) });
    });
  }
}
