/**
 * Reports a test run in plain lines: one per file while it runs, then each failure, the systems that were missing, and as the very last line the counts.
 *
 * Where `HOLDFAST_CLOSING_FILE` is set, the counts go there instead: whoever started the run prints them once nothing else can be printed any more.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Reporter, TestCase, TestModule, TestSpecification, Vitest } from 'vitest/node';
import { type Counts, cacheDirectory, closingLine, repositoryDirectory, type TestOutcome, writeTestResults } from './test-results.ts';

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** Tests that were not asked for, by their name or because they need a real system, were not skipped: they were not part of the run. */
function partOfRun(test: TestCase): boolean {
  if (process.env.HOLDFAST_TESTS === 'fakes' && test.result().state === 'skipped') return false;
  const pattern = test.project.config.testNamePattern;
  return pattern === undefined || pattern.test(test.fullName.replaceAll(' > ', ' ')) || pattern.test(test.fullName);
}

function outcomesOf(module: TestModule): TestOutcome[] {
  const file = relative(repositoryDirectory, module.moduleId);
  return [...module.children.allTests()].filter(partOfRun).map((test) => {
    const { state } = test.result();
    // A test without a result when the run is over never ran to its end (its process died): that is no success.
    return { file, name: test.fullName, state: state === 'pending' ? 'failed' : state };
  });
}

function count(outcomes: readonly TestOutcome[], state: TestOutcome['state']): number {
  return outcomes.filter((outcome) => outcome.state === state).length;
}

/** What keeps a file from being tested at all: an import that fails, a hook of the file that throws. */
function ownErrors(module: TestModule): readonly unknown[] {
  const errors: unknown[] = [...module.errors()];
  for (const suite of module.children.allSuites()) errors.push(...suite.errors());
  return errors;
}

export class ClosingReporter implements Reporter {
  /** One file per system that tests wanted and this machine does not have; written by test/systems/requirement.ts. */
  readonly #skippedSystems: string;
  readonly #resultsFile: string;
  #vitest: Vitest | undefined;
  #startedAtMs = 0;
  #files = 0;
  #filesDone = 0;
  #isWhole = false;

  constructor(cache = cacheDirectory) {
    this.#skippedSystems = join(cache, 'skipped-systems');
    this.#resultsFile = join(cache, 'test-results.json');
  }

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  async onTestRunStart(specifications: readonly TestSpecification[]): Promise<void> {
    this.#isWhole = await this.#asksForAll(specifications);
    rmSync(this.#skippedSystems, { recursive: true, force: true });
    this.#startedAtMs = Date.now();
    this.#files = specifications.length;
    this.#filesDone = 0;
    this.#say(`${this.#files} test files`);
  }

  onTestModuleEnd(module: TestModule): void {
    this.#filesDone += 1;
    const outcomes = outcomesOf(module);
    const failed = count(outcomes, 'failed');
    const skipped = count(outcomes, 'skipped');
    const parts = [`${count(outcomes, 'passed')} passed`];
    if (failed > 0) parts.push(`${failed} FAILED`);
    if (skipped > 0) parts.push(`${skipped} skipped`);
    const mark = module.ok() ? 'ok  ' : 'FAIL';
    const place = `[${this.#filesDone}/${this.#files}]`;
    this.#say(
      `${mark} ${place} ${relative(repositoryDirectory, module.moduleId)}: ${parts.join(', ')}, ${seconds(module.diagnostic().duration)}`,
    );
    for (const test of module.children.allTests('failed')) this.#say(`       failed: ${test.fullName}`);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const outcomes = modules.flatMap(outcomesOf);
    const faultyFiles = this.#printFailures(modules, unhandledErrors);
    const counts: Counts = {
      passed: count(outcomes, 'passed'),
      failed: count(outcomes, 'failed') + faultyFiles + unhandledErrors.length,
      skipped: count(outcomes, 'skipped'),
    };
    const endedAtMs = Date.now();
    if (this.#isWhole) writeTestResults({ startedAtMs: this.#startedAtMs, endedAtMs, tests: outcomes }, this.#resultsFile);
    this.#printSecondTries(modules);
    this.#printSkippedSystems();
    this.#say(`\n${modules.length} files in ${seconds(endedAtMs - this.#startedAtMs)}`);
    const file = process.env.HOLDFAST_CLOSING_FILE;
    if (file) writeFileSync(file, `${closingLine(counts)}\n`);
    else this.#say(closingLine(counts));
  }

  onUserConsoleLog(log: { content: string; type: 'stdout' | 'stderr' }): void {
    (log.type === 'stdout' ? process.stdout : process.stderr).write(log.content);
  }

  /** Prints every error. Returns how many things beside tests failed: files and their hooks. */
  #printFailures(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): number {
    let beside = 0;
    for (const module of modules) {
      const file = relative(repositoryDirectory, module.moduleId);
      for (const error of ownErrors(module)) {
        beside += 1;
        this.#printError(`${file} (outside its tests)`, error, module);
      }
      for (const test of module.children.allTests('failed')) {
        for (const error of test.result().errors ?? []) this.#printError(`${file} > ${test.fullName}`, error, module);
      }
    }
    for (const error of unhandledErrors) this.#printError('an error outside every test', error);
    return beside;
  }

  #printError(title: string, error: unknown, module?: TestModule): void {
    this.#say(`\n--- FAILED: ${title}`);
    this.#vitest?.logger.printError(error, module ? { project: module.project } : {});
  }

  /** A test that passed only when tried again has passed, and is worth a look: it must not go unsaid. */
  #printSecondTries(modules: readonly TestModule[]): void {
    const again = modules.flatMap((module) =>
      [...module.children.allTests('passed')].filter((test) => (test.diagnostic()?.retryCount ?? 0) > 0),
    );
    if (again.length === 0) return;
    this.#say('\n*** PASSED ONLY WHEN TRIED AGAIN:');
    for (const test of again) this.#say(`***   ${relative(repositoryDirectory, test.module.moduleId)}: ${test.fullName}`);
  }

  #printSkippedSystems(): void {
    let names: string[];
    try {
      names = readdirSync(this.#skippedSystems).sort();
    } catch {
      return; // no test has missed a system
    }
    this.#say('\n*** NOT TESTED: this machine lacks');
    for (const name of names) {
      const [howToInstall, ...suites] = readFileSync(join(this.#skippedSystems, name), 'utf8').trim().split('\n');
      this.#say(`***   ${name}: ${[...new Set(suites)].join('; ')}\n***     to run it: ${howToInstall}`);
    }
  }

  /** Whether every test there is was asked for. */
  async #asksForAll(specifications: readonly TestSpecification[]): Promise<boolean> {
    const vitest = this.#vitest;
    if (!vitest || process.env.HOLDFAST_TESTS) return false;
    const { project, testNamePattern } = vitest.config;
    if (project.length > 0 || testNamePattern !== undefined) return false;
    return (await vitest.globTestSpecifications()).length === specifications.length;
  }

  #say(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}
