/**
 * Real partitions: three network namespaces as regions, broken in every way there is, and judged by what a client in each region was told. `npm run torture` does the same as often as one
 * likes.
 *
 * No second try here: a safety rule that holds the second time only does not hold.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeSystem } from '../../systems/requirement.ts';
import { temporaryDirectory } from '../../systems/temporary-directory.ts';
import { until } from '../holdfast-program.ts';
import { Campaign, chooseScenarios, isWell, scenarioOfRun } from './campaign.ts';
import { steadyMs } from './checker.ts';
import { findMissing, findSplitBrain } from './judge.ts';
import { converge, findActive, type RunResult } from './run-scenario.ts';
import { scenarios } from './scenarios.ts';
import { startWorld, type World } from './world.ts';

const systems = ['namespaces', 'postgresql', 'sshd', 'etcd', 'faketime'] as const;
type Controllers = 'alone' | 'fleet';
const namesFor = (controllers: Controllers) => chooseScenarios({ world: { controllers } }).map((each) => each.name);

const seed = 20_261_121;
/** Thirty in all: each scenario once, and of those of three controllers eight a second time, with other draws. */
const runsOf: Readonly<Record<Controllers, number>> = { alone: 10, fleet: 20 };
/** Worlds side by side: they wait most of the time, and two processors are enough for as many. */
const parallelOf: Readonly<Record<Controllers, number>> = { alone: 3, fleet: 2 };
const campaignTimeoutMs = 600_000;

async function runCampaign(controllers: Controllers): Promise<readonly RunResult[]> {
  const logsDirectory = await temporaryDirectory('torture-logs');
  const world = { controllers, movableClocks: true } as const;
  const campaign = new Campaign({ runs: runsOf[controllers], seed, parallel: parallelOf[controllers], world, logsDirectory });
  try {
    await campaign.run();
    return campaign.results;
  } finally {
    await campaign.stop();
  }
}

/** How often the runs come to a scenario. */
function timesOf(controllers: Controllers, name: string): number {
  const list = chooseScenarios({ world: { controllers } });
  return Array.from({ length: runsOf[controllers] }, (_, index) => scenarioOfRun(list, seed, index + 1)).filter(
    (each) => each.name === name,
  ).length;
}

const told = ({ scenario, outageMs, failedOver, splitBrain, lost, broken }: RunResult) =>
  JSON.stringify({ scenario, outageMs, failedOver, splitBrain, lost, broken });

function expectWell(controllers: Controllers, name: string, results: readonly RunResult[]): void {
  const own = results.filter((each) => each.scenario === name);
  expect(own).toHaveLength(timesOf(controllers, name));
  expect(own.length).toBeGreaterThanOrEqual(1);
  expect(own.filter((each) => !isWell(each)).map(told)).toEqual([]);
  const { expects } = scenarios.find((each) => each.name === name) ?? {};
  if (expects !== 'either') expect(own.map((each) => each.failedOver)).toEqual(own.map(() => expects === 'failover'));
}

describeSystem(systems, 'one controller in the witness region', () => {
  let results: readonly RunResult[] = [];
  beforeAll(async () => {
    results = await runCampaign('alone');
  }, campaignTimeoutMs);

  it.for(namesFor('alone'))('[X-01] %s: no two sites acknowledge, nothing is lost, all comes right', { retry: 0 }, (name) =>
    expectWell('alone', name, results),
  );

  it('[S1-01] [S1-02] [S1-03] a lost region is replaced by the other, within 60 s and with nothing lost, and takes its part again', {
    retry: 0,
  }, () => {
    const failovers = results.filter((each) => each.failedOver);
    expect(failovers.length).toBeGreaterThanOrEqual(4);
    expect(failovers.filter((each) => each.outageMs >= 60_000 || each.lost.length > 0).map(told)).toEqual([]);
  });
});

describeSystem(systems, 'three controllers that share a state in etcd', () => {
  let results: readonly RunResult[] = [];
  beforeAll(async () => {
    results = await runCampaign('fleet');
  }, campaignTimeoutMs);

  it.for(namesFor('fleet'))('[X-01] %s: no two sites acknowledge, nothing is lost, all comes right', { retry: 0 }, (name) =>
    expectWell('fleet', name, results),
  );
});

describeSystem(systems, 'the judge itself', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(async () => {
    await world?.stop();
  });

  it('sees two sites that acknowledge, and what is lost by it: somebody empties synchronous_standby_names in the region that is cut off', async () => {
    expect(await converge(world, 30_000)).toEqual([]);
    expect(await findActive(world)).toBe('east');
    const cutAtMs = steadyMs();
    await world.network.cut([{ at: 'router', matches: ['ip saddr 10.91.1.0/24', 'ip daddr 10.91.1.0/24'] }]);
    await world.databases.east.query("ALTER SYSTEM SET synchronous_standby_names = ''");
    await world.databases.east.query('SELECT pg_reload_conf()');
    await until('both acknowledge', () => {
      const told = world.acknowledgedSince(cutAtMs);
      const west = told.find((each) => each.site === 'west');
      return (west && told.some((each) => each.site === 'east' && each.sentAtMs > west.atMs)) || undefined;
    });
    await delay(200);
    const told = world.acknowledgedSince(cutAtMs);
    expect(findSplitBrain(told).length).toBeGreaterThan(0);
    const rows = await world.databases.west.query('SELECT number FROM orders', { database: 'orders' });
    expect(findMissing(told, new Set(rows.map((row) => Number(row.number)))).length).toBeGreaterThan(0);
  });
});
