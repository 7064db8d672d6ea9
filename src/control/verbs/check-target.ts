/**
 * check-target {region, budgetMs, planned?}: the target can take over now, and what would be lost is within the budget. For a planned change the target's link must be up too. Changes
 * nothing: it waits while a planned change can still become possible, and says no otherwise.
 */
import { formatDuration } from '../../base/durations.ts';
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, Verb } from '../../contracts/verbs.ts';
import { computeTargetFaults } from '../../watch/readiness.ts';
import { siteKey } from '../../watch/site-key.ts';
import { estimateLosses, readinessInput, type ViewParts } from '../view.ts';
import { lookAnew, readCanariesAnew } from './look-anew.ts';
import type { PlatformParts } from './platform-verb.ts';

function describeLoss(losses: ReadonlyMap<string, number | undefined>): Record<string, string> {
  return Object.fromEntries(
    [...losses].map(([component, lossMs]) => [component, lossMs === undefined ? 'unproven' : formatDuration(lossMs)]),
  );
}

function dataIn(view: ViewParts, region: string): string[] {
  const components = [...view.spec.components.values()];
  return components
    .filter(({ kind, replication, sites }) => kind === 'data' && replication !== 'none' && sites.has(region))
    .map((component) => component.name);
}

function linksDown(view: ViewParts, target: string): string[] {
  return dataIn(view, target).filter(
    (component) => view.watch.observations.get(siteKey(component, target))?.replication?.upstream?.link !== 'up',
  );
}

type Losses = ReadonlyMap<string, number | undefined>;

/** What is unproven is looked at once more before anything is refused for it. */
async function provenLosses(parts: PlatformParts, region: string, losses: Losses): Promise<Losses> {
  if (![...losses.values()].includes(undefined)) return losses;
  await readCanariesAnew(parts);
  return estimateLosses(await parts.view(), region);
}

async function inspectTarget(parts: PlatformParts, region: string, budgetMs: number, planned: boolean): Promise<Inspection> {
  await lookAnew(parts, region, (component) => component.kind === 'data');
  const view = await parts.view();
  const faults = computeTargetFaults(region, readinessInput(view));
  const unseen = dataIn(view, region).filter((component) => !view.watch.observations.has(siteKey(component, region)));
  if (unseen.length > 0) return { state: 'pending', why: `${unseen.join(', ')} in ${region} was not looked at yet` };
  // A planned change has time: one slow answer must not end it.
  if (faults.length > 0 && planned) return { state: 'pending', why: faults.map((fault) => fault.message).join('; ') };
  if (faults.length > 0) {
    throw fail('TARGET_NOT_READY', {
      subject: region,
      message: faults.map((fault) => fault.message).join('; '),
      hint: faults[0]?.hint ?? 'See holdfast check.',
    });
  }
  const losses = estimateLosses(view, region);
  if (planned) {
    const down = linksDown(view, region);
    if (down.length > 0) return { state: 'pending', why: `${down.join(', ')} in ${region} does not receive from its primary yet` };
    return { state: 'done', output: { estimatedLoss: describeLoss(losses) } };
  }
  return { state: 'done', output: { estimatedLoss: describeLoss(await requireWithinBudget(parts, region, budgetMs, losses)) } };
}

/** LOSS_OVER_BUDGET where more would be lost by now, or nobody knows how much. */
export async function requireWithinBudget(parts: PlatformParts, region: string, budgetMs: number, losses: Losses): Promise<Losses> {
  // Any loss was accepted, an unproven one too.
  if (budgetMs === Number.POSITIVE_INFINITY) return losses;
  const proven = await provenLosses(parts, region, losses);
  for (const [component, lossMs] of proven) {
    if (lossMs === undefined || lossMs > budgetMs) {
      throw fail('LOSS_OVER_BUDGET', {
        subject: component,
        message: `${component} would lose ${lossMs === undefined ? 'an unproven amount' : formatDuration(lossMs)}; ${formatDuration(budgetMs)} may be lost`,
      });
    }
  }
  return proven;
}

/** A budget of null says that any loss was accepted. */
export function budgetOf(want: JsonObject): number {
  return want.budgetMs === null ? Number.POSITIVE_INFINITY : Number(want.budgetMs);
}

export function checkTarget(parts: PlatformParts): Verb {
  return {
    inspect: (want) => inspectTarget(parts, String(want.region), budgetOf(want), want.planned === true),
    apply: async () => {},
  };
}
