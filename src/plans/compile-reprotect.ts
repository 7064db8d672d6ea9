/**
 * Makes a former active region the standby of the one that is active now. Pure.
 *
 * Invariant: a former primary is made to follow only after what it alone has was kept aside.
 */
import { fail } from '../base/errors.ts';
import type { Spec } from '../spec/spec.ts';
import { isBroughtBack } from './bring-back.ts';
import { componentsOf, type Frame, takeBarAway } from './fragments.ts';
import type { Plan } from './plan.ts';
import { PlanBuilder } from './plan-builder.ts';
import type { Situation } from './situation.ts';

export interface ReprotectRequest {
  /** The region that is active. */
  readonly active: string;
  /** The region that comes back as a standby. */
  readonly returning: string;
  /** Salvaged writes are kept in `<prefix>-<component>`, a directory on the returning hosts. */
  readonly salvagePrefix: string;
  readonly because: string;
}

/**
 * A region that comes back may bring a primary back that knows of nothing: it is stopped and barred before its data is looked at. That no standby would give it a word any more is
 * no proof here: it would leave the primary running, and neither salvage nor follow may touch a primary that runs.
 */
function fenceReturning(frame: Frame, component: string, active: string, returning: string, after: readonly string[]): string | undefined {
  const { builder, situation } = frame;
  const observation = situation.observation(component, returning);
  const follows = observation?.health === 'up' && observation.role === 'standby' && observation.replication?.upstream?.link === 'up';
  if (follows || !situation.can(component, returning, 'fence')) return undefined;
  return builder.site(
    'fence',
    component,
    returning,
    // Without what was last known of it, only what is done at the site itself can be a proof.
    { survivors: [active], clean: false },
    { after, why: `${component} in ${returning} may have come back as a primary that knows of nothing` },
  );
}

/** The steps that turn a region's sites into standbys of the active ones. Returns the ids that end it. */
export function rejoin(
  frame: Frame,
  parts: { active: string; returning: string; after: readonly string[]; salvagePrefix?: string },
): string[] {
  const { builder, situation } = frame;
  const { active, returning, after, salvagePrefix } = parts;
  const last: string[] = [];
  for (const component of componentsOf(frame, 'data', returning)) {
    const { name } = component;
    // Without a site in the active region there is nothing that it could follow.
    if (!component.sites.has(active)) continue;
    if (isBroughtBack(component)) {
      // It follows nobody; what must not be is that it goes on to serve clients of before.
      const barred = fenceReturning(frame, name, active, returning, after);
      if (barred !== undefined) last.push(barred);
      continue;
    }
    if (!situation.can(name, returning, 'follow')) {
      throw fail('PLAN_IMPOSSIBLE', {
        subject: `${name} in ${returning}`,
        message: `${name} in ${returning} can't be made a standby again`,
        hint: 'Give the site hands (local or ssh) in the spec: rewinding needs commands on its host.',
      });
    }
    const fenced = salvagePrefix === undefined ? undefined : fenceReturning(frame, name, active, returning, after);
    // What survived is what the new primary had when it was promoted: only a region that was lost can hold more.
    const salvaged =
      salvagePrefix !== undefined && situation.can(name, returning, 'salvage')
        ? builder.site(
            'salvage',
            name,
            returning,
            { survivor: active, into: `${salvagePrefix}-${name}` },
            {
              after: [...after, fenced],
              why: `what ${name} in ${returning} accepted and ${active} never got is kept aside`,
              timeoutMs: 600_000,
            },
          )
        : undefined;
    const follows = builder.site(
      'follow',
      name,
      returning,
      { upstream: active },
      { after: [...after, fenced, salvaged], why: `${name} in ${returning} becomes a standby of ${active}`, timeoutMs: 3_600_000 },
    );
    last.push(
      builder.site(
        'protect',
        name,
        active,
        { standbys: [returning], mode: component.replication },
        {
          after: [follows],
          why:
            component.replication === 'synchronous'
              ? `an acknowledged write of ${name} is in both regions again`
              : `${name} streams to ${returning}`,
          timeoutMs: 600_000,
        },
      ),
    );
  }
  for (const component of componentsOf(frame, 'workload', returning)) {
    if (situation.can(component.name, returning, 'scale'))
      last.push(
        builder.site(
          'scale',
          component.name,
          returning,
          { size: 'standby' },
          { after: [...after, ...last], why: `${component.name} in ${returning} waits at standby size`, onFailure: 'continue' },
        ),
      );
  }
  return last;
}

export function compileReprotect(spec: Spec, situation: Situation, request: ReprotectRequest): Plan {
  const builder = new PlanBuilder(situation);
  const frame: Frame = { spec, situation, builder, from: request.returning, to: request.active, epoch: situation.epoch };
  const last = rejoin(frame, {
    active: request.active,
    returning: request.returning,
    after: [],
    salvagePrefix: request.salvagePrefix,
  });
  takeBarAway(frame, request.returning, last);
  builder.platform(
    'verify',
    { region: request.active, standby: request.returning },
    {
      after: last,
      why: `${request.active} could be lost now and ${request.returning} would take over`,
      onFailure: 'continue',
      timeoutMs: 60_000,
    },
  );
  return builder.close({
    kind: 'reprotect',
    platform: spec.name,
    from: request.returning,
    to: request.active,
    epoch: situation.epoch,
    because: request.because,
  });
}
