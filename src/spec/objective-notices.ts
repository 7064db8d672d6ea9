/**
 * Objectives that contradict each other, or what the rest of the spec makes possible. Nothing of it is averaged or silently ranked: both lines are shown, and somebody decides. Pure.
 */
import { formatDuration } from '../base/durations.ts';
import { dayMs } from './bounded-duration.ts';
import { Contradictions } from './contradictions.ts';
import type { Fault, SpecPath } from './fault.ts';
import type { LocatedNode } from './located-node.ts';
import type { ComponentSpec, FailoverPolicy, FailureKind, Objectives, ScenarioObjective, WatchPolicy } from './spec.ts';

export interface ObjectiveParts {
  readonly objectives: Objectives;
  readonly components: ReadonlyMap<string, ComponentSpec>;
  readonly watch: WatchPolicy;
  readonly failover: FailoverPolicy;
}

/** By which an availability is counted: the month of which people speak has 30 days. */
const monthMs = 30 * dayMs;

const rtoPath: SpecPath = ['objectives', 'rto'];
const rpoPath: SpecPath = ['objectives', 'rpo'];

export function objectiveNotices(root: LocatedNode, parts: ObjectiveParts): readonly Fault[] {
  const notices = new Contradictions(root);
  for (const [kind, scenario] of parts.objectives.scenarios ?? []) checkScenario(kind, scenario, parts.objectives, notices);
  checkAvailability(parts.objectives, notices);
  checkDetection(parts, notices);
  checkReplication(parts, notices);
  checkLossBudget(parts, notices);
  return notices.found;
}

function checkScenario(kind: FailureKind, scenario: ScenarioObjective, { rtoMs, rpoMs }: Objectives, notices: Contradictions): void {
  const path = ['objectives', 'scenarios', kind];
  const longest = scenario.mostMs ?? scenario.rtoMs;
  if (rtoMs !== undefined && longest !== undefined && longest > rtoMs)
    notices.add(
      [...path, scenario.mostMs === undefined ? 'rto' : 'most'],
      `the platform may be gone for ${formatDuration(rtoMs)}, and for ${formatDuration(longest)} after ${described[kind]}`,
      rtoPath,
      "Either this failure has to be recovered from faster, or it is outside of what the platform's objective promises: say so to whoever relies on it.",
    );
  if (rpoMs !== undefined && scenario.rpoMs !== undefined && scenario.rpoMs > rpoMs)
    notices.add(
      [...path, 'rpo'],
      `no more than ${formatDuration(rpoMs)} of the newest data may be lost, and ${formatDuration(scenario.rpoMs)} by ${described[kind]}`,
      rpoPath,
      "Either this failure has to lose less, or it is outside of what the platform's objective promises.",
    );
}

const described: Readonly<Record<FailureKind, string>> = {
  process: 'the loss of a process',
  node: 'the loss of a machine',
  zone: 'the loss of a zone',
  region: 'the loss of a region',
  quorum: 'the loss of a quorum',
  corruption: 'a corruption',
  'total-loss': 'the loss of everything',
};

function checkAvailability({ rtoMs, availability }: Objectives, notices: Contradictions): void {
  if (rtoMs === undefined || availability === undefined) return;
  const allowedMs = (1 - availability) * monthMs;
  if (rtoMs <= allowedMs) return;
  notices.add(
    ['objectives', 'availability'],
    `this availability leaves ${formatDuration(allowedMs)} of a month, and one outage may last ${formatDuration(rtoMs)}`,
    rtoPath,
    'A single disaster that is recovered from in time breaks the availability of its month. Shorten the one, or lower the other.',
  );
}

/** What silence costs before anybody may act, next to what the whole recovery may take. */
function checkDetection({ objectives, watch, failover }: ObjectiveParts, notices: Contradictions): void {
  const scenario = objectives.scenarios?.get('region');
  const objectiveMs = scenario?.rtoMs ?? objectives.rtoMs;
  if (objectiveMs === undefined) return;
  const detectionMs = watch.failures * Math.max(watch.everyMs, watch.timeoutMs) + failover.graceMs;
  if (detectionMs < objectiveMs) return;
  notices.add(
    scenario?.rtoMs === undefined ? rtoPath : ['objectives', 'scenarios', 'region', 'rto'],
    `a silent region counts as lost after ${formatDuration(detectionMs)} (${watch.failures} probes, then the grace), and the recovery may take ${formatDuration(objectiveMs)} in all`,
    notices.has(['watch']) ? ['watch'] : ['failover'],
    'Probe more often, wait for fewer failures or a shorter grace; or allow a longer recovery.',
  );
}

function checkReplication({ objectives, components }: ObjectiveParts, notices: Contradictions): void {
  for (const component of components.values()) {
    const rpoMs = component.rpoMs ?? objectives.rpoMs;
    if (component.kind !== 'data' || component.sites.size < 2 || rpoMs !== 0 || component.replication === 'synchronous') continue;
    const own: SpecPath = ['components', component.name];
    const written = notices.has([...own, 'replication']) ? 'replication' : 'driver';
    notices.add(
      [...own, written],
      `nothing of ${component.name} may be lost, and its replication is asynchronous: what was acknowledged last is in one region only`,
      component.rpoMs === undefined ? rpoPath : [...own, 'rpo'],
      'Set replication: synchronous where the system can, or write an honest rpo.',
    );
  }
}

function checkLossBudget({ objectives, failover, components }: ObjectiveParts, notices: Contradictions): void {
  const own = [...components.values()].filter(({ kind }) => kind === 'data').map(({ rpoMs }) => rpoMs ?? objectives.rpoMs ?? 0);
  // One component that may lose as much is reason enough for a budget.
  if (objectives.rpoMs === undefined || failover.lossBudgetMs <= Math.max(objectives.rpoMs, ...own)) return;
  notices.add(
    ['failover', 'loss-budget'],
    `an automatic failover may lose ${formatDuration(failover.lossBudgetMs)}, and the objective is ${formatDuration(objectives.rpoMs)}`,
    rpoPath,
    'Lower the budget: what loses more is then asked of a person.',
  );
}
