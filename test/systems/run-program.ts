/**
 * Runs a program to its end, with a time limit, and returns what it printed. For the tools that come with the servers
 * (initdb, pg_basebackup, dig). A failure carries the program's own words. When this process dies, a program that works
 * inside a watched directory is killed with it.
 */
import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
  /** Resolve whatever the exit code. */
  readonly anyExit?: boolean;
}

export interface RunResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a server or tool gets to see of our environment: nothing that a test runner or PGHOST could slip in. */
export function plainEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...extra };
}

export function runProgram(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...args] = command;
  if (program === undefined) throw new Error('no program given');
  const timeoutMs = options.timeoutMs ?? 60_000;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? '/',
      env: plainEnvironment(options.env),
      stdio: 'pipe',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (exitCode, signal) => {
      if (exitCode === 0 || (options.anyExit === true && signal === null)) {
        resolve({ exitCode, stdout, stderr });
      } else {
        const how = signal === null ? `exit ${exitCode}` : `${signal}, time limit ${timeoutMs} ms`;
        reject(new Error(`${program} failed (${how}): ${stderr.trim() || stdout.trim()}`));
      }
    });
    child.stdin.on('error', () => {
      // A program that does not read its input closes it; its exit code says whether that mattered.
    });
    child.stdin.end(options.input ?? '');
  });
}
