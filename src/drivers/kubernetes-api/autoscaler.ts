/** Autoscalers: one that holds a workload between its own bounds puts its number in place of ours, unless ours is 0, which switches it off. */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { CallOptions } from './client.ts';
import { countAt, textAt } from './objects.ts';
import type { WorkloadParts } from './workload-parts.ts';

export interface AutoscalerBounds {
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

/** Undefined where there is none, or where they may not be read. */
export async function findAutoscaler(
  { client, namespace, kind, name }: WorkloadParts,
  call: CallOptions,
): Promise<AutoscalerBounds | undefined> {
  try {
    const all = await client.list({ apiVersion: 'autoscaling/v2', plural: 'horizontalpodautoscalers', namespace }, {}, call);
    const own = all.find(({ spec }) => textAt(spec, 'scaleTargetRef', 'kind') === kind && textAt(spec, 'scaleTargetRef', 'name') === name);
    return own && { name: own.metadata.name, least: countAt(own.spec, 'minReplicas') || 1, most: countAt(own.spec, 'maxReplicas') };
  } catch (error) {
    // Whoever may not read them can't be told of them; the README asks for the right.
    if (error instanceof HoldfastError && (error.details.status === 403 || error.code === 'NOT_FOUND')) return undefined;
    throw error;
  }
}

export async function refuseAutoscaler(parts: WorkloadParts, count: number, call: CallOptions): Promise<void> {
  if (count === 0) return;
  const bounds = await findAutoscaler(parts, call);
  if (bounds === undefined || (count >= bounds.least && count <= bounds.most)) return;
  throw fail('SYSTEM_REFUSED', {
    message: `${parts.subject} can not be set to ${count} replicas: the autoscaler ${bounds.name} holds it between ${bounds.least} and ${bounds.most}`,
    hint: 'Change minReplicas and maxReplicas of the autoscaler, or the numbers in the spec.',
  });
}
