/**
 * A deployment or stateful set as a workload.
 *
 * Invariants: the number of replicas, the epoch and the count that was there before are one patch, which takes only an object that is as it was read: two executions never mix. An older epoch changes nothing. A
 * fence is done only once no pod is left, also none that is told to end on a node that nobody hears of. Dying anywhere leaves either the old or the new state; the counts tell which.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Site } from '../../contracts/driver.ts';
import type { Inspection, SiteVerb, StepContext, Verb } from '../../contracts/verbs.ts';
import { Endpoint } from '../../contracts/workload/endpoint.ts';
import { HttpHealthProbe } from '../../contracts/workload/http-health.ts';
import { SmokeChecks } from '../../contracts/workload/smoke-checks.ts';
import {
  awaitReadyVerb,
  checkVerb,
  fenceVerb,
  scaleVerb,
  type Workload,
  type WorkloadSize,
} from '../../contracts/workload/workload-verbs.ts';
import { annotations, epochOf, refuseOlderEpoch } from './annotations.ts';
import { clearTheWay, findArgoOwner, resumeSync } from './argo-owner.ts';
import { refuseAutoscaler } from './autoscaler.ts';
import { KubernetesClient } from './client.ts';
import { denyNetwork, letNetwork } from './network-fence.ts';
import { formatSelector, type KubeObject } from './objects.ts';
import { readPods } from './placement.ts';
import { restartVerb } from './restart.ts';
import { countsOf, isObserved, judgeRollout, type WorkloadKind } from './rollout.ts';
import { WorkloadObserver } from './workload-observer.ts';
import { readWorkload, stepCall, type WorkloadContext, type WorkloadParts } from './workload-parts.ts';

export function openWorkloadSite(kind: WorkloadKind, context: WorkloadContext): Site {
  const { host, options, site } = context;
  const namespace = site.namespace ?? options.namespace;
  const parts: WorkloadParts = {
    context,
    client: new KubernetesClient(host, site),
    kind,
    resource: { apiVersion: 'apps/v1', plural: kind === 'Deployment' ? 'deployments' : 'statefulsets', namespace },
    namespace,
    name: options.name,
    subject: `${kind === 'Deployment' ? 'deployment' : 'stateful set'} ${namespace}/${options.name}`,
  };
  const endpoint = site.service && new Endpoint(host, site.service);
  const probe = endpoint && options.health ? new HttpHealthProbe(host.net, endpoint, options.health, context.probeTimeoutMs) : undefined;
  const observer = new WorkloadObserver(parts, probe);
  const workload: Workload = {
    replicas: (size, signal) => replicasOf(parts, size, signal),
    observe: (signal) => observer.observe(signal),
    readCounts: async (signal) => {
      const object = await readWorkload(parts, signal);
      const { wanted, ready } = countsOf(object);
      // A status from before the change speaks of other pods.
      return { wanted, ready: isObserved(object) ? ready : 0 };
    },
    bring: (size, step, bar) => bringSize(parts, size, step, bar === true),
  };
  const smoke = endpoint && options.smoke && options.smoke.length > 0 ? new SmokeChecks(host.net, endpoint, options.smoke) : undefined;
  const verbs: Partial<Record<SiteVerb, Verb>> = {
    scale: scaleVerb(workload),
    'await-ready': judgedByRollout(parts, awaitReadyVerb(workload)),
    fence: untilNoPodIsLeft(parts, fenceVerb(workload, host.clock)),
    check: checkVerb(workload, smoke && ((signal) => smoke.inspect(signal))),
    run: restartVerb(parts),
  };
  return {
    observe: (signal) => observer.observe(signal),
    verbs,
    readEpoch: async (signal) => epochOf(await readWorkload(parts, signal)),
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

async function replicasOf(parts: WorkloadParts, size: WorkloadSize, signal: AbortSignal): Promise<number> {
  const { options } = parts.context;
  if (size === 'none') return 0;
  if (size === 'standby' && options['standby-replicas'] !== undefined) return options['standby-replicas'];
  return options['full-replicas'] ?? fullReplicasOf(parts, await readWorkload(parts, signal));
}

/** What was recorded when Holdfast set fewer; without such a record nobody but the owner has ever changed it, so what is set is the full size. */
function fullReplicasOf(parts: WorkloadParts, object: KubeObject): number {
  const recorded = Number(object.metadata.annotations?.[annotations.fullReplicas]);
  const full = Number.isSafeInteger(recorded) && recorded > 0 ? recorded : countsOf(object).wanted;
  if (full > 0) return full;
  throw fail('SYSTEM_REFUSED', {
    message: `${parts.subject} is set to 0 replicas, and nothing recorded how many there were`,
    hint: 'Give full-replicas in the spec.',
  });
}

