/**
 * `npm run simulate -- --seeds N [--first F] [--seed S] [--regions 2|3] [--processes P] [--json] [--story]`: N disasters, those from seed F on, or the one of seed S. Exit code 1 when an invariant was violated or a platform did not converge;
 * then it prints the seed, the commit and the command that plays it again.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type DisasterResult, runDisaster } from './disaster.ts';
import { keptSeeds } from './kept-seeds.ts';
import { type DisasterOutcome, playInProcesses } from './simulate-chunks.ts';

export interface SimulationSummary {
  readonly disasters: number;
  readonly violations: number;
  readonly converged: number;
  readonly failovers: number;
  readonly controllerDeaths: number;
  readonly virtualHours: number;
  /** In a minute of one core's time, whatever else the machine does. */
  readonly perMinute: number;
  /** Over the digests of all disasters, in the order of their seeds. */
  readonly digest: string;
}

export async function simulate(
  seeds: readonly number[],
  onResult: (result: DisasterResult) => void = () => {},
  regionCount: 2 | 3 = 2,
): Promise<SimulationSummary> {
  // Errors are part of every disaster, and nobody reads where they come from.
  const traceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const startedAt = process.cpuUsage();
  const sum = new Sum();
  for (const seed of seeds) {
    const result = await runDisaster(seed, regionCount);
    sum.add(result);
    onResult(result);
  }
  Error.stackTraceLimit = traceLimit;
  const spent = process.cpuUsage(startedAt);
  return sum.summary(spent.user + spent.system);
}

/** The same over several processes, with the same digest. */
export async function simulateInProcesses(
  seeds: readonly number[],
  processCount: number,
  onOutcome: (outcome: DisasterOutcome, soFar: number) => void = () => {},
  regionCount: 2 | 3 = 2,
): Promise<SimulationSummary> {
  const sum = new Sum();
  const spentMicros = await playInProcesses(seeds, regionCount, processCount, (outcome) => {
    sum.add(outcome);
    onOutcome(outcome, sum.disasters);
  });
  return sum.summary(spentMicros);
}

class Sum {
  disasters = 0;
  #violations = 0;
  #converged = 0;
  #failovers = 0;
  #controllerDeaths = 0;
  #virtualMs = 0;
  readonly #hash = createHash('sha256');

  /** In the order of the seeds: the digest is taken over it. */
  add({ violations, converged, failovers, crashes, virtualMs, digest }: DisasterOutcome): void {
    this.disasters += 1;
    this.#violations += violations.length;
    this.#converged += converged ? 1 : 0;
    this.#failovers += failovers;
    this.#controllerDeaths += crashes;
    this.#virtualMs += virtualMs;
    this.#hash.update(digest);
  }

  summary(spentMicros: number): SimulationSummary {
    return {
      disasters: this.disasters,
      violations: this.#violations,
      converged: this.#converged,
      failovers: this.#failovers,
      controllerDeaths: this.#controllerDeaths,
      virtualHours: Number((this.#virtualMs / 3_600_000).toFixed(2)),
      perMinute: Math.round((this.disasters * 60_000_000) / spentMicros),
      digest: this.#hash.digest('hex').slice(0, 16),
    };
  }
}

const progressEvery = 500;

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', cwd: import.meta.dirname }).trim();
  } catch {
    return 'unknown';
  }
}

/** What whoever wants to see it again needs. */
export function describeFailure(
  { seed, violations }: Pick<DisasterResult, 'seed' | 'violations'>,
  atCommit: string,
  regionCount: 2 | 3 = 2,
): string {
  const lines = violations.map(
    ({ invariant, atMs, message }) => `seed ${seed}, commit ${atCommit}: ${invariant} at ${atMs} ms: ${message}\n`,
  );
  return lines.length === 0 ? '' : `${lines.join('')}  npm run simulate -- --seed ${seed}${regionCount === 3 ? ' --regions 3' : ''}\n`;
}

function seedsOf(values: {
  readonly seeds?: string | undefined;
  readonly seed?: string | undefined;
  readonly first?: string | undefined;
  readonly regions: string;
}): readonly number[] {
  if (values.seed !== undefined) return [Number(values.seed)];
  const count = Number(values.seeds ?? 200);
  if (values.first !== undefined) return Array.from({ length: count }, (_, place) => Number(values.first) + place);
  const kept = keptSeeds.filter(({ regions = 2 }) => regions === Number(values.regions)).map(({ seed }) => seed);
  const others = Array.from({ length: count }, (_, place) => place + 1).filter((seed) => !kept.includes(seed));
  return [...kept, ...others].slice(0, count);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      first: { type: 'string' },
      processes: { type: 'string', default: '1' },
      regions: { type: 'string', default: '2' },
      json: { type: 'boolean' },
      story: { type: 'boolean' },
    },
  });
  const seeds = seedsOf(values);
  const regionCount = Number(values.regions);
  const processCount = Number(values.processes);
  const isCount = Number.isSafeInteger(processCount) && processCount >= 1 && processCount <= 64 && !(values.story && processCount > 1);
  if (!isCount || (regionCount !== 2 && regionCount !== 3) || seeds.length === 0 || seeds.some((seed) => !Number.isSafeInteger(seed))) {
    process.stderr.write('npm run simulate -- --seeds N [--first F] [--seed S] [--regions 2|3] [--processes P] [--json] [--story]\n');
    process.exitCode = 2;
    return;
  }
  let current: DisasterResult | undefined;
  process.on('unhandledRejection', (error) => {
    process.stderr.write(
      `nobody waited for a failure, after seed ${current?.seed ?? 'none'}: ${error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exitCode = 1;
  });
  const report = (result: DisasterOutcome) => {
    if (result.violations.length > 0) process.stderr.write(describeFailure(result, commit(), regionCount));
  };
  const summary =
    processCount > 1
      ? await simulateInProcesses(
          seeds,
          processCount,
          (outcome, soFar) => {
            report(outcome);
            if (soFar % progressEvery === 0) process.stderr.write(`${soFar} of ${seeds.length}\n`);
          },
          regionCount,
        )
      : await simulate(
          seeds,
          (result) => {
            current = result;
            report(result);
            if (values.story) process.stdout.write(`${result.story.join('\n')}\n`);
          },
          regionCount,
        );
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  else
    process.stdout.write(
      `${summary.disasters} disasters, ${summary.failovers} failovers, ${summary.controllerDeaths} deaths of the controller, ${summary.virtualHours} h of virtual time: ` +
        `${summary.violations} violations, ${summary.converged} converged; ${summary.perMinute} per minute; digest ${summary.digest}\n`,
    );
  if (summary.violations > 0 || summary.converged < summary.disasters) process.exitCode = 1;
}

if (import.meta.main) await main();
