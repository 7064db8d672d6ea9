/**
 * The verb `run` of nodes: they are cordoned and their pods evicted, and that is done once only pods are left which belong to the node itself.
 *
 * A budget that allows no eviction now is waited for, never gone around: nothing is deleted here. Pods without a controller would be gone for good, so they are refused before anything is touched. Dying
 * in between leaves nodes cordoned, which the next `apply` finds.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Clock } from '../../host/host.ts';
import type { CallOptions, KubernetesClient } from '../kubernetes-api/client.ts';
import { type KubeObject, objectsAt, textAt, valueAt } from '../kubernetes-api/objects.ts';
import { zoneOf } from '../kubernetes-api/placement.ts';
import type { NodesOptions } from './options.ts';

const nodes = { apiVersion: 'v1', plural: 'nodes' };
const roundMs = 250;

interface DrainState {
  readonly nodes: readonly KubeObject[];
  /** To be evicted, or on their way. */
  readonly pods: readonly KubeObject[];
}

export function drainVerb(client: KubernetesClient, options: NodesOptions, clock: Clock): Verb {
  const callOf = ({ signal }: StepContext): CallOptions => ({ timeoutMs: options['call-timeout'], signal });
  return {
    inspect: async (_want, context) => inspectDrain(await readState(client, options, callOf(context))),
    apply: (_want, context) => drain(client, options, clock, context, callOf(context)),
  };
}

async function readState(client: KubernetesClient, { drain: what }: NodesOptions, call: CallOptions): Promise<DrainState> {
  const all = await client.list(nodes, {}, call);
  const chosen = all.filter((node) => (what?.nodes ? what.nodes.includes(node.metadata.name) : zoneOf(node) === what?.zone));
  const missing = (what?.nodes ?? []).filter((name) => !chosen.some((node) => node.metadata.name === name));
  if (missing.length > 0 || chosen.length === 0)
    throw fail('NOT_FOUND', {
      message: missing.length > 0 ? `there is no node ${missing.join(', ')}` : `there is no node in ${what?.zone}`,
    });
  const pods = await Promise.all(
    chosen.map(({ metadata }) => client.list({ apiVersion: 'v1', plural: 'pods' }, { fields: `spec.nodeName=${metadata.name}` }, call)),
  );
  return {
    nodes: chosen,
    pods: pods.flat().filter((pod) => !staysWithNode(pod) && !['Succeeded', 'Failed'].includes(textAt(pod.status, 'phase') ?? '')),
  };
}

/** Of a DaemonSet, or a static pod that the node itself started. */
function staysWithNode(pod: KubeObject): boolean {
  const isDaemon = objectsAt(pod.metadata, 'ownerReferences').some(({ kind, controller }) => kind === 'DaemonSet' && controller === true);
  return isDaemon || pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined;
}

const isCordoned = (node: KubeObject): boolean => valueAt(node.spec, 'unschedulable') === true;

function inspectDrain({ nodes: chosen, pods }: DrainState): Inspection {
  const open = chosen.filter((node) => !isCordoned(node)).map(({ metadata }) => metadata.name);
  if (open.length > 0) return { state: 'absent', why: `pods may still be placed on ${open.join(', ')}` };
  const staying = pods.filter(({ metadata }) => !metadata.deletionTimestamp);
  if (staying.length > 0) return { state: 'absent', why: `${staying.length} pods are still to be evicted: ${namesOf(staying)}` };
  if (pods.length > 0) return { state: 'pending', why: `${pods.length} pods are ending: ${namesOf(pods)}` };
  return { state: 'done', output: { detail: `${chosen.map(({ metadata }) => metadata.name).join(', ')} cordoned and empty` } };
}

const namesOf = (pods: readonly KubeObject[]): string =>
  pods
    .slice(0, 5)
    .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
    .join(', ');

async function drain(
  client: KubernetesClient,
  options: NodesOptions,
  clock: Clock,
  context: StepContext,
  call: CallOptions,
): Promise<void> {
  const before = await readState(client, options, call);
  const alone = before.pods.filter(({ metadata }) => !objectsAt(metadata, 'ownerReferences').some(({ controller }) => controller === true));
  if (alone.length > 0)
    throw fail('SYSTEM_REFUSED', {
      message: `${namesOf(alone)} belong to no controller: evicted, they would be gone for good`,
      hint: 'Move or delete them by hand.',
    });
  for (const { metadata } of before.nodes) await client.merge(nodes, metadata.name, { spec: { unschedulable: true } }, call);
  for (;;) {
    const { pods } = await readState(client, options, call);
    const left = pods.filter(({ metadata }) => !metadata.deletionTimestamp);
    if (left.length === 0) return;
    const blocked = await evictAll(client, left, call);
    if (blocked.length > 0) context.progress(`${blocked.length} pods wait for their budget: ${blocked[0]}`);
    await clock.sleep(roundMs, context.signal);
  }
}

/** Returns what their budgets do not allow now. */
async function evictAll(client: KubernetesClient, pods: readonly KubeObject[], call: CallOptions): Promise<readonly string[]> {
  const blocked: string[] = [];
  for (const { metadata } of pods) {
    try {
      await client.evict(metadata.namespace as string, metadata.name, call);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      if (error.details.status === 429) blocked.push(`${metadata.name}: ${error.message}`);
      else if (error.code !== 'NOT_FOUND') throw error;
    }
  }
  return blocked;
}
