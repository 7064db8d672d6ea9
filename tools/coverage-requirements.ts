/**
 * `npm run coverage:requirements [-- --json]`: which of the requirements in docs/requirements.md the last whole test run has shown, on the real system or only on a
 * stand-in. It believes results only while nothing that was tested has changed since; without such results it says so and exits with 1.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Coverage, type CoverageStatus, computeCoverage, parseRequirements } from './requirement-coverage/compute-coverage.ts';
import { readTestResults, type TestResults } from './testing/test-results.ts';

const root = resolve(import.meta.dirname, '..');
const marks: Readonly<Record<CoverageStatus, string>> = { real: 'real', standIn: 'stand-in', none: '-' };

/** A file that is newer than the run; undefined when there is none. */
function findNewer(results: TestResults, folders: readonly string[]): string | undefined {
  for (const folder of folders) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      if (statSync(join(root, folder, name)).mtimeMs > results.startedAtMs) return join(folder, name);
    }
  }
  return undefined;
}

function print(coverage: Coverage): void {
  for (const [id, { status, promise, tests }] of Object.entries(coverage.ids)) {
    const failing = tests.some(({ state }) => state === 'failed') ? '  FAILING' : '';
    process.stdout.write(`${id.padEnd(6)} ${marks[status].padEnd(8)} ${String(tests.length).padStart(3)} tests  ${promise}${failing}\n`);
  }
  for (const id of coverage.unknown) process.stdout.write(`A test claims ${id}, which docs/requirements.md does not have.\n`);
  const { total, real, standIn, none } = coverage;
  process.stdout.write(`${total} requirements: ${real} shown, ${standIn} shown on a stand-in only, ${none} without a passing test\n`);
}

function main(): void {
  const requirements = parseRequirements(readFileSync(join(root, 'docs', 'requirements.md'), 'utf8'));
  const results = readTestResults();
  const newer = results && findNewer(results, ['src', 'test']);
  if (results === undefined || newer !== undefined) {
    const why = newer === undefined ? 'No whole test run has ended here yet.' : `${newer} has changed since the last whole test run.`;
    process.stderr.write(`${why} Run "npm test" first.\n`);
    process.exitCode = 1;
    return;
  }
  const coverage = computeCoverage(requirements, results.tests);
  print(coverage);
  if (process.argv.includes('--json')) {
    const { total, real, standIn, none, ids } = coverage;
    process.stdout.write(`${JSON.stringify({ total, real, standIn, none, ids })}\n`);
  }
}

main();
