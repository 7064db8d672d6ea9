/**
 * "Would we survive losing this region now?", for each region that carries something, from the newest observations. Pure.
 *
 * What was not measured is `unproven`, and unknown counts as not ready: a green answer needs evidence for everything it says.
 */
import { formatDuration } from '../base/durations.ts';
import type { Observation } from '../contracts/observation.ts';
import type { ComponentSpec, Spec } from '../spec/spec.ts';
import type { AcknowledgedCanary } from './canary-writer.ts';
import { type SiteKey, siteKey } from './site-key.ts';
import { computeSiteState } from './verdict.ts';

export type Severity = 'problem' | 'warning';

export interface ReadinessFault {
  readonly severity: Severity;
  readonly component?: string;
  readonly region?: string;
  readonly message: string;
  readonly hint: string;
}

export interface StandbyCanary {
  readonly number: number;
  readonly atMs: number;
  /** When it was read. */
  readonly readAtMs: number;
}

export interface ReadinessInput {
  readonly spec: Spec;
  readonly activeRegion: string;
  readonly nowMs: number;
  readonly observations: ReadonlyMap<SiteKey, Observation>;
  /** The newest observation of each site that was `up`: what is known of a site that has gone. */
  readonly lastUp: ReadonlyMap<SiteKey, Observation>;
  /** Newest acknowledged canary per component. */
  readonly acknowledged: ReadonlyMap<string, AcknowledgedCanary>;
  /** Newest canary seen at each standby site. */
  readonly standbyCanaries: ReadonlyMap<SiteKey, StandbyCanary>;
  /** What the newest failover to a region took, from an execution or a drill; undefined: never done. */
  readonly provenRtoMs: ReadonlyMap<string, number>;
  /** To which instant components could be brought back from their backups; undefined: nobody asked. */
  readonly recoveryInstants?: ReadonlyMap<string, number>;
}

export interface RegionReadiness {
  /** The region whose loss is considered. */
  readonly losing: string;
  /** Where its work would go; undefined when it carries none. */
  readonly target?: string;
  readonly ready: boolean;
  /** What would be lost now, by canaries; undefined: unproven. 0 for synchronous replication that holds. */
  readonly rpoNowMs?: number;
  readonly rtoMs?: number;
  readonly faults: readonly ReadinessFault[];
}

/** The region that takes over: the first standby region of the spec that is not the one being lost. */
export function chooseTarget(spec: Spec, losing: string): string | undefined {
  for (const region of spec.regions.values()) if (region.role !== 'witness' && region.name !== losing) return region.name;
  return undefined;
}

/** How many canary periods a look at the standby's canary may be older than the newest row and still be compared with it. */
const staleLookPeriods = 3;

/**
 * Data that would be lost if the active site vanished now: 0 only where an acknowledged write is always on the target too; else the age of the newest canary there, and never less
 * than a canary's period.
 */
export function computeRpoNowMs(component: ComponentSpec, target: string, input: ReadinessInput): number | undefined {
  if (component.replication === 'none') {
    const instantMs = input.recoveryInstants?.get(component.name);
    return instantMs === undefined ? undefined : Math.max(0, input.nowMs - instantMs);
  }
  const active = input.lastUp.get(siteKey(component.name, input.activeRegion));
  const standby = input.observations.get(siteKey(component.name, target));
  const acknowledged = input.acknowledged.get(component.name);
  const there = input.standbyCanaries.get(siteKey(component.name, target));
  if (component.replication === 'synchronous' && active?.replication?.synchronous === true && standby?.health === 'up') {
    // Either a standby was seen in sync, or it has the newest row and nothing was acknowledged without it since.
    if (active.replication.standbys?.some((each) => each.inSync)) return 0;
    if (acknowledged && there && there.number >= acknowledged.number) return 0;
  }
  if (!acknowledged || !there) return undefined;
  // Even with the newest row there, what was acknowledged since is not known: a canary sees no finer than its period.
  if (there.number >= acknowledged.number) return component.canaryEveryMs;
  // A look from before a gap in watching says nothing of now; the next one follows within a period.
  if (acknowledged.acknowledgedAtMs - there.readAtMs > staleLookPeriods * component.canaryEveryMs) return undefined;
  // A row a period, whatever the clock on the wall does: set back meanwhile, it shows the rows closer together than they are.
  const missingRows = acknowledged.number - there.number;
  return Math.max(missingRows * component.canaryEveryMs, acknowledged.acknowledgedAtMs - there.atMs);
}

