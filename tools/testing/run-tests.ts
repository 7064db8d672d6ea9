/**
 * Runs the tests with the arguments given (`npm test -- src/base -t name`) and prints the counts as the last line of all: after whatever vitest and dying
 * workers still have to say. A run that dies before it could count ends with a failure, never in silence.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closingLine, repositoryDirectory } from './test-results.ts';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-tests-'));
const closingFile = join(directory, 'closing-line');

function readClosingLine(): string | undefined {
  try {
    return readFileSync(closingFile, 'utf8').trim();
  } catch {
    return undefined; // vitest ended before it counted
  }
}

const child = spawn(
  process.execPath,
  [join(repositoryDirectory, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)],
  {
    cwd: repositoryDirectory,
    stdio: 'inherit',
    env: { ...process.env, HOLDFAST_CLOSING_FILE: closingFile, ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }) },
  },
);
// The terminal sends an interrupt to both; the child's end decides. A TERM comes to us alone.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('error', (error) => process.stderr.write(`vitest could not be started: ${error.message}\n`));
child.on('close', (code, signal) => {
  const line = readClosingLine();
  rmSync(directory, { recursive: true, force: true });
  if (line === undefined) process.stdout.write(`The test run ended before it could count (${signal ?? `exit code ${code}`}).\n`);
  process.stdout.write(`${line ?? closingLine({ passed: 0, failed: 1, skipped: 0 })}\n`);
  process.exitCode = line === undefined ? code || 1 : (code ?? 1);
});
