/**
 * The watchdog process: waits until the process that started it is gone, then kills and removes what that one left.
 *
 * Invariant: touches only what it was told of. When it dies itself, its parent refuses to start anything more.
 */
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type ProcessIdentity, processesOf, signalEach } from './process-tree.ts';

export type WatchdogMessage =
  | ({ readonly verb: 'watch-process' | 'forget-process' } & ProcessIdentity)
  | { readonly verb: 'watch-directory' | 'forget-directory'; readonly directory: string };

const roundsMax = 50;
const leaders = new Map<number, ProcessIdentity>();
const directories = new Set<string>();

function hear(message: WatchdogMessage): void {
  switch (message.verb) {
    case 'watch-process':
      leaders.set(message.pid, { pid: message.pid, startTicks: message.startTicks });
      return;
    case 'forget-process':
      leaders.delete(message.pid);
      return;
    case 'watch-directory':
      directories.add(message.directory);
      return;
    case 'forget-directory':
      directories.delete(message.directory);
  }
}

function cleanUp(round: number): void {
  const left = processesOf([...leaders.values()], [...directories]);
  signalEach(left, 'SIGKILL');
  // Killing one process can leave another that was just being born: look again until nobody is there.
  if (left.length > 0 && round < roundsMax) {
    setTimeout(() => cleanUp(round + 1), 20);
    return;
  }
  for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Only the parent's end ends the watchdog.
  });
}
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => hear(JSON.parse(line) as WatchdogMessage));
lines.on('close', () => cleanUp(0));
