/** What a cluster has, and what of it is not as it must be. The judging is pure. */
import type { JsonObject } from '../../base/json.ts';
import type { CallOptions, KubernetesClient } from '../kubernetes-api/client.ts';
import { conditionOf, isReady, type KubeObject, textAt, valueAt } from '../kubernetes-api/objects.ts';
import { zoneOf } from '../kubernetes-api/placement.ts';
import type { NodesOptions } from './options.ts';

export interface Inventory {
  readonly nodes: readonly KubeObject[];
  readonly pods: readonly KubeObject[];
  readonly claims: readonly KubeObject[];
  readonly clusterId: string | undefined;
}

export async function readInventory(client: KubernetesClient, options: NodesOptions, call: CallOptions): Promise<Inventory> {
  const [nodes, pods, claims, clusterId] = await Promise.all([
    client.list({ apiVersion: 'v1', plural: 'nodes' }, { labels: options.nodes }, call),
    options.pods === undefined
      ? []
      : client.list({ apiVersion: 'v1', plural: 'pods', namespace: options.pods.namespace }, { labels: options.pods.selector }, call),
    options.claims === undefined
      ? []
      : client.list({ apiVersion: 'v1', plural: 'persistentvolumeclaims', namespace: options.claims.namespace }, {}, call),
    client.readClusterId(call),
  ]);
  return { nodes, pods, claims, clusterId };
}

const isUsable = (node: KubeObject): boolean => isReady(node) && valueAt(node.spec, 'unschedulable') !== true;
/** Ended as it should: a job's pod is not missing. */
const isOver = (pod: KubeObject): boolean => textAt(pod.status, 'phase') === 'Succeeded';

export interface ZoneCount extends JsonObject {
  readonly nodes: number;
  readonly ready: number;
  readonly pods: number;
  /** How many pods its ready nodes may hold. */
  readonly room: number;
}

export function countZones({ nodes, pods }: Inventory): Readonly<Record<string, ZoneCount>> {
  const zones: Record<string, { nodes: number; ready: number; pods: number; room: number }> = {};
  const zoneByNode = new Map<string, string>();
  for (const node of nodes) {
    const zone = zoneOf(node);
    zoneByNode.set(node.metadata.name, zone);
    zones[zone] ??= { nodes: 0, ready: 0, pods: 0, room: 0 };
    zones[zone].nodes += 1;
    if (!isUsable(node)) continue;
    zones[zone].ready += 1;
    zones[zone].room += Number(valueAt(node.status, 'allocatable', 'pods') ?? 0);
  }
  for (const pod of pods) {
    const zone = zoneByNode.get(textAt(pod.spec, 'nodeName') ?? '');
    const count = zone === undefined ? undefined : zones[zone];
    if (count && isReady(pod) && !pod.metadata.deletionTimestamp) count.pods += 1;
  }
  return zones;
}

/** What is not as it must be, in words; nothing where all is well. */
export function judgeInventory(inventory: Inventory, options: NodesOptions): readonly string[] {
  const { nodes, pods, claims } = inventory;
  const usable = nodes.filter(isUsable);
  const zones = Object.entries(countZones(inventory)).filter(([, { ready }]) => ready > 0);
  const faults: string[] = [];
  if (nodes.length < options['least-nodes'])
    faults.push(`there are ${nodes.length} nodes, and ${options['least-nodes']} are wanted at least`);
  if (usable.length < Math.ceil(nodes.length * options['ready-share']))
    faults.push(
      `${usable.length} of ${nodes.length} nodes are ready: ${nodes
        .filter((node) => !isUsable(node))
        .map(describeNode)
        .join(', ')}`,
    );
  if (zones.length < options.zones)
    faults.push(
      `ready nodes are in ${zones.length} zones (${zones.map(([zone]) => zone).join(', ') || 'none'}), and ${options.zones} are wanted`,
    );
  const waiting = pods.filter((pod) => !isReady(pod) && !isOver(pod));
  if (waiting.length > 0)
    faults.push(
      `${waiting.length} of ${pods.length} pods are not ready: ${waiting
        .slice(0, 5)
        .map(({ metadata }) => metadata.name)
        .join(', ')}`,
    );
  if (options.pods && pods.length === 0) faults.push(`there are no pods in ${options.pods.namespace}`);
  for (const [zone, { pods: count }] of zones)
    if (options.pods && count < options.pods['least-per-zone'])
      faults.push(`${zone} has ${count} ready pods, and ${options.pods['least-per-zone']} are wanted`);
  const unbound = claims.filter((claim) => textAt(claim.status, 'phase') !== 'Bound');
  if (unbound.length > 0)
    faults.push(
      `${unbound.length} of ${claims.length} volume claims are not bound: ${unbound
        .slice(0, 5)
        .map(({ metadata }) => metadata.name)
        .join(', ')}`,
    );
  return faults;
}

function describeNode(node: KubeObject): string {
  const { name } = node.metadata;
  const ready = conditionOf(node, 'Ready');
  if (ready?.status !== 'True') return `${name} (${ready?.reason || 'not ready'})`;
  return `${name} (cordoned)`;
}
