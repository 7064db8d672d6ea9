/** What a change of the platform came to, without anything that differs from run to run by itself: compared between an undisturbed run and one whose controller was killed. Pure. */
import { type RegionName, regionNames } from '../../examples/demo/region.ts';
import type { Plan } from '../../src/plans/plan.ts';
import type { Execution } from '../../src/state/journal.ts';
import type { OutsideView } from './outside-view.ts';

export interface EndState {
  readonly outcome: string;
  /** Steps that did not end well, with how they ended. */
  readonly otherSteps: readonly string[];
  readonly active: RegionName;
  readonly epochGrowth: number;
  readonly database: Readonly<Record<RegionName, string>>;
  readonly systems: number;
  readonly standbys: readonly string[];
  /** Component, region and how far the epoch in the data is from the platform's. */
  readonly epochRows: readonly string[];
  readonly cache: Readonly<Record<RegionName, string>>;
  readonly answer: readonly string[];
  readonly services: Readonly<Record<RegionName, number>>;
  readonly ordersAccepted: boolean;
  readonly lostOrders: number;
}

/** How often each thing happened that the outside can see. */
export interface Effects {
  readonly databasePromotions: number;
  readonly cachePromotions: number;
  readonly zoneChanges: number;
  readonly serviceStarts: number;
  readonly keptAside: number;
  /** Events of a step after it was done: a step that was begun again although the journal knew its end. */
  readonly stepsBegunAgain: number;
}

export interface EndParts {
  readonly execution: Execution<Plan> | undefined;
  readonly view: OutsideView;
  readonly active: RegionName;
  readonly epochBefore: number;
  readonly epoch: number;
  readonly accepted: boolean;
  readonly lostOrders: number;
}

export function computeEndState({ execution, view, active, epochBefore, epoch, accepted, lostOrders }: EndParts): EndState {
  // Whether a workload of the lost region was seen dead before the plan was made is a matter of milliseconds; if not, the plan tries to stop it, in vain, and goes on.
  const inVain = new Set(
    execution?.header.plan.kind === 'failover'
      ? execution.header.plan.steps
          .filter((step) => step.onFailure === 'continue' && step.region === execution.header.plan.from)
          .map((step) => step.id)
      : [],
  );
  const steps = (execution?.state.steps ?? []).filter((step) => !inVain.has(step.id));
  return {
    outcome: execution?.state.outcome ?? execution?.state.status ?? 'none',
    otherSteps: steps.filter((step) => step.status !== 'done').map((step) => `${step.id} ${step.status}`),
    active,
    epochGrowth: epoch - epochBefore,
    database: view.database,
    systems: view.systemIdentifiers.length,
    standbys: view.standbys,
    epochRows: view.epochRows.map((row) => {
      const [component, region, rowEpoch] = row.split(' ');
      return `${component} ${region} ${Number(rowEpoch) - epoch}`;
    }),
    cache: view.cache,
    answer: view.answer,
    services: { [regionNames[0]]: view.services[regionNames[0]].length, [regionNames[1]]: view.services[regionNames[1]].length } as Record<
      RegionName,
      number
    >,
    ordersAccepted: accepted,
    lostOrders,
  };
}

export function computeEffects(before: OutsideView, after: OutsideView, execution: Execution<Plan> | undefined): Effects {
  const started = regionNames.flatMap((region) => after.services[region].filter((pid) => !before.services[region].includes(pid)));
  return {
    databasePromotions: after.timeline - before.timeline,
    cachePromotions: countCachePromotions(before, after),
    zoneChanges: after.serial - before.serial,
    serviceStarts: started.length,
    keptAside: after.keptAside.filter((name) => !before.keptAside.includes(name)).length,
    stepsBegunAgain: countBegunAgain(execution),
  };
}

/** A Redis that is promoted takes a new history and remembers the one before. */
function countCachePromotions(before: OutsideView, after: OutsideView): number {
  if (before.cacheHistory === after.cacheHistory) return 0;
  return after.cacheHistoryBefore === before.cacheHistory ? 1 : 2;
}

function countBegunAgain(execution: Execution<Plan> | undefined): number {
  const done = new Set<string>();
  let count = 0;
  for (const event of execution?.events ?? []) {
    if (!('stepId' in event) || event.stepId === undefined) continue;
    if (done.has(event.stepId) && event.type.startsWith('step-')) count += 1;
    if (event.type === 'step-done') done.add(event.stepId);
  }
  return count;
}

export function computeDuplicates(effects: Effects, undisturbed: Effects): string[] {
  return (Object.keys(effects) as (keyof Effects)[])
    .filter((name) => effects[name] > undisturbed[name])
    .map((name) => `${name}: ${effects[name]} instead of ${undisturbed[name]}`);
}

/** What differs, for people. */
export function describeDifferences(state: EndState, expected: EndState): string[] {
  return (Object.keys(expected) as (keyof EndState)[])
    .filter((name) => JSON.stringify(state[name]) !== JSON.stringify(expected[name]))
    .map((name) => `${name} is ${JSON.stringify(state[name])} instead of ${JSON.stringify(expected[name])}`);
}
