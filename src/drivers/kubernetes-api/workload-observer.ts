/**
 * One look at a workload: what is wanted and ready, in which zones, and what stands in the way of scaling it in a disaster. What changes seldom (zones of nodes, autoscalers, who keeps it) is read once a minute.
 *
 * With a health check over HTTP that decides about up and down; otherwise one ready pod does.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { HttpHealthProbe } from '../../contracts/workload/http-health.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { annotations, epochOf } from './annotations.ts';
import { findArgoOwner } from './argo-owner.ts';
import { type AutoscalerBounds, findAutoscaler } from './autoscaler.ts';
import type { CallOptions } from './client.ts';
import { conditionOf, formatSelector, type KubeObject } from './objects.ts';
import { computePlacement, type Placement, readPods, readZones } from './placement.ts';
import { evidenceOfRefusal } from './refusal.ts';
import { countsOf, judgeRollout } from './rollout.ts';
import type { WorkloadParts } from './workload-parts.ts';

type Fault = NonNullable<Reading['faults']>[number];

interface Surroundings {
  readonly readMs: number;
  readonly zones: ReadonlyMap<string, string> | undefined;
  readonly autoscaler: AutoscalerBounds | undefined;
  /** The Application that would undo a change. */
  readonly healedBy: string | undefined;
  /** Why that can't be told, though something keeps it. */
  readonly ownerUnknown: string | undefined;
  readonly clusterId: string | undefined;
}

const surroundingsFreshMs = 60_000;

/** The words of the refusal. A workload is as well as it is, whether or not we may read who keeps it. */
function unlessNotAllowed(error: unknown): string {
  if (error instanceof HoldfastError && error.code === 'SYSTEM_WRONG_CREDENTIALS') return error.message;
  throw error;
}

export class WorkloadObserver {
  readonly #parts: WorkloadParts;
  readonly #probe: HttpHealthProbe | undefined;
  #surroundings: Surroundings | undefined;

  constructor(parts: WorkloadParts, probe: HttpHealthProbe | undefined) {
    this.#parts = parts;
    this.#probe = probe;
  }

  async observe(signal: AbortSignal): Promise<Reading> {
    const [seen, answer] = await Promise.all([this.#look(signal), this.#probe?.read(signal)]);
    if (answer === undefined) return seen;
    // The service has the last word on whether it serves; the API on how much of it there is.
    return { ...seen, health: answer.health, evidence: answer.evidence };
  }

  async #look(signal: AbortSignal): Promise<Reading> {
    const { client, resource, name, namespace, context } = this.#parts;
    const call: CallOptions = { timeoutMs: context.probeTimeoutMs, signal };
    try {
      const object = await client.get(resource, name, call);
      const labels = formatSelector(object.spec?.selector);
      const [pods, surroundings] = await Promise.all([
        labels === undefined ? [] : readPods(client, namespace, labels, call),
        this.#readSurroundings(object, call),
      ]);
      return this.#reading(object, computePlacement(pods, surroundings.zones), surroundings);
    } catch (error) {
      if (error instanceof HoldfastError && (error.kind === 'bug' || error.code === 'USAGE')) throw error;
      return readingOf(evidenceOfRefusal(error, client.name, 'what runs in it'));
    }
  }

  async #readSurroundings(object: KubeObject, call: CallOptions): Promise<Surroundings> {
    const { client, context } = this.#parts;
    const nowMs = context.host.clock.monotonicMs();
    if (this.#surroundings !== undefined && nowMs - this.#surroundings.readMs < surroundingsFreshMs) return this.#surroundings;
    const [zones, autoscaler, owner, clusterId] = await Promise.all([
      readZones(client, call),
      findAutoscaler(this.#parts, call),
      findArgoOwner(client, object, context.options.argocd, call).catch(unlessNotAllowed),
      client.readClusterId(call),
    ]);
    this.#surroundings = {
      readMs: nowMs,
      zones,
      autoscaler,
      healedBy: typeof owner === 'object' && owner.heals ? owner.name : undefined,
      ownerUnknown: typeof owner === 'string' ? owner : undefined,
      clusterId,
    };
    return this.#surroundings;
  }

  #reading(object: KubeObject, placement: Placement, surroundings: Surroundings): Reading {
    const { subject, context, kind } = this.#parts;
    const { wanted, ready, updated } = countsOf(object);
    const rollout = judgeRollout(kind, object);
    const foreign = context.site['cluster-id'] !== undefined && surroundings.clusterId !== context.site['cluster-id'];
    const detail = `${subject}: ${ready} of ${wanted} ready`;
    const evidence = foreign
      ? ({ kind: 'error', detail: `${this.#parts.client.name} is another cluster than cluster-id says` } as const)
      : ({ kind: ready > 0 ? 'answered' : 'wrong-answer', detail } as const);
    const epoch = epochOf(object);
    const recorded = object.metadata.annotations?.[annotations.fullReplicas];
    return {
      ...readingOf(evidence),
      replicas: { wanted, ready },
      ...(surroundings.clusterId === undefined ? {} : { identity: surroundings.clusterId }),
      faults: this.#faults(object, placement, surroundings),
      facts: {
        rollout: rollout.state,
        updated,
        ...(placement.zones ? { zones: { ...placement.zones } } : {}),
        ...(placement.troubles.length > 0 ? { notReady: placement.troubles.slice(0, 10) } : {}),
        ...(placement.ending.length > 0 ? { ending: placement.ending.slice(0, 10) } : {}),
        ...(epoch === undefined ? {} : { epoch }),
        ...(recorded === undefined ? {} : { fullReplicas: Number(recorded) }),
        ...(surroundings.autoscaler ? { autoscaler: { ...surroundings.autoscaler } } : {}),
      },
    };
  }

