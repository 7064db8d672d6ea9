/**
 * Tests that need a real system: they run where it is installed, are skipped loudly on a user's machine where it is not,
 * and fail there when CI is set, because a gate that quietly tests nothing is worse than none (only what no package brings is skipped there too, as loudly). Where HOLDFAST_TESTS is `fakes`, whoever runs the tests asked
 * for those that need no system: then these are left out, and that is no skipping.
 *
 * Each skipped system leaves a file `.cache/skipped-systems/NAME` (the command that installs it, then one line for each
 * suite), from which a reporter can say at the end what was not tested. Whoever runs the tests empties the folder first.
 */
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { canBeHad, howToInstall, type SystemName, systemAvailable } from './available.ts';
import { repositoryDirectory } from './programs.ts';

export { type SystemName, systemAvailable, systemNames } from './available.ts';

export const skippedSystemsDirectory = join(repositoryDirectory, '.cache', 'skipped-systems');

type Body = () => void;

/** `describe` for tests that need one or several systems. The title defaults to the systems' names. */
export function describeSystem(systems: SystemName | readonly SystemName[], body: Body): void;
export function describeSystem(systems: SystemName | readonly SystemName[], title: string, body: Body): void;
export function describeSystem(systems: SystemName | readonly SystemName[], second: string | Body, third?: Body): void {
  const names: readonly SystemName[] = typeof systems === 'string' ? [systems] : systems;
  const title = typeof second === 'string' ? second : names.join(' + ');
  const body = typeof second === 'string' ? third : second;
  if (body === undefined) throw new Error(`describeSystem("${title}") needs a body`);
  const missing = names.filter((name) => !systemAvailable(name));
  if (process.env.HOLDFAST_TESTS === 'fakes') describe.skip(title, body);
  else if (missing.length === 0) describe(title, body);
  else if (runsInCi() && missing.some(canBeHad)) describeFailing(title, missing.filter(canBeHad));
  else describeSkipped(title, missing, body);
}

export function runsInCi(environment: NodeJS.ProcessEnv = process.env): boolean {
  const value = environment.CI ?? '';
  return value !== '' && value !== 'false' && value !== '0';
}

function describeFailing(title: string, missing: readonly SystemName[]): void {
  describe(title, () => {
    it.each([...missing])('needs %s, which is not installed', (name) => {
      throw new Error(`${name} is missing and CI is set, so nothing may be skipped. Install it: ${howToInstall(name)}`);
    });
  });
}

function describeSkipped(title: string, missing: readonly SystemName[], body: Body): void {
  for (const name of missing) {
    recordSkipped(name, title);
    process.stderr.write(`\n*** SKIPPED: "${title}" needs ${name}. To run it: ${howToInstall(name)}\n`);
  }
  describe.skip(title, body);
}

function recordSkipped(name: SystemName, title: string): void {
  mkdirSync(skippedSystemsDirectory, { recursive: true });
  const file = join(skippedSystemsDirectory, name);
  if (!existsSync(file)) writeFileSync(file, `${howToInstall(name)}\n`);
  appendFileSync(file, `${title}\n`);
}