function dataFaults(component: ComponentSpec, target: string, input: ReadinessInput): ReadinessFault[] {
  const faults: ReadinessFault[] = [];
  const where = { component: component.name, region: target };
  const active = input.observations.get(siteKey(component.name, input.activeRegion));
  const standby = input.observations.get(siteKey(component.name, target));
  if (standby?.health === 'up' && standby.role === 'primary' && active?.role === 'primary') {
    faults.push({
      ...where,
      severity: 'problem',
      message: `${component.name} is a primary in both ${input.activeRegion} and ${target}`,
      hint: 'Find out which history is the right one, fence the other, then run holdfast reprotect.',
    });
  }
  const link = standby?.replication?.upstream?.link ?? 'unknown';
  if (standby?.health === 'up' && standby.role === 'standby' && link !== 'up') {
    faults.push({
      ...where,
      severity: 'problem',
      message:
        link === 'down'
          ? `${component.name} in ${target} does not receive from its primary (link down)`
          : `nothing came to ${component.name} in ${target} from its primary lately: whether it still receives is unproven`,
      hint:
        link === 'down'
          ? 'Look at the replication link; holdfast reprotect builds it anew.'
          : 'An idle primary looks the same as a dead link: run holdfast serve, whose canaries prove it, or look at the link.',
    });
  }
  if (active?.health === 'up' && component.replication === 'synchronous' && active.replication?.synchronous !== true) {
    faults.push({
      ...where,
      region: input.activeRegion,
      severity: 'problem',
      message: `${component.name} should be replicated synchronously and is not: acknowledged writes may be lost`,
      hint: 'Run holdfast reprotect, or look at why no standby is in sync.',
    });
  }
  const rpoNowMs = computeRpoNowMs(component, target, input);
  const rpoMs = component.rpoMs ?? input.spec.objectives.rpoMs;
  if (rpoNowMs === undefined)
    faults.push({
      ...where,
      severity: 'warning',
      message: `what would be lost of ${component.name} is unproven: no canary has been seen on both sides`,
      hint: 'Let holdfast serve run for a few seconds; check that the driver can write its canary.',
    });
  else if (rpoMs !== undefined && rpoNowMs > rpoMs)
    faults.push({
      ...where,
      severity: 'problem',
      message: `${component.name} would lose ${formatDuration(rpoNowMs)} now; the objective is ${formatDuration(rpoMs)}`,
      hint: 'Look at the replication lag.',
    });
  if (component.replication === 'asynchronous' && rpoMs === 0)
    faults.push({
      ...where,
      severity: 'problem',
      message: `${component.name} has an objective of no loss, and its replication is asynchronous: that can't be kept`,
      hint: 'Set replication: synchronous, or an honest rpo.',
    });
  return faults;
}

/** Of a component without a standby: what its backups would bring back. */
function recoveryFaults(component: ComponentSpec, target: string, input: ReadinessInput): ReadinessFault[] {
  const where = { component: component.name, region: target, severity: 'problem' as const };
  const rpoNowMs = computeRpoNowMs(component, target, input);
  const rpoMs = component.rpoMs ?? input.spec.objectives.rpoMs;
  if (rpoNowMs === undefined)
    return [
      {
        ...where,
        message: `${component.name} has no standby, and no backup of it is known: nothing would bring it back in ${target}`,
        hint: `Take one: holdfast backup ${component.name}`,
      },
    ];
  if (rpoMs === undefined || rpoNowMs <= rpoMs) return [];
  return [
    {
      ...where,
      message: `${component.name} would lose ${formatDuration(rpoNowMs)} now, the age of its newest recovery point; the objective is ${formatDuration(rpoMs)}`,
      hint: 'Back it up more often, archive its log, or give it a standby.',
    },
  ];
}

function siteFaults(component: ComponentSpec, region: string, input: ReadinessInput): ReadinessFault[] {
  const observation = input.observations.get(siteKey(component.name, region));
  const where = { component: component.name, region };
  if (!component.sites.has(region)) return [];
  if (!observation)
    return [
      {
        ...where,
        severity: 'problem',
        message: `${component.name} in ${region} has not been looked at yet`,
        hint: 'Wait for the first probe, or run holdfast check.',
      },
    ];
  const faults: ReadinessFault[] = (observation.faults ?? []).map((fault) => ({ ...where, ...fault }));
  // A standby workload that is scaled to nothing is down on purpose: whether it can be started shows in a drill only.
  const mayBeDown = component.kind === 'workload' && region !== input.activeRegion;
  const state = computeSiteState(observation, input.spec.watch.failures);
  if (state !== 'up') {
    faults.push({
      ...where,
      severity: mayBeDown ? 'warning' : 'problem',
      message: `${component.name} in ${region} is ${state}: ${observation.evidence.detail}`,
      hint: mayBeDown
        ? 'It would be started by a failover; nothing shows yet that it can be.'
        : 'Bring it back, or mend what keeps Holdfast from seeing it.',
    });
  }
  return faults;
}

