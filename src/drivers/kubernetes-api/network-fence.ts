/** A NetworkPolicy that lets nothing in or out of the pods of a fenced workload. It bars nobody where the cluster's network does not enforce policies, which can't be seen from here. */
import { annotations } from './annotations.ts';
import type { CallOptions, Resource } from './client.ts';
import type { KubeObject } from './objects.ts';
import { isAlreadyThere } from './refusal.ts';
import type { WorkloadParts } from './workload-parts.ts';

const policies = (namespace: string): Resource => ({ apiVersion: 'networking.k8s.io/v1', plural: 'networkpolicies', namespace });
const policyName = (name: string): string => `holdfast-fence-${name}`;

export async function denyNetwork({ client, namespace, name }: WorkloadParts, workload: KubeObject, call: CallOptions): Promise<void> {
  const policy = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: policyName(name), namespace, annotations: { [annotations.fenced]: 'true' } },
    spec: { podSelector: workload.spec?.selector ?? {}, policyTypes: ['Ingress', 'Egress'] },
  };
  try {
    await client.create(policies(namespace), policy, call);
  } catch (error) {
    if (!isAlreadyThere(error)) throw error;
  }
}

export async function letNetwork({ client, namespace, name }: WorkloadParts, call: CallOptions): Promise<void> {
  await client.remove(policies(namespace), policyName(name), call);
}
