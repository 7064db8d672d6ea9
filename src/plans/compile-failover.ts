/**
 * The unplanned change of the active region: the source may be dead, slow, or cut off and still taking writes. Pure.
 *
 * Invariant: a data store is promoted only after the fence of the same component at the source has given its proof, and after the epoch is ours.
 */
import { formatDuration } from '../base/durations.ts';
import { fail } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { ComponentSpec, Spec } from '../spec/spec.ts';
import { bringBack, isBroughtBack } from './bring-back.ts';
import {
  bringUpWorkloads,
  componentsOf,
  type Ends,
  endsOfNeeds,
  type Frame,
  fenceWant,
  isGuarded,
  moveRoutes,
  takeBarAway,
  verifyTarget,
} from './fragments.ts';
import type { Plan } from './plan.ts';
import { PlanBuilder } from './plan-builder.ts';
import type { Situation } from './situation.ts';

export interface FailoverRequest {
  readonly from: string;
  readonly to: string;
  /** True when the verdict started it: then it must still hold. By hand a person has decided. */
  readonly onVerdict: boolean;
  /** The most that may be lost: the spec's budget, or what was accepted by hand. */
  readonly budgetMs: number;
  /** How many people have to approve before anything is touched. */
  readonly approvals: number;
  readonly because: string;
}

function lossOf(situation: Situation, component: string, replication: string): string | undefined {
  const lossMs = situation.estimatedLossMs(component);
  if (lossMs === 0) return undefined;
  if (lossMs === undefined) return `an unproven amount of ${component} (${replication} replication, no canary seen on both sides)`;
  return `up to ${formatDuration(lossMs)} of ${component}`;
}

/** A lease is over by itself within its time to live; what is left is for the hands. */
const leaseFactor = 2;
const leastFenceMs = 30_000;

function unplannedFence(frame: Frame, component: string): JsonObject {
  return { ...fenceWant(frame, component, false), ...(isGuarded(frame.spec) ? { barred: frame.epoch } : {}) };
}

/** For each data store: fence the source, promote the target, count what survived. */
function takeOverData(frame: Frame, ends: Ends, epochSet: string): { losses: string[]; promoted: string[]; measured: string[] } {
  const { builder, spec, situation, from, to, epoch } = frame;
  const losses: string[] = [];
  const promoted: string[] = [];
  const measured: string[] = [];
  for (const component of componentsOf(frame, 'data', from))
    if (!component.sites.has(to)) losses.push(`all of ${component.name}, which has no site in ${to}`);
  const fence = (component: ComponentSpec): string | undefined =>
    component.sites.has(from)
      ? builder.site('fence', component.name, from, unplannedFence(frame, component.name), {
          after: [epochSet],
          why: `${component.name} in ${from} must never acknowledge a write again`,
          ...(isGuarded(spec) ? { timeoutMs: leaseFactor * spec.controllers.ttlMs + leastFenceMs } : {}),
        })
      : undefined;
  for (const component of componentsOf(frame, 'data', to)) {
    if (isBroughtBack(component)) continue;
    if (!situation.can(component.name, to, 'promote'))
      throw fail('PLAN_IMPOSSIBLE', {
        subject: `${component.name} in ${to}`,
        message: `${component.name} in ${to} can't be promoted by its driver`,
        hint: 'Give the component a driver that can, or take it out of the failover.',
      });
    const loss = lossOf(situation, component.name, component.replication);
    if (loss) losses.push(loss);
    const fenced = fence(component);
    const id = builder.site(
      'promote',
      component.name,
      to,
      { epoch, standbys: [], ...(fenced ? { fence: { $from: fenced, field: 'proof' } } : {}) },
      {
        after: [epochSet, fenced, ...endsOfNeeds(frame, component, ends)],
        why: `${component.name} in ${to} takes the writes`,
        mayLose: loss,
      },
    );
    ends.set(component.name, id);
    promoted.push(id);
    measured.push(
      builder.platform(
        'measure-loss',
        { component: component.name, region: to, from, ...(fenced ? { fencedAtMs: { $from: fenced, field: 'sinceMs' } } : {}) },
        {
          name: `measure-loss ${component.name}`,
          after: [id],
          why: 'the canaries that survived are counted before new ones are written',
          onFailure: 'continue',
          timeoutMs: 15_000,
        },
      ),
    );
  }
  const back = bringBack(frame, ends, epochSet, fence);
  return {
    losses: [...losses, ...back.losses],
    promoted: [...promoted, ...back.served],
    measured: [...measured, ...back.measured],
  };
}

export function compileFailover(spec: Spec, situation: Situation, request: FailoverRequest): Plan {
  const { from, to } = request;
  const epoch = situation.epoch + 1;
  const builder = new PlanBuilder(situation);
  const frame: Frame = { spec, situation, builder, from, to, epoch };
  const ends: Ends = new Map();
  const confirmed = request.onVerdict
    ? builder.platform('confirm-verdict', { region: from }, { why: `a majority says that ${from} is lost`, timeoutMs: 5_000 })
    : undefined;
  const checked = builder.platform(
    'check-target',
    { region: to, budgetMs: request.budgetMs },
    {
      // Both only look: neither has to wait for the other.
      after: [],
      why: `${to} can take over, and ${Number.isFinite(request.budgetMs) ? `no more than ${formatDuration(request.budgetMs)} may be lost` : 'any loss was accepted'}`,
      timeoutMs: 10_000,
    },
  );
  const approved =
    request.approvals > 0
      ? builder.platform(
          'approve',
          { count: request.approvals, reason: request.because },
          { after: [confirmed, checked], why: 'what may lose data needs people who say so', timeoutMs: 86_400_000 },
        )
      : undefined;
  const epochSet = builder.platform(
    'advance-epoch',
    // From then on the lease of the source can only end.
    { epoch, from, to, ...(isGuarded(spec) ? { bar: from } : {}) },
    {
      after: [confirmed, checked, approved],
      why: isGuarded(spec)
        ? `no older execution can go on from here; whoever holds the right to serve in ${from} gives it up, and nobody gets it anew`
        : 'no older execution can go on from here',
    },
  );

  const { losses, promoted, measured } = takeOverData(frame, ends, epochSet);
  const active = builder.platform(
    'set-active',
    { epoch, region: to },
    { after: [epochSet, ...promoted, ...measured], why: `${to} is the active region from now on` },
  );
  takeBarAway(frame, to, [active]);
  const dataReady = promoted.length > 0 ? promoted : [epochSet];
  bringUpWorkloads(frame, ends, dataReady, [epochSet]);
  const routed = moveRoutes(frame, ends, dataReady);
  for (const component of componentsOf(frame, 'workload', from)) {
    // One that is down serves nobody; re-protection brings it back at standby size.
    if (situation.can(component.name, from, 'fence') && situation.observation(component.name, from)?.health === 'up')
      builder.site(
        'fence',
        component.name,
        from,
        { survivors: [to], clean: false },
        {
          after: [active, ...routed],
          why: `${component.name} in ${from} must not serve old data should it come back`,
          onFailure: 'continue',
          timeoutMs: 10_000,
        },
      );
  }
  verifyTarget(frame, [active, ...ends.values()]);
  return builder.close({
    kind: 'failover',
    platform: spec.name,
    from,
    to,
    epoch,
    because: request.because,
    ...(losses.length > 0 ? { mayLose: losses.join('; ') } : {}),
  });
}
