/**
 * The verb `run` of a workload: its pods are started anew, one after the other as its strategy says, and that is done once the rollout is complete.
 *
 * The template carries which step asked for it: asked again, or by another controller after a crash, nothing is restarted twice.
 */
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import { annotations, refuseOlderEpoch } from './annotations.ts';
import type { CallOptions, KubernetesClient, Resource } from './client.ts';
import { type KubeObject, textAt } from './objects.ts';
import { judgeRollout, type WorkloadKind } from './rollout.ts';
import { readWorkload, stepCall, type WorkloadParts } from './workload-parts.ts';

const restartedFor = (object: KubeObject, annotation: string): string | undefined =>
  textAt(object.spec, 'template', 'metadata', 'annotations', annotation);

export interface Restart {
  readonly client: KubernetesClient;
  readonly resource: Resource;
  readonly kind: WorkloadKind;
  readonly name: string;
  /** What the pods are started anew for: the same text is the same restart. */
  readonly mark: string;
  /** Where the template carries the mark. Default: `annotations.restart`. */
  readonly annotation?: string;
  readonly nowMs: number;
  readonly call: CallOptions;
}

/** Where its rollout stands; `absent` where it was not restarted for this mark. */
export async function inspectRestart({
  client,
  resource,
  kind,
  name,
  mark,
  annotation = annotations.restart,
  call,
}: Omit<Restart, 'nowMs'>): Promise<{ readonly state: 'absent' | 'pending' | 'done'; readonly why: string }> {
  const object = await client.get(resource, name, call);
  const what = `${kind} ${resource.namespace}/${name}`;
  if (restartedFor(object, annotation) !== mark) return { state: 'absent', why: `${what} was not restarted for this` };
  const { state, why } = judgeRollout(kind, object);
  if (state === 'failed')
    throw fail('SYSTEM_REFUSED', { message: `${what}: ${why}`, hint: 'kubectl rollout undo leads back to the pods before.' });
  return { state: state === 'complete' ? 'done' : 'pending', why: `${what}: ${why}` };
}

export async function restart({ client, resource, name, mark, annotation = annotations.restart, nowMs, call }: Restart): Promise<void> {
  const template = {
    metadata: { annotations: { [annotation]: mark, 'kubectl.kubernetes.io/restartedAt': formatInstant(nowMs) } },
  };
  await client.change(resource, name, (object) => (restartedFor(object, annotation) === mark ? undefined : { spec: { template } }), call);
}

export function restartVerb(parts: WorkloadParts): Verb {
  const of = (context: StepContext): Restart => ({
    client: parts.client,
    resource: parts.resource,
    kind: parts.kind,
    name: parts.name,
    mark: `${context.executionId} ${context.stepId}`,
    nowMs: parts.context.host.clock.nowMs(),
    call: stepCall(parts, context.signal),
  });
  return {
    inspect: async (_want, context) => {
      const { state, why } = await inspectRestart(of(context));
      return state === 'done' ? { state, output: { detail: why } } : { state, why };
    },
    apply: async (_want, context) => {
      refuseOlderEpoch(await readWorkload(parts, context.signal), parts.subject, context.epoch);
      await restart(of(context));
    },
  };
}
