/**
 * One server under our control: start, kill, start again, stop.
 *
 * Invariant: the server cannot run unwatched. It is spawned behind a gate (a shell that waits for one line and then becomes
 * the server), and the gate opens only after the watchdog knows the process; should we die before, the gate ends instead.
 * With `outliveParent` nobody watches, and the server stays when this process ends.
 *
 * Output goes to DIR/output.log, never to a pipe: a pipe would break, or block the server, when this process is gone.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { releasePort } from './ports.ts';
import { isAlive, type ProcessIdentity, processesOf, readProcess, signalEach } from './process-tree.ts';
import { plainEnvironment } from './run-program.ts';
import { removeDirectory } from './temporary-directory.ts';
import { forgetProcess, watchProcess } from './watchdog-client.ts';

export interface StopOptions {
  /** How long the server may take to end by itself before it is killed. */
  readonly graceMs?: number;
  /** Leave the directory (and the claim on the port), so that `start()` works again. */
  readonly keepDirectory?: boolean;
}

export interface Running {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** The server's own directory: everything it writes is in there, and `stop()` removes it. */
  readonly dir: string;
  /** The process started last. */
  readonly pid: number;
  /** Every process of this server that lives now, also one that somebody else started in its directory. */
  pids(): number[];
  /** Starts it again after `kill()` or `stop({ keepDirectory: true })`, and waits until it answers. */
  start(): Promise<void>;
  /** Ends it gracefully, kills what is left after the grace, removes the directory. Harmless when repeated. */
  stop(options?: StopOptions): Promise<void>;
  /** SIGKILL to all its processes, sent before this returns; resolves when none is left. The directory stays. */
  kill(): Promise<void>;
  /** Freezes all its processes: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  /** The end of what it has logged. */
  logs(): string;
}

export interface ServerDefinition {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Further ports that `stop()` gives back. */
  readonly morePorts?: readonly number[];
  readonly dir: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The server answers. Called until true; may throw, and the last error is reported when time is up. */
  readonly isReady: (pid: number) => Promise<boolean>;
  readonly readyTimeoutMs?: number;
  /** Before each start: clears away what a killed server left and the next one would stumble over. */
  readonly prepare?: () => Promise<void>;
  readonly stopSignal?: NodeJS.Signals;
  readonly logFiles?: readonly string[];
  readonly outliveParent?: boolean;
}

const gate = 'read -r go <&3 || exit 1; exec 3<&-; exec "$@"';
const pollMs = 10;
const goneTimeoutMs = 15_000;
const logTailCharacters = 20_000;
/** An error shows the last words of each file: what came before belongs to an earlier life of the server. */
const errorTailCharacters = 3_000;

export async function startServer(definition: ServerDefinition): Promise<Running> {
  let leader = await launch(definition);
  const collect = () => processesOf([leader], [definition.dir]);
  const running: Running = {
    name: definition.name,
    address: definition.address,
    port: definition.port,
    dir: definition.dir,
    get pid() {
      return leader.pid;
    },
    pids: () => collect().map(({ pid }) => pid),
    start: async () => {
      const left = collect();
      if (left.length > 0) throw new Error(`${definition.name} still runs (process ${left[0]?.pid}): stop or kill it first`);
      leader = await launch(definition);
    },
    stop: async (options = {}) => {
      await end(definition, leader, collect, options.graceMs ?? 5_000);
      if (options.keepDirectory === true) return;
      await removeDirectory(definition.dir);
      for (const port of [definition.port, ...(definition.morePorts ?? [])]) releasePort(port);
    },
    kill: () => killAll(definition, leader, collect),
    pause: () => signalEach(collect(), 'SIGSTOP'),
    resume: () => signalEach(collect(), 'SIGCONT'),
    logs: () => readLogs(definition),
  };
  return running;
}

async function launch(definition: ServerDefinition): Promise<ProcessIdentity> {
  await definition.prepare?.();
  const leader = spawnBehindGate(definition);
  try {
    await waitUntilReady(definition, leader);
  } catch (error) {
    await killAll(definition, leader, () => processesOf([leader], [definition.dir]));
    throw error;
  }
  return leader;
}