async function bringSize(parts: WorkloadParts, size: WorkloadSize, step: StepContext, bar: boolean): Promise<void> {
  const { client, resource, name, subject, context } = parts;
  const call = stepCall(parts, step.signal);
  const object = await readWorkload(parts, step.signal);
  refuseOlderEpoch(object, subject, step.epoch);
  const count = await replicasOf(parts, size, step.signal);
  await refuseAutoscaler(parts, count, call);
  const owner = await findArgoOwner(client, object, context.options.argocd, call);
  const change = { client, options: context.options.argocd, call, subject };
  const differs = count !== countsOf(object).wanted;
  const way = owner && (differs || bar) ? await clearTheWay(owner, change, { workload: name, count }) : 'free';
  if (bar && context.options['deny-network']) await denyNetwork(parts, object, call);
  const full = fullOrUndefined(parts, object);
  await client.change(
    resource,
    name,
    (present) => {
      refuseOlderEpoch(present, subject, step.epoch);
      const kept = {
        [annotations.epoch]: String(step.epoch),
        [annotations.fullReplicas]: full === undefined || count >= full ? null : String(full),
        [annotations.fenced]: bar ? String(step.epoch) : null,
      };
      return { metadata: { annotations: kept }, ...(way === 'made' ? {} : { spec: { replicas: count } }) };
    },
    call,
  );
  if (!bar && count > 0 && context.options['deny-network']) await letNetwork(parts, call);
  if (bar || full === undefined || count < full) return;
  // What Git says and what is there are the same again, as far as Holdfast had made them differ.
  if (owner) await resumeSync(owner, change);
}

function fullOrUndefined(parts: WorkloadParts, object: KubeObject): number | undefined {
  const recorded = Number(object.metadata.annotations?.[annotations.fullReplicas]);
  if (Number.isSafeInteger(recorded) && recorded > 0) return recorded;
  return parts.context.options['full-replicas'] ?? (countsOf(object).wanted || undefined);
}

/** A rollout that has failed is not waited for until the time is over. */
function judgedByRollout(parts: WorkloadParts, verb: Verb): Verb {
  return {
    inspect: async (want, context) => {
      const seen = await verb.inspect(want, context);
      if (seen.state !== 'pending') return seen;
      const judged = judgeRollout(parts.kind, await readWorkload(parts, context.signal));
      if (judged.state === 'failed')
        throw fail('SYSTEM_REFUSED', {
          message: `${parts.subject}: ${judged.why}; ${seen.why}`,
          hint: 'kubectl describe tells more of its pods.',
        });
      return seen;
    },
    apply: (want, context) => verb.apply(want, context),
  };
}

function untilNoPodIsLeft(parts: WorkloadParts, verb: Verb): Verb {
  return {
    inspect: async (want: JsonObject, context: StepContext): Promise<Inspection> => {
      const seen = await verb.inspect(want, context);
      if (seen.state !== 'done') return seen;
      const call = stepCall(parts, context.signal);
      const object = await readWorkload(parts, context.signal);
      const labels = formatSelector(object.spec?.selector);
      const left = labels === undefined ? [] : await readPods(parts.client, parts.namespace, labels, call);
      if (left.length === 0) return seen;
      const names = left.map((pod) => `${pod.metadata.name}${pod.metadata.deletionTimestamp ? ' (ending)' : ''}`);
      return { state: 'pending', why: `${left.length} pods are still there: ${names.slice(0, 5).join(', ')}` };
    },
    apply: (want, context) => verb.apply(want, context),
  };
}
