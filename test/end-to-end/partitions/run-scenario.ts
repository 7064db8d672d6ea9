/**
 * One run: all is well, a fault, time for what must come of it, healing, convergence, judgement.
 *
 * Whoever runs it sees every finding; a run never ends with an error for what the platform did, only for what the world itself could not do.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Chance } from '../../simulation/chance.ts';
import { type Acknowledgement, steadyMs } from './checker.ts';
import { computeOutageMs, findMissing, findSplitBrain } from './judge.ts';
import type { Scenario } from './scenarios.ts';
import { type DataRegion, dataRegions } from './spec-text.ts';
import type { World } from './world.ts';

export interface RunResult {
  readonly scenario: string;
  readonly outageMs: number;
  readonly acknowledged: number;
  readonly failedOver: boolean;
  readonly splitBrain: readonly string[];
  readonly lost: readonly number[];
  readonly converged: boolean;
  /** Why it did not converge, or what else was not as the scenario must end. */
  readonly broken: readonly string[];
  readonly tookMs: number;
}

const promotionTimeoutMs = 60_000;
const convergenceTimeoutMs = 90_000;
const pollMs = 50;

/** Which site takes writes, by its own word; undefined where it can't be asked. */
async function isPrimary(world: World, region: DataRegion): Promise<boolean | undefined> {
  try {
    const [row] = await world.databases[region].query('SELECT pg_is_in_recovery() AS standby', { timeoutMs: 2_000 });
    return row?.standby === false;
  } catch {
    return undefined;
  }
}

export async function findActive(world: World): Promise<DataRegion> {
  const primaries: DataRegion[] = [];
  for (const region of dataRegions) if ((await isPrimary(world, region)) === true) primaries.push(region);
  if (primaries.length !== 1) throw new Error(`one primary is needed to begin with, and there are ${primaries.length}`);
  return primaries[0] as DataRegion;
}

async function until(holds: () => Promise<boolean> | boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) return false;
    await delay(pollMs);
  }
  return true;
}

/** One primary that the other follows synchronously; what a person would look at before he asks Holdfast. */
async function storesAreWell(world: World): Promise<boolean> {
  const [east, west] = await Promise.all(dataRegions.map((region) => isPrimary(world, region)));
  if (east === undefined || west === undefined || east === west) return false;
  const primary = world.databases[east ? 'east' : 'west'];
  const rows = await primary
    .query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')", { timeoutMs: 2_000 })
    .catch(() => []);
  return rows.length === 1;
}

async function nobodyIsPrimary(world: World): Promise<boolean> {
  const answers = await Promise.all(dataRegions.map((region) => isPrimary(world, region)));
  return !answers.includes(true);
}

/** Healed, everything must come right: by itself, or where a region has been replaced by `reprotect`, which is a person's to ask for. */
export async function converge(world: World, timeoutMs = convergenceTimeoutMs): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  let last = 'nothing was seen';
  // What comes right by itself needs no person; a region that fenced itself is moved away from, and that takes a verdict first.
  let quietUntil = performance.now() + 1_500;
  const failoverUntil = performance.now() + 20_000;
  while (performance.now() < deadline) {
    if (await storesAreWell(world)) {
      const status = await world.holdfast(['status']).catch((error: Error) => ({ exitCode: -1, json: undefined, err: error.message }));
      if (status.exitCode === 0 && status.json.execution === undefined) return [];
      last = `status: exit ${status.exitCode}: ${JSON.stringify(status.json?.readiness ?? status.err).slice(0, 600)}`;
    } else if (performance.now() > ((await nobodyIsPrimary(world)) ? failoverUntil : quietUntil)) {
      const verb = (await nobodyIsPrimary(world)) ? 'failover' : 'reprotect';
      const answer = await world
        .holdfast([verb, '--yes', '--reason', 'the region is back'], 'middle', 60_000)
        .catch((error: Error) => ({ exitCode: -1, json: { error: error.message } }));
      if (answer.exitCode !== 0) last = `${verb}: exit ${answer.exitCode}: ${describeAnswer(answer.json)}`;
      if (answer.exitCode !== 0) await abortWhatStands(world, answer.json);
      quietUntil = performance.now() + 1_000;
    }
    await delay(100);
  }
  return [`it did not come right in ${timeoutMs / 1_000} s: ${last}`];
}

