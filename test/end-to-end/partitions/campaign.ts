/**
 * Many runs on one world. What is drawn (which scenario, when, for how long) comes from the seed and the number of the run, so a run can be had again by itself; what the machine does in
 * the meantime can't.
 *
 * The world is built once and used again, for building it takes longer than a run. After a run that did not come right it is built anew: the next one must not pay for it.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Chance } from '../../simulation/chance.ts';
import { computeMedian } from './judge.ts';
import { converge, type RunResult, runScenario } from './run-scenario.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { startWorld, type World, type WorldOptions } from './world.ts';

export interface CampaignOptions {
  readonly runs: number;
  readonly seed: number;
  /** The number of the first run. */
  readonly first?: number;
  /** Only these scenarios. */
  readonly only?: readonly string[];
  readonly world: WorldOptions;
  /** Where failed runs leave what was logged. */
  readonly logsDirectory: string;
  readonly onRun?: (run: number, result: RunResult) => void;
  readonly say?: (line: string) => void;
}

export interface CampaignReport {
  readonly runs: number;
  readonly splitBrain: number;
  readonly lostAcknowledged: number;
  readonly converged: number;
  readonly byScenario: Readonly<Record<string, { readonly outageMsMedian: number; readonly runs: number }>>;
}

export function chooseScenarios(options: Pick<CampaignOptions, 'only' | 'world'>): readonly Scenario[] {
  const kind = options.world.controllers ?? 'alone';
  return scenarios.filter((each) => each.controllers.includes(kind) && (options.only === undefined || options.only.includes(each.name)));
}

/** Each scenario comes once in each round, in an order of the round's own: so few runs already see them all. */
export function scenarioOfRun(list: readonly Scenario[], seed: number, run: number): Scenario {
  const round = Math.floor((run - 1) / list.length);
  const chance = new Chance(seed, `round ${round}`);
  const left = [...list];
  const order: Scenario[] = [];
  while (left.length > 0) order.push(...left.splice(chance.whole(0, left.length - 1), 1));
  return order[(run - 1) % list.length] as Scenario;
}

export const isWell = (result: RunResult): boolean =>
  result.converged && result.splitBrain.length === 0 && result.lost.length === 0 && result.broken.length === 0;

export class Campaign {
  readonly results: RunResult[] = [];
  readonly #options: CampaignOptions;
  #world: World | undefined;

  constructor(options: CampaignOptions) {
    this.#options = options;
  }

  async run(signal?: AbortSignal): Promise<CampaignReport> {
    const { runs, seed, first = 1 } = this.#options;
    const list = chooseScenarios(this.#options);
    if (list.length === 0) throw new Error(`there is no such scenario; there are: ${scenarios.map((each) => each.name).join(', ')}`);
    for (let run = first; run < first + runs; run += 1) {
      signal?.throwIfAborted();
      const scenario = scenarioOfRun(list, seed, run);
      const world = await this.#ensureWorld();
      const result = await runScenario(world, scenario, new Chance(seed, `run ${run}`));
      this.results.push(result);
      this.#options.onRun?.(run, result);
      if (!isWell(result)) await this.#keepLogs(run, result);
      if (!result.converged) await this.stop();
    }
    return summarize(this.results);
  }

  async #ensureWorld(): Promise<World> {
    if (this.#world) return this.#world;
    const world = await startWorld(this.#options.world);
    this.#world = world;
    const troubles = await converge(world);
    if (troubles.length > 0) throw new Error(`the world does not come up: ${troubles.join('; ')}; see ${this.#copyLogs('start')}`);
    return world;
  }

  async #keepLogs(run: number, result: RunResult): Promise<void> {
    const { seed, say, only, world } = this.#options;
    const into = this.#copyLogs(`seed-${seed}-run-${run}`);
    writeFileSync(join(into, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
    say?.(`  logs: ${into}`);
    say?.(
      `  again: npm run torture -- --seed ${seed} --first ${run} --runs 1 --controllers ${world.controllers ?? 'alone'}${only ? ` --only ${only.join(',')}` : ''}`,
    );
  }

  #copyLogs(name: string): string {
    const world = this.#world as World;
    const into = join(this.#options.logsDirectory, name);
    mkdirSync(into, { recursive: true });
    for (const [region, { running }] of world.controllers) cpSync(join(running.dir, 'output.log'), join(into, `controller-${region}.log`));
    for (const [region, database] of Object.entries(world.databases)) cpSync(database.logFile, join(into, `postgresql-${region}.log`));
    for (const [region, { running }] of Object.entries(world.etcd))
      cpSync(join(running.dir, 'output.log'), join(into, `etcd-${region}.log`));
    cpSync(join(world.directory, 'holdfast.yaml'), join(into, 'holdfast.yaml'));
    return into;
  }

  async stop(): Promise<void> {
    const world = this.#world;
    this.#world = undefined;
    await world?.stop();
  }
}

export function summarize(results: readonly RunResult[]): CampaignReport {
  const names = [...new Set(results.map((each) => each.scenario))].toSorted();
  const byScenario = names.map((name) => {
    const own = results.filter((each) => each.scenario === name);
    return [name, { outageMsMedian: Math.round(computeMedian(own.map((each) => each.outageMs))), runs: own.length }] as const;
  });
  return {
    runs: results.length,
    splitBrain: results.filter((each) => each.splitBrain.length > 0).length,
    lostAcknowledged: results.reduce((sum, each) => sum + each.lost.length, 0),
    converged: results.filter((each) => each.converged).length,
    byScenario: Object.fromEntries(byScenario),
  };
}
