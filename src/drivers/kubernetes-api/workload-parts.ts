/** One workload in one cluster: what each of its verbs is given. */
import type { SiteContext } from '../../contracts/driver.ts';
import type { CallOptions, KubernetesClient, Resource } from './client.ts';
import type { KubeObject } from './objects.ts';
import type { WorkloadKind } from './rollout.ts';
import type { WorkloadComponentOptions, WorkloadSiteOptions } from './workload-options.ts';

export type WorkloadContext = SiteContext<WorkloadComponentOptions, WorkloadSiteOptions>;

export interface WorkloadParts {
  readonly context: WorkloadContext;
  readonly client: KubernetesClient;
  readonly kind: WorkloadKind;
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  /** For messages: `deployment shop/api`. */
  readonly subject: string;
}

export function stepCall({ context }: WorkloadParts, signal: AbortSignal): CallOptions {
  return { timeoutMs: context.options['call-timeout'], signal };
}

export function readWorkload(parts: WorkloadParts, signal: AbortSignal): Promise<KubeObject> {
  return parts.client.get(parts.resource, parts.name, stepCall(parts, signal));
}