/** What is wrong with the active site itself: a platform whose writes go nowhere is at risk, however good its standby is. */
function activeFaults(component: ComponentSpec, target: string, input: ReadinessInput): ReadinessFault[] {
  const { activeRegion } = input;
  const observation = input.observations.get(siteKey(component.name, activeRegion));
  if (!observation) return [];
  const where = { component: component.name, region: activeRegion, severity: 'problem' as const };
  const name = `${component.name} in ${activeRegion}, the active region,`;
  const state = computeSiteState(observation, input.spec.watch.failures);
  if (state !== 'up')
    return [
      {
        ...where,
        message: `${name} is ${state}: ${observation.evidence.detail}`,
        hint: 'Bring it back, or fail over; holdfast why says what an automatic failover waits for.',
      },
    ];
  if (observation.role === 'standby') {
    const elsewhere = input.observations.get(siteKey(component.name, target))?.role === 'primary' ? `; the primary is in ${target}` : '';
    return [
      {
        ...where,
        message: `${name} is a standby${elsewhere}`,
        hint: 'Somebody has changed the roles by hand. Change them back; or correct the roles in the spec and begin with a new state directory.',
      },
    ];
  }
  if (observation.role === 'primary' && observation.writable === false)
    return [
      {
        ...where,
        message: `${name} takes no writes now`,
        hint: 'It is frozen (see holdfast executions for a change that was ended before its end; holdfast switchover completes one), or no standby gives it its word.',
      },
    ];
  return [];
}

/**
 * Whether the target could take over at this moment, with the active region gone: a replication link that is down is then no fault. Returns what stands in the way.
 */
export function computeTargetFaults(target: string, input: ReadinessInput): readonly ReadinessFault[] {
  const faults: ReadinessFault[] = [];
  for (const component of input.spec.components.values()) {
    // What is brought back from a backup needs nothing that could be seen at the target now.
    if (component.kind !== 'data' || !component.sites.has(target) || component.replication === 'none') continue;
    const where = { component: component.name, region: target, severity: 'problem' as const };
    const observation = input.observations.get(siteKey(component.name, target));
    const before = input.lastUp.get(siteKey(component.name, input.activeRegion));
    if (observation?.health !== 'up') {
      faults.push({
        ...where,
        message: `${component.name} in ${target} is not up: ${observation?.evidence.detail ?? 'not looked at yet'}`,
        hint: 'Bring it up; nothing can take over without it.',
      });
      continue;
    }
    if (observation.role === 'primary') {
      faults.push({
        ...where,
        message: `${component.name} in ${target} is a primary itself, not a standby of ${input.activeRegion}`,
        hint: 'Find out what it has accepted and where its copy stopped; holdfast reprotect makes it a standby again.',
      });
    }
    if (observation.identity !== undefined && before?.identity !== undefined && observation.identity !== before.identity) {
      faults.push({
        ...where,
        message: `${component.name} in ${target} holds another history (${observation.identity}) than ${input.activeRegion} did (${before.identity})`,
        hint: 'It is not a copy of the active site: do not promote it.',
      });
    }
  }
  return faults;
}

export function computeReadiness(losing: string, input: ReadinessInput): RegionReadiness {
  const { spec, activeRegion } = input;
  if (losing !== activeRegion) {
    const faults = [...spec.components.values()]
      .filter((component) => component.kind !== 'workload' && component.replication !== 'none')
      .flatMap((component) => siteFaults(component, losing, input));
    return {
      losing,
      ready: true,
      faults: faults.filter((fault) => fault.severity === 'problem').map((fault) => ({ ...fault, severity: 'warning' })),
    };
  }
  const target = chooseTarget(spec, losing);
  if (!target)
    return {
      losing,
      ready: false,
      faults: [
        { severity: 'problem', message: `there is no region to take over from ${losing}`, hint: 'Add a standby region to the spec.' },
      ],
    };
  const faults: ReadinessFault[] = [];
  const losses: (number | undefined)[] = [];
  for (const component of spec.components.values()) {
    if (component.replication === 'none' && component.sites.has(target)) {
      faults.push(...activeFaults(component, target, input), ...recoveryFaults(component, target, input));
      losses.push(computeRpoNowMs(component, target, input));
      continue;
    }
    faults.push(...siteFaults(component, target, input));
    if (component.kind !== 'data') continue;
    faults.push(...activeFaults(component, target, input));
    faults.push(...dataFaults(component, target, input));
    losses.push(computeRpoNowMs(component, target, input));
  }
  const rtoMs = input.provenRtoMs.get(target);
  if (rtoMs === undefined)
    faults.push({
      region: target,
      severity: 'warning',
      message: `the recovery time to ${target} is unproven: no failover there has been measured`,
      hint: 'Rehearse it: holdfast switchover and back.',
    });
  else if (spec.objectives.rtoMs !== undefined && rtoMs > spec.objectives.rtoMs)
    faults.push({
      region: target,
      severity: 'problem',
      message: `the last failover to ${target} took ${formatDuration(rtoMs)}; the objective is ${formatDuration(spec.objectives.rtoMs)}`,
      hint: 'See holdfast executions for which step took long.',
    });
  const known = losses.every((loss) => loss !== undefined);
  return {
    losing,
    target,
    ready: !faults.some((fault) => fault.severity === 'problem'),
    ...(known ? { rpoNowMs: Math.max(0, ...(losses as number[])) } : {}),
    ...(rtoMs === undefined ? {} : { rtoMs }),
    faults,
  };
}
