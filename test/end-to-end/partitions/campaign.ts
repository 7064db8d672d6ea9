/**
 * Many runs on one world. What is drawn (which scenario, when, for how long) comes from the seed and the number of the run, so a run can be had again by itself; what the machine does in
 * the meantime can't.
 *
 * A world is built once and used again, for building it takes longer than a run. After a run that did not come right it is built anew: the next one must not pay for it. Most of a run is
 * waiting, so several worlds are broken side by side; they share nothing but the machine, for each has network namespaces of its own.
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
  /** How many worlds are broken at the same time; one, unless said. */
  readonly parallel?: number;
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

/** The regions that one lane breaks again and again. */
class Lane {
  readonly #options: CampaignOptions;
  /** Resolves when it is this lane's turn to build, with what ends the turn. */
  readonly #turn: () => Promise<() => void>;
  #world: World | undefined;

  constructor(options: CampaignOptions, turn: () => Promise<() => void>) {
    this.#options = options;
    this.#turn = turn;
  }

  async run(scenario: Scenario, run: number): Promise<RunResult> {
    const world = await this.#ensureWorld(run);
    const result = await runScenario(world, scenario, new Chance(this.#options.seed, `run ${run}`));
    if (!isWell(result)) this.#keepLogs(run, result);
    if (!result.converged) await this.stop();
    return result;
  }

  async #ensureWorld(run: number): Promise<World> {
    if (this.#world) return this.#world;
    const endTurn = await this.#turn();
    try {
      const world = await startWorld(this.#options.world);
      this.#world = world;
      const troubles = await converge(world);
      if (troubles.length > 0)
        throw new Error(`the world does not come up: ${troubles.join('; ')}; see ${this.#copyLogs(`start-before-run-${run}`)}`);
      return world;
    } finally {
      endTurn();
    }
  }

  #keepLogs(run: number, result: RunResult): void {
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

export class Campaign {
  /** In the order in which they ended. */
  readonly results: RunResult[] = [];
  readonly #options: CampaignOptions;
  readonly #lanes: readonly Lane[];
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: Math.min(options.parallel ?? 1, options.runs) }, () => new Lane(options, () => this.#nextTurn()));
  }

  /** Worlds are built one after the other: to start some thirty servers takes all of a small machine, and controllers that starve then fence themselves before anything was tried. */
  async #nextTurn(): Promise<() => void> {
    const before = this.#lastTurn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#lastTurn = promise;
    await before;
    return resolve;
  }

  async run(signal?: AbortSignal): Promise<CampaignReport> {
    const { runs, seed, first = 1 } = this.#options;
    const list = chooseScenarios(this.#options);
    if (list.length === 0) throw new Error(`there is no such scenario; there are: ${scenarios.map((each) => each.name).join(', ')}`);
    const failed = new AbortController();
    const ending = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
    let next = first;
    const work = async (lane: Lane): Promise<void> => {
      while (next < first + runs) {
        ending.throwIfAborted();
        const run = next;
        next += 1;
        const result = await lane.run(scenarioOfRun(list, seed, run), run);
        this.results.push(result);
        this.#options.onRun?.(run, result);
      }
    };
    // Where one lane can't go on, the others end their run and no more: nothing may still run once this is over.
    const ends = await Promise.allSettled(
      this.#lanes.map((lane) =>
        work(lane).catch((error: unknown) => {
          failed.abort(error);
          throw error;
        }),
      ),
    );
    if (ends.some((end) => end.status === 'rejected')) throw failed.signal.reason;
    return summarize(this.results);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.stop()));
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
