/** What is shown when somebody asks how things are: `status` (what is), `check` (would we survive), `why` (what was decided, and what not). */
import type { Observation } from '../contracts/observation.ts';
import { type ExecutionSummary, listExecutions } from '../state/journal.ts';
import { chooseTarget, computeReadiness, type RegionReadiness } from '../watch/readiness.ts';
import { siteKey } from '../watch/site-key.ts';
import { computeSiteState, type RegionVerdict, type SiteState } from '../watch/verdict.ts';
import { readPresences } from '../watch/watch-records.ts';
import { type BackupStatus, readBackupStatus } from './backups/backup-status.ts';
import type { Control } from './control.ts';
import type { Decision } from './decide.ts';
import { decideNow } from './decide-now.ts';
import { type DecisionRecord, readDecisions } from './decisions.ts';
import { executionUnderWay } from './executions.ts';
import { computeFleetStatus, type FleetStatus } from './fleet/fleet-status.ts';
import { estimateLosses, readinessInput } from './view.ts';

export interface SiteStatus {
  readonly component: string;
  readonly region: string;
  readonly state: SiteState;
  readonly observation?: Observation;
  /** How old the observation is. */
  readonly ageMs?: number;
  /** What is left of the data if the active site vanished now; only on standby sites of data stores. */
  readonly lossNowMs?: number;
}

export interface PlatformStatus {
  readonly platform: string;
  readonly activeRegion: string;
  readonly epoch: number;
  readonly changedAtMs?: number;
  readonly atMs: number;
  /** Processes that watch now; empty: nobody does, and this is a look taken by the command itself. */
  readonly controllers: readonly { readonly controller: string; readonly ageMs: number }[];
  readonly verdict: RegionVerdict;
  readonly readiness: RegionReadiness;
  readonly sites: readonly SiteStatus[];
  readonly execution?: string;
  readonly recent: readonly ExecutionSummary[];
  readonly backups: BackupStatus;
  /** Where several controllers share the state. */
  readonly fleet?: FleetStatus;
}

const presenceStaleMs = 5_000;

/** Undefined where there is one controller. */
export async function readFleetStatus(control: Control): Promise<FleetStatus | undefined> {
  const { fleet, parts } = control;
  if (!fleet) return undefined;
  const { controller, region, host, cutOff } = parts;
  const view = { by: controller, ...(region === undefined ? {} : { region }), atMs: host.clock.nowMs() };
  return computeFleetStatus({ fleet: await fleet.read(), cutOff, view });
}

export async function readStatus(control: Control): Promise<PlatformStatus> {
  const { spec, store, host } = control.parts;
  const [view, presences, underWay, recent, fleet] = await Promise.all([
    control.view(),
    readPresences(store),
    executionUnderWay(control),
    listExecutions(store, { limit: 5 }),
    readFleetStatus(control),
  ]);
  const nowMs = host.clock.nowMs();
  const target = chooseTarget(spec, view.platform.activeRegion);
  const losses = target ? estimateLosses(view, target) : new Map<string, number | undefined>();
  const sites: SiteStatus[] = [];
  for (const component of spec.components.values()) {
    for (const region of component.sites.keys()) {
      const observation = control.watch.observations.get(siteKey(component.name, region));
      const lossNowMs = region === target ? losses.get(component.name) : undefined;
      sites.push({
        component: component.name,
        region,
        state: computeSiteState(observation, spec.watch.failures),
        ...(observation ? { observation, ageMs: nowMs - observation.atMs } : {}),
        ...(lossNowMs === undefined ? {} : { lossNowMs }),
      });
    }
  }
  return {
    platform: spec.name,
    activeRegion: view.platform.activeRegion,
    epoch: view.platform.epoch,
    ...(view.platform.changedAtMs === undefined ? {} : { changedAtMs: view.platform.changedAtMs }),
    atMs: nowMs,
    controllers: fleet
      ? fleet.controllers.flatMap(({ present, controller }) => (present && controller !== undefined ? { controller, ageMs: 0 } : []))
      : [...presences.values()]
          .filter((presence) => nowMs - presence.atMs < presenceStaleMs)
          .map((presence) => ({ controller: presence.controller, ageMs: nowMs - presence.atMs })),
    verdict: await control.verdict(view.platform.activeRegion),
    readiness: computeReadiness(view.platform.activeRegion, readinessInput(view)),
    sites,
    ...(underWay ? { execution: underWay } : {}),
    recent,
    backups: await readBackupStatus(spec, store, nowMs),
    ...(fleet ? { fleet } : {}),
  };
}

/** Readiness for the loss of each region that carries components. */
export async function readReadiness(control: Control): Promise<readonly RegionReadiness[]> {
  const input = readinessInput(await control.view());
  return [...control.parts.spec.regions.values()]
    .filter((region) => region.role !== 'witness')
    .map((region) => computeReadiness(region.name, input));
}

export interface Explanation {
  /** The decision as it would be taken at this moment. */
  readonly now: Decision;
  readonly verdict: RegionVerdict;
  readonly history: readonly DecisionRecord[];
  /** Where several controllers share the state. */
  readonly fleet?: FleetStatus;
}

export async function explain(control: Control, limit: number): Promise<Explanation> {
  const [{ decision, verdict }, fleet] = await Promise.all([decideNow(control, undefined), readFleetStatus(control)]);
  return { now: decision, verdict, history: await readDecisions(control.parts.store, limit), ...(fleet ? { fleet } : {}) };
}
