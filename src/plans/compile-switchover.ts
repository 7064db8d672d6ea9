/**
 * The planned change of the active region: nothing is lost, or it does not happen. Pure.
 *
 * Invariant: no site is promoted before each one has applied everything that its fenced source ever acknowledged. Up to the first promotion each step can be undone; a failure
 * before it rolls back to where everything was. From the first promotion on nothing rolls back: undoing a fence beside a new primary would make two.
 */
import { fail } from '../base/errors.ts';
import type { ComponentSpec, Spec } from '../spec/spec.ts';
import { refuseWithoutStandby } from './bring-back.ts';
import { rejoin } from './compile-reprotect.ts';
import {
  bringUpWorkloads,
  componentsOf,
  type Ends,
  endsOfNeeds,
  type Frame,
  fenceWant,
  moveRoutes,
  takeBarAway,
  verifyTarget,
} from './fragments.ts';
import type { Plan } from './plan.ts';
import { PlanBuilder } from './plan-builder.ts';
import type { Situation } from './situation.ts';

export interface SwitchoverRequest {
  readonly from: string;
  readonly to: string;
  readonly because: string;
  /** Named failback when it brings the platform home. */
  readonly kind: 'switchover' | 'failback';
}

/** freeze, wait for the target, stop the source for good, wait for its very last position. Returns the id of the last step: from there on nothing is on the source alone. */
function handOver(frame: Frame, component: ComponentSpec, after: readonly string[]): string {
  const { builder, situation, from, to } = frame;
  const { name } = component;
  for (const [region, verb] of [
    [to, 'promote'],
    [to, 'await-position'],
    [from, 'fence'],
  ] as const) {
    if (!situation.can(name, region, verb))
      throw fail('PLAN_IMPOSSIBLE', {
        subject: `${name} in ${region}`,
        message: `${name} in ${region} has no "${verb}", so it can't change hands without loss`,
        hint: verb === 'fence' ? 'Give the site hands, so that it can be stopped and barred.' : 'The driver lacks it.',
      });
  }
  const thaw = situation.can(name, from, 'thaw') ? { verb: 'thaw' as const, want: {} } : undefined;
  let caughtUp: string | undefined;
  if (situation.can(name, from, 'freeze')) {
    const frozen = builder.site(
      'freeze',
      name,
      from,
      {},
      { after, why: `${name} in ${from} takes no new writes while it changes hands`, onFailure: 'roll-back', undo: thaw },
    );
    caughtUp = builder.site(
      'await-position',
      name,
      to,
      { position: { $from: frozen, field: 'position' } },
      { after: [frozen], why: `${to} has applied all of it`, onFailure: 'roll-back', timeoutMs: 60_000 },
    );
  }
  const fenced = builder.site('fence', name, from, fenceWant(frame, name, true), {
    after: [...after, caughtUp],
    why: `${name} in ${from} is stopped in an orderly way and stays so`,
    onFailure: 'roll-back',
    undo: thaw,
  });
  return builder.site(
    'await-position',
    name,
    to,
    { position: { $from: fenced, field: 'position' } },
    {
      after: [fenced],
      why: 'the last write that was acknowledged has arrived: nothing is lost',
      onFailure: 'roll-back',
      timeoutMs: 60_000,
    },
  );
}

/** Every data store changes hands; no target is promoted before all of them are complete. */
function takeOverData(frame: Frame, ends: Ends, epochSet: string): { promoted: string[]; measured: string[] } {
  const { builder, from, to, epoch } = frame;
  const moving = componentsOf(frame, 'data', to).filter((component) => component.sites.has(from));
  const complete = moving.map((component) => handOver(frame, component, [epochSet]));
  const promoted: string[] = [];
  const measured: string[] = [];
  for (const component of moving) {
    const id = builder.site(
      'promote',
      component.name,
      to,
      { epoch, standbys: [] },
      { after: [...complete, ...endsOfNeeds(frame, component, ends)], why: `${component.name} in ${to} takes the writes` },
    );
    ends.set(component.name, id);
    promoted.push(id);
    measured.push(
      builder.platform(
        'measure-loss',
        { component: component.name, region: to, from, nothingAlone: true },
        {
          name: `measure-loss ${component.name}`,
          after: [id],
          why: 'the canaries show that nothing was lost',
          onFailure: 'continue',
          timeoutMs: 15_000,
        },
      ),
    );
  }
  return { promoted, measured };
}

/** A planned change loses nothing: what the target can't hold would be lost to it. */
function refuseDataLeftBehind(frame: Frame): void {
  const { from, to } = frame;
  const stays = componentsOf(frame, 'data', from).find((component) => !component.sites.has(to));
  if (stays)
    throw fail('PLAN_IMPOSSIBLE', {
      subject: stays.name,
      message: `${stays.name} has no site in ${to}, so it would be left behind in ${from}`,
      hint: `Give ${stays.name} a site in ${to}.`,
    });
}

export function compileSwitchover(spec: Spec, situation: Situation, request: SwitchoverRequest): Plan {
  const { from, to } = request;
  const epoch = situation.epoch + 1;
  const builder = new PlanBuilder(situation);
  const frame: Frame = { spec, situation, builder, from, to, epoch };
  const ends: Ends = new Map();
  refuseDataLeftBehind(frame);
  refuseWithoutStandby(frame);
  const checked = builder.platform(
    'check-target',
    { region: to, budgetMs: 0, planned: true },
    { why: `${to} follows closely enough to take over without loss`, timeoutMs: 30_000 },
  );
  const prepared = componentsOf(frame, 'workload', to)
    .filter((component) => situation.can(component.name, to, 'scale'))
    .map((component) =>
      builder.site(
        'scale',
        component.name,
        to,
        { size: 'full' },
        {
          after: [checked],
          why: `${component.name} is brought up in ${to} before anything stops`,
          onFailure: 'roll-back',
          undo: { verb: 'scale', want: { size: 'standby' } },
        },
      ),
    );
  const epochSet = builder.platform(
    'advance-epoch',
    { epoch, from, to },
    { after: [checked, ...prepared], why: 'no older execution can go on from here', onFailure: 'roll-back' },
  );
  const { promoted, measured } = takeOverData(frame, ends, epochSet);
  const active = builder.platform(
    'set-active',
    { epoch, region: to },
    { after: [epochSet, ...promoted, ...measured], why: `${to} is the active region from now on` },
  );
  takeBarAway(frame, to, [active]);
  const dataReady = promoted.length > 0 ? promoted : [epochSet];
  bringUpWorkloads(frame, ends, dataReady, undefined);
  const routed = moveRoutes(frame, ends, dataReady);
  const rejoined = rejoin(frame, { active: to, returning: from, after: [active, ...routed] });
  verifyTarget(frame, [active, ...ends.values(), ...rejoined]);
  return builder.close({ kind: request.kind, platform: spec.name, from, to, epoch, because: request.because });
}
