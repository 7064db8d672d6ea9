/** Which seed noticed each mistake last, kept in a file beside this one, and the page that tells of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mutant } from './mutant.ts';
import type { MutantOutcome } from './run-mutant.ts';

export interface Catch {
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
}

/** By the name of the mutant. */
export type Catches = Readonly<Record<string, Catch>>;

export const catchesPath = join(import.meta.dirname, 'catches.json');
export const pagePath = join(import.meta.dirname, '../../../docs/mutants.md');

export function readCatches(): Catches {
  return JSON.parse(readFileSync(catchesPath, 'utf8')) as Catches;
}

/** What was known, with what was found now; of what was played and missed, nothing is known. */
export function writeCatches(mutants: readonly Mutant[], before: Catches, table: readonly MutantOutcome[]): Catches {
  const entries = mutants.flatMap(({ name }) => {
    const played = table.find(({ mutant }) => mutant === name);
    const { seed, invariant, message } = played ?? before[name] ?? {};
    return seed === undefined || invariant === undefined || message === undefined ? [] : [[name, { seed, invariant, message }] as const];
  });
  return Object.fromEntries(entries);
}

const cellOf = (text: string) => text.replaceAll('|', '\\|');

/** The page as it follows from what is known. */
export function pageOf(mutants: readonly Mutant[], catches: Catches): string {
  const rowOf = ({ name, breaks, regions = 2, caughtBy }: Mutant) => {
    const caught = catches[name];
    const found = caught ? `${caught.invariant} | ${caught.seed} | ${cellOf(caught.message)}` : `missed (${caughtBy.join(', ')}) | - | -`;
    return `| ${cellOf(name)} | ${cellOf(breaks)} | ${regions} | ${found} |`;
  };
  const caught = mutants.filter(({ name }) => catches[name]).length;
  return `# Mistakes put in on purpose

What a simulator has never found says little until it was seen to find something. So each mistake of a list (\`test/simulation/mutants\`) is put into the program, alone, and the
[simulated disasters](../CONTRIBUTING.md) are played until a checker notices. A mistake counts as caught when one of the checkers that are named for it notices it at one of the
seeds from 1 to 2,000, and the same seed is survived without the mistake.

**${caught} of ${mutants.length} are caught.**

\`npm run simulate:mutants -- --json\` plays each at the seed of this table first, and then from seed 1 on; \`--anew\` begins at seed 1 at once, and \`--record\` writes this page. A test plays
each at its seed.

| mistake | what it breaks | regions | caught by | seed | what the checker said |
| ------- | -------------- | ------- | --------- | ---- | --------------------- |
${mutants.map(rowOf).join('\n')}

The checkers: I1 to I8 are the rules of safety, watched from outside while a disaster goes on (\`test/simulation/invariants.ts\`); *liveness* is that everything comes to rest as it should
be once all is healed. Disasters with 2 regions have one controller outside of both; those with 3 have a controller in each, a witness among them.
`;
}

export function writePage(mutants: readonly Mutant[], catches: Catches): void {
  writeFileSync(pagePath, pageOf(mutants, catches));
}
