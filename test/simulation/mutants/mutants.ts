/** The mistakes that the simulator has to find. Each is one that somebody could make on a bad day; what guards against it twice is taken away in both places. */
import { decisionMutants } from './decision-mutants.ts';
import { fenceMutants } from './fence-mutants.ts';
import { fleetMutants } from './fleet-mutants.ts';
import { journalMutants } from './journal-mutants.ts';
import type { Mutant } from './mutant.ts';

export const mutants: readonly Mutant[] = [...fenceMutants, ...decisionMutants, ...journalMutants, ...fleetMutants];
