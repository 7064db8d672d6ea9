/** One process, one mutant: `run-mutant.ts MUTANT FIRST LAST` (the mutant as JSON) plays the seeds until one is noticed, and says in its last line what noticed it. */

import { type Mutant, switchOn } from './mutant.ts';

export interface MutantOutcome {
  readonly mutant: string;
  /** Which invariant noticed it; undefined when none did. */
  readonly invariant?: string;
  readonly message?: string;
  readonly seed?: number;
  readonly seeds: number;
  /** What else was violated on the way. */
  readonly besides?: readonly string[];
}

const [wanted = '', first = '1', last = '2000'] = process.argv.slice(2);
const mutant = JSON.parse(wanted) as Mutant;
const { name } = mutant;
switchOn(mutant);
const { runDisaster } = await import('../disaster.ts');

// A mistake may show as a failure that nobody waits for: that is for the invariants to say, not for this process to end by.
process.on('unhandledRejection', () => undefined);
Error.stackTraceLimit = 0;
let outcome: MutantOutcome | undefined;
const besides: string[] = [];
for (let seed = Number(first); seed <= Number(last) && !outcome; seed += 1) {
  const { violations } = await runDisaster(seed, mutant.regions ?? 2);
  const found = violations.find(({ invariant }) => mutant.caughtBy.includes(invariant));
  const seeds = seed - Number(first) + 1;
  if (found) outcome = { mutant: name, invariant: found.invariant, message: found.message, seed, seeds };
  else if (besides.length < 3) besides.push(...violations.map(({ invariant, message }) => `seed ${seed}: ${invariant}: ${message}`));
}
outcome ??= { mutant: name, seeds: Number(last) - Number(first) + 1 };
process.stdout.write(`${JSON.stringify({ ...outcome, besides })}\n`);
process.exit(0);
