/**
 * `npm run simulate:mutants -- [--seeds N] [--only NAME] [--parallel N] [--known | --anew] [--record] [--json]`: does the simulator find mistakes that are put in on purpose? Each one is switched on
 * alone, in a process of its own, and has to be noticed by an invariant that is named for it, at a seed up to N (2,000) or at the one that is known; and the same seed has to be survived without it. The
 * seed that noticed it last is played first, then those from 1 on. Exit code 1 when one was missed.
 *
 * `--known` plays for each only the seed that noticed it last; `--anew` forgets those seeds, and looks for the first of each from 1 on. `--record` keeps the seeds that were found, and
 * writes docs/mutants.md.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Catches, catchesPath, readCatches, writeCatches, writePage } from './catches.ts';
import { faultOf, type Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';
import { play } from './play-mutant.ts';
import type { MutantOutcome } from './run-mutant.ts';

const mostSeeds = 2_000;

export interface MutantSummary {
  readonly mutants: number;
  readonly caught: number;
  readonly missed: readonly string[];
  /** Seeds at which an invariant is violated without any mistake: what they notice says nothing. */
  readonly unsound: readonly string[];
  readonly table: readonly MutantOutcome[];
}

export interface MutantOptions {
  /** The greatest seed, but for those that are known. */
  readonly seeds: number;
  readonly parallel: number;
  /** Seeds to begin with, by mutant. */
  readonly catches?: Catches;
  /** Nothing else is played where there is one. */
  readonly knownOnly?: boolean;
  readonly onOutcome?: (outcome: MutantOutcome) => void;
}

/** Throws when a text to be replaced is not there exactly once. */
export async function playMutants(
  wanted: readonly Mutant[],
  { seeds, parallel, catches = {}, knownOnly = false, onOutcome }: MutantOptions,
): Promise<MutantSummary> {
  const faults = wanted.flatMap((mutant) => faultOf(mutant) ?? []);
  if (faults.length > 0) throw new Error(faults.join('\n'));
  const table: MutantOutcome[] = [];
  const waiting = [...wanted];
  const worker = async () => {
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const known = catches[mutant.name]?.seed;
      const first = known !== undefined && known <= mostSeeds ? [String(known)] : [];
      const outcome = await play(mutant, knownOnly && first.length > 0 ? first : [...first, `1-${seeds}`]);
      table.push(outcome);
      onOutcome?.(outcome);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  table.sort((left, right) => wanted.findIndex(({ name }) => name === left.mutant) - wanted.findIndex(({ name }) => name === right.mutant));
  const missed = table.filter(({ invariant }) => invariant === undefined).map(({ mutant }) => mutant);
  const unsound = await findUnsound(wanted, table);
  return { mutants: wanted.length, caught: wanted.length - missed.length, missed, unsound, table };
}

/** Plays the seeds that noticed something without the mistakes. */
async function findUnsound(wanted: readonly Mutant[], table: readonly MutantOutcome[]): Promise<readonly string[]> {
  const unsound: string[] = [];
  for (const regions of [2, 3] as const) {
    const seeds = table
      .filter(({ mutant }) => (wanted.find(({ name }) => name === mutant)?.regions ?? 2) === regions)
      .flatMap(({ seed }) => (seed === undefined ? [] : [String(seed)]));
    if (seeds.length === 0) continue;
    const caughtBy = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'liveness'] as const;
    const { seed, message } = await play({ name: 'no mistake', breaks: 'nothing', edits: [], caughtBy, regions }, seeds);
    if (seed !== undefined) unsound.push(`seed ${seed} with ${regions} regions: ${message}`);
  }
  return unsound;
}

function lineOf({ mutant, invariant, seeds, seed, message }: MutantOutcome): string {
  return invariant === undefined
    ? `${mutant.padEnd(70)} MISSED in ${seeds} seeds\n`
    : `${mutant.padEnd(70)} ${invariant.padEnd(9)} seed ${String(seed).padStart(4)}, of ${seeds} played: ${message}\n`;
}

const usage = 'npm run simulate:mutants -- [--seeds N] [--only NAME] [--parallel N] [--known | --anew] [--record] [--json]\n';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: String(mostSeeds) },
      only: { type: 'string', multiple: true },
      parallel: { type: 'string', default: '1' },
      known: { type: 'boolean', default: false },
      anew: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const wanted = mutants.filter(({ name }) => values.only === undefined || values.only.some((part) => name.includes(part)));
  const seeds = Number(values.seeds);
  const parallel = Number(values.parallel);
  if (wanted.length === 0 || !Number.isSafeInteger(seeds) || seeds < 1 || !Number.isSafeInteger(parallel) || parallel < 1) {
    process.stderr.write(usage);
    process.exitCode = 2;
    return;
  }
  const summary = await playMutants(wanted, {
    seeds,
    parallel,
    ...(values.anew ? {} : { catches: readCatches() }),
    knownOnly: values.known,
    onOutcome: (outcome) => void process.stderr.write(lineOf(outcome)),
  });
  if (values.record) {
    const catches = writeCatches(mutants, readCatches(), summary.table);
    writeFileSync(catchesPath, `${JSON.stringify(catches, undefined, 2)}\n`);
    writePage(mutants, catches);
  }
  const faults = [...summary.missed.map((name) => `missed: ${name}`), ...summary.unsound.map((text) => `without a mistake: ${text}`)];
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  else process.stdout.write(`${summary.caught} of ${summary.mutants} mutants caught${faults.map((text) => `\n  ${text}`).join('')}\n`);
  if (faults.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
