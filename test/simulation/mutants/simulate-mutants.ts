/**
 * `npm run simulate:mutants -- [--seeds N] [--only NAME] [--quick] [--json]`: does the simulator find mistakes that are put in on purpose? Each one is switched on alone, in a process of its
 * own, and has to be noticed by an invariant that is named for it. `--quick` plays for each only a seed that is known to show it. Exit code 1 when one was missed.
 */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { faultOf, type Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';
import type { MutantOutcome } from './run-mutant.ts';

const longestMs = 900_000;

export interface MutantSummary {
  readonly mutants: number;
  readonly caught: number;
  readonly missed: readonly string[];
  readonly table: readonly MutantOutcome[];
}

function play(mutant: Mutant, first: number, last: number): Promise<MutantOutcome> {
  const args = [join(import.meta.dirname, 'run-mutant.ts'), JSON.stringify(mutant), String(first), String(last)];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { timeout: longestMs, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const line = stdout.trim().split('\n').at(-1);
      if (line?.startsWith('{')) return resolve(JSON.parse(line) as MutantOutcome);
      // One that spins for ever was not noticed by anybody either.
      if (error?.killed) return resolve({ mutant: mutant.name, seeds: last - first + 1 });
      reject(new Error(`${mutant.name} could not be played: ${error?.message}\n${stderr}`));
    });
  });
}

/** Throws when a text to be replaced is not there exactly once. */
export async function playMutants(
  wanted: readonly Mutant[],
  { seeds, quick, parallel, onOutcome }: { seeds: number; quick: boolean; parallel: number; onOutcome?: (outcome: MutantOutcome) => void },
): Promise<MutantSummary> {
  const faults = wanted.flatMap((mutant) => faultOf(mutant) ?? []);
  if (faults.length > 0) throw new Error(faults.join('\n'));
  const table: MutantOutcome[] = [];
  const waiting = [...wanted];
  const worker = async () => {
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const known = quick ? mutant.knownSeed : undefined;
      const outcome = await play(mutant, known ?? 1, known ?? seeds);
      table.push(outcome);
      onOutcome?.(outcome);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  table.sort((left, right) => wanted.findIndex(({ name }) => name === left.mutant) - wanted.findIndex(({ name }) => name === right.mutant));
  const missed = table.filter(({ invariant }) => invariant === undefined).map(({ mutant }) => mutant);
  return { mutants: wanted.length, caught: wanted.length - missed.length, missed, table };
}

function lineOf({ mutant, invariant, seeds, seed, message }: MutantOutcome): string {
  return invariant === undefined
    ? `${mutant.padEnd(58)} MISSED in ${seeds} seeds\n`
    : `${mutant.padEnd(58)} ${invariant.padEnd(9)} after ${String(seeds).padStart(4)} seeds (seed ${seed}): ${message}\n`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '2000' },
      only: { type: 'string', multiple: true },
      parallel: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const wanted = mutants.filter(({ name }) => values.only === undefined || values.only.some((part) => name.includes(part)));
  if (wanted.length === 0 || !(Number(values.seeds) >= 1)) {
    process.stderr.write('npm run simulate:mutants -- [--seeds N] [--only NAME] [--quick] [--json]\n');
    process.exitCode = 2;
    return;
  }
  const parallel = Math.max(1, Number(values.parallel ?? availableParallelism()));
  const summary = await playMutants(wanted, {
    seeds: Number(values.seeds),
    quick: values.quick,
    parallel,
    onOutcome: (outcome) => void process.stderr.write(lineOf(outcome)),
  });
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  else
    process.stdout.write(
      `${summary.caught} of ${summary.mutants} mutants caught${summary.missed.map((name) => `\n  missed: ${name}`).join('')}\n`,
    );
  if (summary.missed.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
