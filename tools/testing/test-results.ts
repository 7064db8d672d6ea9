/**
 * What the last run of all tests gave, kept in `.cache/test-results.json`. Only a whole run writes it (no file named, no name pattern, no single project), so
 * whoever reads it never takes a part for the whole.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repositoryDirectory = fileURLToPath(new URL('../../', import.meta.url));
export const cacheDirectory = join(repositoryDirectory, '.cache');
export const testResultsFile = join(cacheDirectory, 'test-results.json');

export interface TestOutcome {
  /** Relative to the repository. */
  readonly file: string;
  /** Full name, suites included, joined by ` > `. */
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped';
}

export interface TestResults {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly tests: readonly TestOutcome[];
}

export function writeTestResults(results: TestResults, file = testResultsFile): void {
  mkdirSync(dirname(file), { recursive: true });
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, `${JSON.stringify(results, null, 1)}\n`);
  renameSync(unfinished, file);
}

/** Undefined when no whole run has ended here yet. */
export function readTestResults(file = testResultsFile): TestResults | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return JSON.parse(text) as TestResults;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** `12 passed, 0 failed`, with `, 3 skipped` only where something was. Scripts read this line: its form is fixed. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

export function parseClosingLine(line: string): Counts | undefined {
  const match = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(line);
  return match ? { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3] ?? 0) } : undefined;
}
