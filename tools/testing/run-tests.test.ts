import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { readTestResults, repositoryDirectory } from './test-results.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface Run {
  readonly folder: string;
  readonly exitCode: number;
  readonly lines: readonly string[];
}

/** Runs the given test files by run-tests.ts with the project's own reporter, which keeps its files in the fixture's folder. */
function run(files: Readonly<Record<string, string>>, ...args: string[]): Promise<Run> {
  // Inside the repository, for the fixtures import vitest.
  mkdirSync(join(repositoryDirectory, '.cache'), { recursive: true });
  const folder = mkdtempSync(join(repositoryDirectory, '.cache', 'run-tests-'));
  folders.push(folder);
  const reporter = join(repositoryDirectory, 'tools', 'testing', 'closing-reporter.ts');
  const config = `import { ClosingReporter } from ${JSON.stringify(reporter)};
export default { test: { root: ${JSON.stringify(folder)}, reporters: [new ClosingReporter(${JSON.stringify(folder)})] } };\n`;
  writeFileSync(join(folder, 'vitest.config.ts'), config);
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(folder, name), `import { beforeAll, describe, expect, it } from 'vitest';\n${text}\n`);
  const program = join(repositoryDirectory, 'tools', 'testing', 'run-tests.ts');
  const { HOLDFAST_TESTS: _tests, HOLDFAST_CLOSING_FILE: _file, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, [program, '--root', folder, ...args], { env }, (error, stdout) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ folder, exitCode, lines: stdout.trimEnd().split('\n') });
    });
  });
}

const good = "it('adds', () => expect(1 + 1).toBe(2));";
const bad = "it('is wrong', () => expect(1).toBe(2));";

// Few runs, each of which shows several things: every one starts a test runner of its own.
describe('a run of tests', { timeout: 60_000 }, () => {
  it('ends with its counts, keeps the results of a whole run and lists the systems that were missing', async () => {
    const missing = `import { mkdirSync, writeFileSync } from 'node:fs';
const folder = new URL('./skipped-systems/', import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL('bind', folder), 'install bind\\nname servers\\nname servers\\n');`;
    const { folder, exitCode, lines } = await run({ 'a.test.ts': `${missing}\n${good} it.skip('later', () => {});` });
    expect(lines.at(-1)).toBe('1 passed, 0 failed, 1 skipped');
    expect(exitCode).toBe(0);
    expect(lines).toContain('***   bind: name servers');
    expect(lines).toContain('***     to run it: install bind');
    expect(readTestResults(join(folder, 'test-results.json'))?.tests.map(({ name, state }) => [name, state])).toEqual([
      ['adds', 'passed'],
      ['later', 'skipped'],
    ]);
  });

  it('keeps no results of a part', async () => {
    const { folder, lines } = await run({ 'a.test.ts': `${good} ${bad}`, 'b.test.ts': good }, 'a.test.ts', '-t', 'adds');
    expect(lines.at(-1)).toBe('1 passed, 0 failed');
    expect(readTestResults(join(folder, 'test-results.json'))).toBeUndefined();
  });

  it('counts a failing test, a file that can not be loaded, a hook that throws and a process that dies', async () => {
    const { exitCode, lines } = await run({
      'fails.test.ts': `${good} ${bad}`,
      'cannot-be-loaded.test.ts': "import './nowhere.ts';",
      'hook-throws.test.ts': `describe('x', () => { beforeAll(() => { throw new Error('no'); }); ${good} });`,
      'dies.test.ts': "it('dies', () => { process.kill(process.pid, 'SIGKILL'); });",
    });
    // The one that died fails twice: its test has no result, and its process ended outside every test.
    expect(lines.at(-1)).toBe('1 passed, 5 failed, 1 skipped');
    expect(exitCode).toBe(1);
  });

  it('fails where it can not even start', async () => {
    const { exitCode, lines } = await run({ 'a.test.ts': good }, '--no-such-option-at-all=1');
    expect(lines.at(-1)).toBe('0 passed, 1 failed');
    expect(exitCode).not.toBe(0);
  });
});