function spawnBehindGate(definition: ServerDefinition): ProcessIdentity {
  const output = openSync(join(definition.dir, 'output.log'), 'a', 0o644);
  const child = spawn('sh', ['-c', gate, 'sh', ...definition.command], {
    detached: true,
    cwd: definition.dir,
    env: plainEnvironment(definition.env),
    stdio: ['ignore', output, output, 'pipe'],
  });
  closeSync(output);
  child.on('error', () => {
    // Without a process id there is nothing to start: reported below.
  });
  const startTicks = child.pid === undefined ? undefined : readProcess(child.pid)?.startTicks;
  if (child.pid === undefined || startTicks === undefined) throw new Error(`${definition.name}: cannot start a process`);
  const leader = { pid: child.pid, startTicks };
  child.unref();
  if (definition.outliveParent !== true) watchProcess(leader);
  const opening = child.stdio[3] as NodeJS.WritableStream & { unref?: () => void };
  opening.on('error', () => {
    // The gate ended before it read: waitUntilReady sees that the process is gone.
  });
  opening.end('go\n');
  opening.unref?.();
  return leader;
}

async function waitUntilReady(definition: ServerDefinition, leader: ProcessIdentity): Promise<void> {
  const timeoutMs = definition.readyTimeoutMs ?? 30_000;
  const deadline = performance.now() + timeoutMs;
  let last = 'it does not answer';
  while (performance.now() < deadline) {
    if (!isAlive(leader)) throw new Error(`${definition.name} ended while starting:\n${readLogs(definition, errorTailCharacters)}`);
    try {
      if (await definition.isReady(leader.pid)) return;
    } catch (error) {
      last = (error as Error).message;
    }
    await delay(pollMs);
  }
  throw new Error(`${definition.name} was not ready after ${timeoutMs} ms (${last}):\n${readLogs(definition, errorTailCharacters)}`);
}

async function end(
  definition: ServerDefinition,
  leader: ProcessIdentity,
  collect: () => ProcessIdentity[],
  graceMs: number,
): Promise<void> {
  const members = collect();
  // Of several processes only those without a parent among them are asked: each server ends its own children.
  const ids = new Set(members.map(({ pid }) => pid));
  const heads = members.filter(({ pid }) => !ids.has(readProcess(pid)?.parent ?? 0));
  signalEach(heads, definition.stopSignal ?? 'SIGTERM');
  signalEach(members, 'SIGCONT'); // a paused process would not hear it
  await waitUntilGone(heads, graceMs);
  signalEach(members, 'SIGKILL');
  await killAll(definition, leader, collect);
}

async function killAll(definition: ServerDefinition, leader: ProcessIdentity, collect: () => ProcessIdentity[]): Promise<void> {
  const deadline = performance.now() + goneTimeoutMs;
  for (let members = collect(); members.length > 0; members = collect()) {
    signalEach(members, 'SIGKILL');
    if (!(await waitUntilGone(members, 1_000)) && performance.now() > deadline) {
      throw new Error(`${definition.name}: processes ${members.map(({ pid }) => pid).join(', ')} survive SIGKILL`);
    }
  }
  forgetProcess(leader);
}

async function waitUntilGone(identities: readonly ProcessIdentity[], timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (identities.some(isAlive)) {
    if (performance.now() > deadline) return false;
    await delay(pollMs / 2);
  }
  return true;
}

function readLogs(definition: ServerDefinition, charactersOfEach = logTailCharacters): string {
  const files = [join(definition.dir, 'output.log'), ...(definition.logFiles ?? [])];
  return files
    .map((file) => {
      try {
        return readFileSync(file, 'utf8').slice(-charactersOfEach);
      } catch {
        return ''; // not written yet, or removed with the directory
      }
    })
    .join('')
    .slice(-logTailCharacters);
}