// biome-ignore lint/suspicious/noExplicitAny: the answer of a command, as it came.
function describeAnswer(json: any): string {
  const steps = (json?.steps ?? []).filter((step: { status: string }) => step.status === 'failed');
  return JSON.stringify(steps.length > 0 ? steps : json).slice(0, 800);
}

/** A re-protection that stands still would keep everything after it away; a person ends it and asks anew. */
// biome-ignore lint/suspicious/noExplicitAny: the answer of a command, as it came.
async function abortWhatStands(world: World, json: any): Promise<void> {
  const id = json?.execution;
  if (typeof id !== 'string' || json.status !== 'failed') return;
  await world.holdfast(['abort', id, '--reason', 'asked for again']).catch(() => undefined);
}

async function waitForWhatMustCome(
  world: World,
  scenario: Scenario,
  active: DataRegion,
  faultAtMs: number,
  chance: Chance,
): Promise<string[]> {
  if (scenario.expects === 'failover') {
    const promoted = await until(() => world.acknowledgedSince(faultAtMs).some((each) => each.site !== active), promotionTimeoutMs);
    if (!promoted) return [`nobody took over from ${active} in ${promotionTimeoutMs / 1_000} s`];
    // Long enough for a second site to speak up.
    await delay(chance.between(300, 800));
    return [];
  }
  const [least, most] = scenario.holdMs ?? [0, 0];
  await delay(chance.between(least, most));
  if (scenario.expects === 'either') return [];
  const told = world.acknowledgedSince(faultAtMs);
  const promoted = told.find((each) => each.site !== active);
  const silenceMs = computeOutageMs(told, faultAtMs, steadyMs());
  return [
    ...(promoted ? [`${promoted.site} was promoted, and nothing had happened to ${active}`] : []),
    ...(silenceMs > 1_500 ? [`${active} acknowledged nothing for ${Math.round(silenceMs)} ms`] : []),
  ];
}

async function healEverything(world: World, scenario: Scenario, active: DataRegion, chance: Chance): Promise<void> {
  await world.network.heal();
  await scenario.heal?.({ world, active, chance });
  await world.revive();
}

/** All numbers that a site holds of this run. */
async function readNumbers(world: World, region: DataRegion, told: readonly Acknowledgement[]): Promise<Set<number>> {
  const least = Math.min(...told.map((each) => each.number));
  const rows = await world.databases[region].query('SELECT number FROM orders WHERE number >= $1', {
    values: [least],
    database: 'orders',
    timeoutMs: 20_000,
  });
  return new Set(rows.map((row) => Number(row.number)));
}

export async function runScenario(world: World, scenario: Scenario, chance: Chance): Promise<RunResult> {
  const startedAtMs = steadyMs();
  const active = await findActive(world);
  if (!(await until(() => world.acknowledgedSince(startedAtMs).length >= 20, 20_000)))
    throw new Error('nothing is acknowledged before the fault');
  await delay(chance.between(0, 400));
  const faultAtMs = steadyMs();
  await scenario.fault({ world, active, chance });
  const broken = await waitForWhatMustCome(world, scenario, active, faultAtMs, chance);
  await healEverything(world, scenario, active, chance);
  const healedAtMs = steadyMs();
  const notConverged = await converge(world);
  // Everybody writes again, also to judge what a woken site says now.
  const writesAgain = await until(() => world.acknowledgedSince(healedAtMs).length > 20, 10_000);
  if (!writesAgain) notConverged.push('nothing is acknowledged after healing');
  const told = world.acknowledgedSince(startedAtMs);
  const lost = new Set<number>();
  for (const region of notConverged.length > 0 ? [] : dataRegions) {
    // The standby may be a moment behind.
    let missing: readonly number[] = [];
    await until(async () => {
      missing = findMissing(told, await readNumbers(world, region, told));
      return missing.length === 0;
    }, 3_000);
    for (const number of missing) lost.add(number);
  }
  return {
    scenario: scenario.name,
    // What a fault leads to may come after it has healed.
    outageMs: computeOutageMs(told, faultAtMs, steadyMs()),
    acknowledged: told.length,
    failedOver: told.some((each) => each.site !== active),
    splitBrain: findSplitBrain(told),
    lost: [...lost],
    converged: notConverged.length === 0,
    broken: [...broken, ...notConverged],
    tookMs: steadyMs() - startedAtMs,
  };
}
