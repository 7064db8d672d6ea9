import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { nodeProcesses } from './processes.ts';

const processes = nodeProcesses();
const directory = mkdtempSync(join(tmpdir(), 'holdfast-processes-'));
afterAll(() => rmSync(directory, { recursive: true }));
const startedPids: number[] = [];
afterEach(() => {
  for (const pid of startedPids.splice(0)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // already gone, as it should be
    }
  }
});

const sh = (script: string, more: object = {}) => processes.run({ program: 'sh', args: ['-c', script], timeoutMs: 5_000, ...more });

function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(holds: () => boolean): Promise<void> {
  await expect.poll(holds, { timeout: 10_000, interval: 10 }).toBe(true);
}

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

test('gives exit code, both outputs, and passes input, arguments, directory and environment', async () => {
  const result = await processes.run({
    program: 'sh',
    args: ['-c', 'cat; echo "$1|$PWD|$X|$SECRET" >&2; exit 7', 'sh', `it's "$HOME"\n`],
    stdin: 'in',
    cwd: '/tmp',
    env: { X: 'x', SECRET: new Secret('s3', 'test') },
    timeoutMs: 5_000,
  });
  expect(result).toEqual({ exitCode: 7, stdout: 'in', stderr: `it's "$HOME"\n|/tmp|x|s3\n` });
});

test("hands on nothing of this process's environment", async () => {
  process.env.HOLDFAST_TEST_LEAK = 'leaked';
  try {
    const names = (await sh('env')).stdout.split('\n').map((line) => line.split('=')[0]);
    expect(names).toEqual(expect.arrayContaining(['PATH', 'HOME', 'LANG', 'TZ']));
    expect(names).not.toContain('HOLDFAST_TEST_LEAK');
  } finally {
    delete process.env.HOLDFAST_TEST_LEAK;
  }
});

test.runIf(existsSync('/bin/bash'))('a bash does not take itself for a remote login', async () => {
  const home = mkdtempSync(join(tmpdir(), 'hf-home-'));
  try {
    writeFileSync(join(home, '.bashrc'), 'echo from-bashrc');
    for (const stdin of [undefined, 'x']) {
      const more = stdin === undefined ? {} : { stdin };
      const { stdout } = await processes.run({
        program: 'bash',
        args: ['-c', 'echo only this'],
        env: { HOME: home },
        timeoutMs: 5_000,
        ...more,
      });
      expect(stdout).toBe('only this\n');
    }
  } finally {
    rmSync(home, { recursive: true });
  }
});

test('a signal is 128 and its number, as in a shell', async () => {
  expect((await sh('kill -TERM $$')).exitCode).toBe(143);
});

test('a program that is not there, or not executable, is HANDS_NO_PROGRAM', async () => {
  expect((await failureOf(processes.run({ program: 'no-such-program-here', args: [], timeoutMs: 1_000 }))).code).toBe('HANDS_NO_PROGRAM');
  expect((await failureOf(processes.run({ program: '/etc/passwd', args: [], timeoutMs: 1_000 }))).code).toBe('HANDS_NO_PROGRAM');
});

test('output beyond the limit is cut and does not block the program', async () => {
  const result = await sh('head -c 3000000 /dev/zero | tr "\\0" x; echo done >&2', { maxOutputBytes: 1_000 });
  expect(result.stdout).toHaveLength(1_000);
  expect(result.stderr).toBe('done\n');
});

test('a program that does not read its input ends all the same', async () => {
  expect((await sh('exit 3', { stdin: 'x'.repeat(1_000_000) })).exitCode).toBe(3);
});

for (const [how, code] of [
  ['time-out', 'TIMED_OUT'],
  ['abort', 'INTERRUPTED'],
] as const) {
  test(`${how} kills the whole group, grandchildren too`, async () => {
    const abort = new AbortController();
    const file = join(directory, how);
    // Long enough for a shell to begin on a machine that is busy.
    const run = sh(`sleep 60 & echo $! > ${file}; wait`, how === 'abort' ? { signal: abort.signal } : { timeoutMs: 1_500 });
    const failure = failureOf(run);
    await until(() => existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'));
    const pid = Number(readFileSync(file, 'utf8'));
    startedPids.push(pid);
    if (how === 'abort') abort.abort();
    expect((await failure).code).toBe(code);
    await until(() => !isRunning(pid));
  });
}

test('an aborted signal starts nothing', async () => {
  expect((await failureOf(sh('touch /tmp/never', { signal: AbortSignal.abort() }))).code).toBe('INTERRUPTED');
});

test('with leaveChildren it resolves at the exit while a child holds the output, and the child lives on', async () => {
  const startedMs = performance.now();
  const { stdout, exitCode } = await sh('sleep 60 & echo $!; exit 4', { leaveChildren: true });
  const pid = Number(stdout);
  startedPids.push(pid);
  expect(exitCode).toBe(4);
  expect(performance.now() - startedMs).toBeLessThan(2_000);
  expect(isRunning(pid)).toBe(true);
});

test('without leaveChildren nothing of the group is left', async () => {
  const { stdout } = await sh('sleep 60 >/dev/null 2>&1 & echo $!');
  startedPids.push(Number(stdout));
  await until(() => !isRunning(Number(stdout)));
});
