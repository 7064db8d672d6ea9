/**
 * One process, one mutant: `run-mutant.ts MUTANT SEEDS...` (the mutant as JSON; a seed, or FIRST-LAST) plays the seeds in that order until one is noticed. Each seed that was played is a
 * line; the last line says what was noticed.
 */

import { type Mutant, switchOn } from './mutant.ts';

export interface MutantOutcome {
  readonly mutant: string;
  /** Which invariant noticed it; undefined when none did. */
  readonly invariant?: string;
  readonly message?: string;
  readonly seed?: number;
  /** How many were played. */
  readonly seeds: number;
  /** What else was violated on the way. */
  readonly besides?: readonly string[];
}

function* seedsOf(ranges: readonly string[]): Generator<number> {
  const played = new Set<number>();
  for (const range of ranges) {
    const [first = 0, last = first] = range.split('-').map(Number);
    for (let seed = first; seed <= last; seed += 1) {
      if (!played.has(seed)) yield seed;
      played.add(seed);
    }
  }
}

const [wanted = '', ...ranges] = process.argv.slice(2);
const mutant = JSON.parse(wanted) as Mutant;
const { name } = mutant;
switchOn(mutant);
const { runDisaster } = await import('../disaster.ts');

// A mistake may show as a failure that nobody waits for: that is for the invariants to say, not for this process to end by.
process.on('unhandledRejection', () => undefined);
Error.stackTraceLimit = 0;
let outcome: MutantOutcome | undefined;
let seeds = 0;
const besides: string[] = [];
for (const seed of seedsOf(ranges)) {
  const { violations } = await runDisaster(seed, mutant.regions ?? 2);
  const found = violations.find(({ invariant }) => mutant.caughtBy.includes(invariant));
  seeds += 1;
  process.stdout.write(`played ${seed}\n`);
  if (!found && besides.length < 3) besides.push(...violations.map(({ invariant, message }) => `seed ${seed}: ${invariant}: ${message}`));
  if (!found) continue;
  outcome = { mutant: name, invariant: found.invariant, message: found.message, seed, seeds };
  break;
}
outcome ??= { mutant: name, seeds };
process.stdout.write(`${JSON.stringify({ ...outcome, besides })}\n`);
process.exit(0);
