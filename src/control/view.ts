/**
 * One look at the whole: spec, state and the newest observations, as the values that pure code decides from. A view is taken at an instant and does not change.
 */
import type { DriverCatalog, Site } from '../contracts/driver.ts';
import type { SiteVerb } from '../contracts/verbs.ts';
import type { Situation, VerbTiming } from '../plans/situation.ts';
import type { Spec } from '../spec/spec.ts';
import type { PlatformState } from '../state/platform-state.ts';
import { computeRpoNowMs, type ReadinessInput } from '../watch/readiness.ts';
import { type SiteKey, siteKey } from '../watch/site-key.ts';
import type { Watch } from '../watch/watch.ts';
import type { MeasuredRecovery, Timings } from './timings.ts';

export interface ViewParts {
  readonly spec: Spec;
  readonly catalog: DriverCatalog;
  readonly sites: ReadonlyMap<SiteKey, Site>;
  readonly withHandsElsewhere: ReadonlySet<SiteKey>;
  readonly watch: Watch;
  readonly platform: PlatformState;
  readonly timings: Timings;
  readonly recoveries: ReadonlyMap<string, MeasuredRecovery>;
  /** To which instant each component that is backed up could be brought back. */
  readonly recoveryInstants: ReadonlyMap<string, number>;
  canBringBack(component: string, region: string): boolean;
  readonly nowMs: number;
}

export function readinessInput(parts: ViewParts): ReadinessInput {
  const { spec, watch, platform, recoveries, nowMs } = parts;
  return {
    spec,
    activeRegion: platform.activeRegion,
    nowMs,
    observations: watch.observations,
    lastUp: watch.lastUp,
    acknowledged: watch.acknowledged,
    standbyCanaries: watch.standbyCanaries,
    provenRtoMs: new Map([...recoveries].map(([region, recovery]) => [region, recovery.outageMs])),
    recoveryInstants: parts.recoveryInstants,
  };
}

function timingOf(parts: ViewParts, component: string, verb: SiteVerb): VerbTiming {
  const driver = parts.catalog.get(parts.spec.components.get(component)?.driver ?? '');
  const measured = driver && parts.timings.get(`${driver.name}/${verb}`);
  if (measured !== undefined) return { ms: measured, from: 'measured' };
  return { ms: driver?.verbs.find((each) => each.verb === verb)?.typicalMs ?? 1_000, from: 'guess' };
}

/** What would be lost of each data store if the active region vanished now; undefined: unproven. */
export function estimateLosses(parts: ViewParts, target: string): ReadonlyMap<string, number | undefined> {
  const input = readinessInput(parts);
  const data = [...parts.spec.components.values()].filter(
    ({ kind, replication, sites }) => (kind === 'data' || replication === 'none') && sites.has(target),
  );
  return new Map(data.map((component) => [component.name, computeRpoNowMs(component, target, input)]));
}

/** A plan says what has to be done, whoever can do it: what needs hands that only another controller has is in it all the same. */
function can(parts: ViewParts, component: string, region: string, verb: SiteVerb): boolean {
  const key = siteKey(component, region);
  if (parts.sites.get(key)?.verbs[verb] !== undefined) return true;
  const driver = parts.catalog.get(parts.spec.components.get(component)?.driver ?? '');
  return parts.withHandsElsewhere.has(key) && driver?.verbs.some((each) => each.verb === verb && each.needsHands) === true;
}

export function situationOf(parts: ViewParts, target: string): Situation {
  const losses = estimateLosses(parts, target);
  return {
    nowMs: parts.nowMs,
    activeRegion: parts.platform.activeRegion,
    epoch: parts.platform.epoch,
    observation: (component, region) => parts.watch.observations.get(siteKey(component, region)),
    lastUp: (component, region) => parts.watch.lastUp.get(siteKey(component, region)),
    can: (component, region, verb) => can(parts, component, region, verb),
    canBringBack: (component, region) => parts.canBringBack(component, region),
    timing: (component, verb) => timingOf(parts, component, verb),
    estimatedLossMs: (component) => losses.get(component),
  };
}
