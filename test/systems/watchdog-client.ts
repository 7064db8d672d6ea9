/**
 * This process's watchdog: a second process that kills the servers and removes the directories of this one when it dies.
 *
 * Invariant: whatever is watched is told to the watchdog before it can do anything. The watchdog reads from a pipe that only
 * this process writes to, so any death, SIGKILL included, ends the pipe and sets it to work. The alternative, a signal at
 * the parent's death (`setpriv --pdeathsig`), was rejected: it reaches the direct child only, is tied to the thread that
 * started it, and removes no directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ProcessIdentity } from './process-tree.ts';
import type { WatchdogMessage } from './watchdog.ts';

let watchdog: ChildProcess | undefined;

export function watchProcess(identity: ProcessIdentity): void {
  tell({ verb: 'watch-process', ...identity });
}

export function forgetProcess(identity: ProcessIdentity): void {
  if (watchdog !== undefined) tell({ verb: 'forget-process', ...identity });
}

export function watchDirectory(directory: string): void {
  tell({ verb: 'watch-directory', directory });
}

export function forgetDirectory(directory: string): void {
  if (watchdog !== undefined) tell({ verb: 'forget-directory', directory });
}

function tell(message: WatchdogMessage): void {
  watchdog ??= startWatchdog();
  const { stdin, exitCode, signalCode } = watchdog;
  if (stdin === null || exitCode !== null || signalCode !== null) {
    throw new Error(`the watchdog of the test servers has ended (${signalCode ?? exitCode}): nothing may be started without it`);
  }
  // A short write to an empty pipe goes out before write() returns, so no death can fall between.
  stdin.write(`${JSON.stringify(message)}\n`);
}

function startWatchdog(): ChildProcess {
  const program = fileURLToPath(new URL('./watchdog.ts', import.meta.url));
  const child = spawn(process.execPath, [program], {
    // A group of its own: Ctrl-C in a terminal must not reach it, or nobody would be left to clean up.
    detached: true,
    cwd: '/',
    env: { PATH: process.env.PATH ?? '' },
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.unref();
  const { stdin } = child as { stdin: (NodeJS.WritableStream & { unref?: () => void }) | null };
  stdin?.unref?.();
  stdin?.on('error', () => {
    // The watchdog's end shows in its exit code, which the next message reports.
  });
  return child;
}
