/** Parts that several plans share: how data changes hands, how workloads and routes follow it, how a changed platform is verified. */
import type { JsonObject } from '../base/json.ts';
import type { Observation } from '../contracts/observation.ts';
import type { LastKnown } from '../contracts/verbs.ts';
import { type ComponentSpec, inDependencyOrder, type Spec } from '../spec/spec.ts';
import type { PlanBuilder } from './plan-builder.ts';
import type { Situation } from './situation.ts';

export interface Frame {
  readonly spec: Spec;
  readonly situation: Situation;
  readonly builder: PlanBuilder;
  readonly from: string;
  readonly to: string;
  readonly epoch: number;
}

export function componentsOf(frame: Frame, kind: ComponentSpec['kind'], region: string): readonly ComponentSpec[] {
  return inDependencyOrder(frame.spec).filter((component) => component.kind === kind && component.sites.has(region));
}

/** What the plan carries along of a site that may not be there to be asked any more. */
export function lastKnownOf(observation: Observation | undefined): LastKnown | undefined {
  if (!observation) return undefined;
  return {
    ...(observation.facts ?? {}),
    atMs: observation.atMs,
    synchronous: observation.replication?.synchronous === true,
    standbys: (observation.replication?.standbys ?? []).map((standby) => standby.member),
    ...(observation.position ? { position: { ...observation.position } } : {}),
  };
}

export function fenceWant(frame: Frame, component: string, clean: boolean): JsonObject {
  const lastKnown = lastKnownOf(frame.situation.lastUp(component, frame.from));
  return { survivors: [frame.to], clean, ...(lastKnown ? { lastKnown } : {}) };
}

/** Whether the right to acknowledge writes is held by lease: then a failover puts a bar before the lease, and its end counts as a proof of the fence. */
export function isGuarded(spec: Pick<Spec, 'state' | 'controllers'>): boolean {
  return spec.state !== undefined && spec.controllers.withoutState === 'fence';
}

/** Nothing stands before the region that serves from now on, or may again: what stood there belonged to an older change. */
export function takeBarAway(frame: Frame, region: string, after: readonly string[]): string | undefined {
  if (!isGuarded(frame.spec)) return undefined;
  return frame.builder.platform(
    'unbar-primary',
    { region, epoch: frame.epoch },
    { name: `unbar-primary ${region}`, after, why: `${region} may hold the right to serve again`, onFailure: 'continue' },
  );
}

/** Last step of each component so far, so that what needs it can wait for it. */
export type Ends = Map<string, string>;

/** The last steps of all that a component needs, near or far: what it needs directly may have no step of its own, or one that does not wait for the rest. */
export function endsOfNeeds(frame: Frame, component: ComponentSpec, ends: Ends): string[] {
  const found = new Set<string>();
  for (const need of component.needs) found.add(need);
  // Grows while it is walked: a set gives each name once.
  for (const name of found) for (const need of frame.spec.components.get(name)?.needs ?? []) found.add(need);
  return [...found].flatMap((name) => ends.get(name) ?? []);
}

/**
 * Workloads at the target are brought to full size at once, beside the promotions: starting processes takes time and harms nobody. They are waited for after what they need, until enough
 * are ready.
 * @param begin what the bringing up waits for; undefined: an earlier step of the plan has done it
 */
export function bringUpWorkloads(frame: Frame, ends: Ends, after: readonly string[], begin: readonly string[] | undefined): void {
  const { builder, situation, spec, to } = frame;
  for (const component of componentsOf(frame, 'workload', to)) {
    const needs = endsOfNeeds(frame, component, ends);
    let last: string | undefined;
    if (begin && situation.can(component.name, to, 'scale')) {
      last = builder.site(
        'scale',
        component.name,
        to,
        { size: 'full' },
        { after: begin, why: `${component.name} has to carry all traffic in ${to}` },
      );
    }
    if (situation.can(component.name, to, 'await-ready')) {
      last = builder.site(
        'await-ready',
        component.name,
        to,
        { size: 'full', share: spec.failover.readyShare },
        {
          after: [last, ...after, ...needs],
          why: `traffic may come once ${Math.round(spec.failover.readyShare * 100)} % of ${component.name} is ready`,
        },
      );
    }
    if (last) ends.set(component.name, last);
  }
}

/**
 * Routes lead clients to the target, each after everything that it needs works there; one that names no needs waits for all data and workloads, for clients must not come
 * before there is somebody to serve them. Returns the ids.
 */
export function moveRoutes(frame: Frame, ends: Ends, after: readonly string[]): string[] {
  const { builder, situation, from, to } = frame;
  const moved: string[] = [];
  const everything = [...after, ...ends.values()];
  for (const component of componentsOf(frame, 'route', to)) {
    if (!situation.can(component.name, to, 'route')) continue;
    const needs = endsOfNeeds(frame, component, ends);
    const id = builder.site(
      'route',
      component.name,
      to,
      { to },
      { after: needs.length > 0 ? needs : everything, why: `clients of ${component.name} are led from ${from} to ${to}` },
    );
    ends.set(component.name, id);
    moved.push(id);
  }
  return moved;
}

/** Smoke tests at the target, then the look at the whole. */
export function verifyTarget(frame: Frame, after: readonly string[]): string {
  const { builder, situation, spec, to } = frame;
  const checks = [...spec.components.values()]
    .filter((component) => component.sites.has(to) && situation.can(component.name, to, 'check'))
    .map((component) =>
      builder.site(
        'check',
        component.name,
        to,
        {},
        { after, why: `the smoke test of ${component.name} passes in ${to}`, onFailure: 'continue' },
      ),
    );
  return builder.platform(
    'verify',
    { region: to },
    {
      after: [...after, ...checks],
      why: 'every component is up in its new role and a canary goes through',
      onFailure: 'continue',
      timeoutMs: 60_000,
    },
  );
}
