/** The pods of a workload: where they run, by the zone of their node (never by the names of nodes), and why those that are not ready are not. */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { CallOptions, KubernetesClient } from './client.ts';
import { conditionOf, isReady, type KubeObject, objectsAt, textAt } from './objects.ts';

export const zoneLabel = 'topology.kubernetes.io/zone';
const oldZoneLabel = 'failure-domain.beta.kubernetes.io/zone';

/** Ended for good: it holds nothing and runs nothing. */
const isOver = (pod: KubeObject): boolean => ['Succeeded', 'Failed'].includes(textAt(pod.status, 'phase') ?? '');

export interface Placement {
  readonly pods: readonly KubeObject[];
  /** Ready pods by zone. Undefined where nodes may not be read. */
  readonly zones: Readonly<Record<string, number>> | undefined;
  /** In words, one for each pod that is not ready, with its reason. */
  readonly troubles: readonly string[];
  /** Pods that were told to end and are still there. */
  readonly ending: readonly string[];
}

export function zoneOf(node: KubeObject): string {
  return node.metadata.labels?.[zoneLabel] ?? node.metadata.labels?.[oldZoneLabel] ?? 'no zone';
}

/** Nodes by name with their zones; undefined where they may not be read. */
export async function readZones(client: KubernetesClient, call: CallOptions): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    const nodes = await client.list({ apiVersion: 'v1', plural: 'nodes' }, {}, call);
    return new Map(nodes.map((node) => [node.metadata.name, zoneOf(node)]));
  } catch (error) {
    // A user of one namespace may not see nodes: then there are no zones, which is shown as such.
    if (error instanceof HoldfastError && error.details.status === 403) return undefined;
    throw error;
  }
}

export async function readPods(
  client: KubernetesClient,
  namespace: string,
  labels: string,
  call: CallOptions,
): Promise<readonly KubeObject[]> {
  const pods = await client.list({ apiVersion: 'v1', plural: 'pods', namespace }, { labels }, call);
  return pods.filter((pod) => !isOver(pod));
}

export function computePlacement(pods: readonly KubeObject[], zones: ReadonlyMap<string, string> | undefined): Placement {
  const counts: Record<string, number> = {};
  for (const pod of pods) {
    if (!isReady(pod) || pod.metadata.deletionTimestamp) continue;
    const zone = zones?.get(textAt(pod.spec, 'nodeName') ?? '') ?? 'no zone';
    counts[zone] = (counts[zone] ?? 0) + 1;
  }
  return {
    pods,
    zones: zones && counts,
    troubles: pods.filter((pod) => !isReady(pod) && !pod.metadata.deletionTimestamp).map(troubleOf),
    ending: pods
      .filter((pod) => pod.metadata.deletionTimestamp)
      .map((pod) => `${pod.metadata.name} on ${textAt(pod.spec, 'nodeName') ?? 'no node'}`),
  };
}

function troubleOf(pod: KubeObject): string {
  const waiting = objectsAt(pod.status, 'containerStatuses')
    .map((each) => (each.state as JsonObject | undefined)?.waiting as JsonObject | undefined)
    .find((each) => each !== undefined && each !== null);
  const scheduled = conditionOf(pod, 'PodScheduled');
  const why =
    waiting !== undefined
      ? `${String(waiting.reason ?? 'waiting')}: ${String(waiting.message ?? '')}`
      : scheduled?.status === 'False'
        ? `${scheduled.reason}: ${scheduled.message}`
        : conditionOf(pod, 'Ready')?.reason || 'not ready yet';
  return `${pod.metadata.name}: ${why.slice(0, 200)}`;
}
