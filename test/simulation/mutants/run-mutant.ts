/** One process, one mutant: `run-mutant.ts NAME FIRST LAST` plays the seeds until one is noticed, and says in its last line what noticed it. */

import { switchOn } from './mutant.ts';
import { mutants } from './mutants.ts';

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

const [name = '', first = '1', last = '2000'] = process.argv.slice(2);
const mutant = mutants.find((one) => one.name === name);
if (!mutant) throw new Error(`there is no mutant called ${name}`);
switchOn(mutant);
const { runDisaster } = await import('../disaster.ts');

// A mistake may show as a failure that nobody waits for: that is for the invariants to say, not for this process to end by.
process.on('unhandledRejection', () => undefined);
let outcome: MutantOutcome | undefined;
const besides: string[] = [];
for (let seed = Number(first); seed <= Number(last) && !outcome; seed += 1) {
  const { violations } = await runDisaster(seed);
  const found = violations.find(({ invariant }) => mutant.caughtBy.includes(invariant));
  const seeds = seed - Number(first) + 1;
  if (found) outcome = { mutant: name, invariant: found.invariant, message: found.message, seed, seeds };
  else if (besides.length < 3) besides.push(...violations.map(({ invariant, message }) => `seed ${seed}: ${invariant}: ${message}`));
}
outcome ??= { mutant: name, seeds: Number(last) - Number(first) + 1 };
process.stdout.write(`${JSON.stringify({ ...outcome, besides })}\n`);
process.exit(0);
