/** A mutant in a process of its own, which yields to everything else on the machine, and is ended when a disaster does not end. */
import { spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Mutant } from './mutant.ts';
import type { MutantOutcome } from './run-mutant.ts';

const politeness = 10;
/** A disaster takes a tenth of a second; one that comes to no rest takes a minute, and more on a busy machine. */
const longestDisasterMs = 600_000;

/** @param seeds each a seed, or FIRST-LAST */
export function play(mutant: Mutant, seeds: readonly string[]): Promise<MutantOutcome> {
  return new Promise((resolve, reject) => {
    const args = [join(import.meta.dirname, 'run-mutant.ts'), JSON.stringify(mutant), ...seeds];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    if (child.pid !== undefined) setPriority(child.pid, politeness);
    let played = 0;
    let outcome: MutantOutcome | undefined;
    let faults = '';
    let isSpinning = false;
    const timer = setTimeout(() => {
      isSpinning = true;
      child.kill('SIGKILL');
    }, longestDisasterMs);
    createInterface({ input: child.stdout }).on('line', (line) => {
      timer.refresh();
      if (line.startsWith('{')) outcome = JSON.parse(line) as MutantOutcome;
      else played += 1;
    });
    child.stderr.on('data', (text: Buffer) => {
      faults += String(text);
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      // One that spins for ever was not noticed by anybody.
      if (outcome) resolve(outcome);
      else if (isSpinning) resolve({ mutant: mutant.name, seeds: played, besides: [`the disaster after ${played} others does not end`] });
      else reject(new Error(`${mutant.name} could not be played: ${faults}`));
    });
  });
}