  #faults(object: KubeObject, placement: Placement, { autoscaler, healedBy, ownerUnknown }: Surroundings): readonly Fault[] {
    const { subject, context, kind } = this.#parts;
    const { options } = context;
    const { wanted, ready } = countsOf(object);
    const problem = (message: string, hint: string): Fault => ({ severity: 'problem', message: `${subject}: ${message}`, hint });
    const faults: Fault[] = [];
    const refused = conditionOf(object, 'ReplicaFailure');
    if (refused?.status === 'True')
      faults.push(problem(`pods can not be made: ${refused.message}`, 'Raise the quota of the namespace, or what forbids them.'));
    const rollout = judgeRollout(kind, object);
    if (rollout.state === 'failed') faults.push(problem(rollout.why, 'kubectl describe tells more of its pods.'));
    else if (ready < wanted)
      faults.push(
        problem(
          `${ready} of ${wanted} ready${placement.troubles[0] ? `: ${placement.troubles[0]}` : ''}`,
          'Look at the pods that are not ready.',
        ),
      );
    const least = Math.min(options['standby-replicas'] ?? 1, options['full-replicas'] ?? Number.POSITIVE_INFINITY);
    if (wanted < least)
      faults.push(problem(`${wanted} replicas are set, and the spec wants at least ${least} here`, 'Scale it to its standby size.'));
    const zones = Object.keys(placement.zones ?? {}).filter((zone) => zone !== 'no zone');
    if (options.zones !== undefined && wanted > 0 && zones.length < options.zones)
      faults.push(
        placement.zones === undefined
          ? problem('nodes may not be read, so nobody knows the zones of its pods', 'Allow get and list of nodes.')
          : problem(
              `ready pods are in ${zones.length} of the ${options.zones} zones wanted (${zones.join(', ') || 'none'})`,
              'Add topologySpreadConstraints, or nodes in the other zones.',
            ),
      );
    for (const size of [options['standby-replicas'], options['full-replicas']])
      if (autoscaler && size !== undefined && size > 0 && (size < autoscaler.least || size > autoscaler.most))
        faults.push(
          problem(
            `the autoscaler ${autoscaler.name} holds it between ${autoscaler.least} and ${autoscaler.most}: ${size} would not last`,
            'Change the bounds of the autoscaler or the numbers in the spec.',
          ),
        );
    if (ownerUnknown !== undefined)
      faults.push(
        problem(
          `an Application keeps it, and scaling is refused as long as it may not be read: ${ownerUnknown}`,
          'Allow get and patch of applications.',
        ),
      );
    if (healedBy !== undefined && options.argocd.through === undefined)
      faults.push(
        problem(`the Application ${healedBy} heals itself: scaling would be undone`, 'Set argocd.through to suspend or kustomize.'),
      );
    return faults;
  }
}
