/** Objects that tests put into a cluster, and how they look at what became of them. */
import type { Fields } from './fields.ts';
import type { KubernetesStandIn } from './kubernetes.ts';
import { isReady } from './pods.ts';

const template = (name: string, image: string): Fields => ({
  metadata: { labels: { app: name } },
  spec: { containers: [{ name: 'app', image }] },
});

export function deployment(namespace: string, name: string, replicas: number, image = 'app:1'): Fields {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels: { app: name } },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name, image) },
  };
}

export function statefulSet(namespace: string, name: string, replicas: number): Fields {
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      replicas,
      serviceName: name,
      selector: { matchLabels: { app: name } },
      template: template(name, 'db:1'),
      volumeClaimTemplates: [
        { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
      ],
    },
  };
}

/** Those that shall stay. */
export function podsOf(
  { store }: KubernetesStandIn,
  namespace: string,
  app: string,
): { readonly name: string; readonly node: string; readonly ready: boolean }[] {
  return store
    .list('pods', namespace)
    .filter(({ metadata }) => metadata.labels?.app === app && !metadata.deletionTimestamp)
    .map((pod) => ({ name: pod.metadata.name, node: String(pod.spec.nodeName ?? ''), ready: isReady(pod) }));
}

export async function waitUntil(holds: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > untilMs) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
