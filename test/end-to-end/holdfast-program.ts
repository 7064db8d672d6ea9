/** Runs the real program on a platform: to its end, or beside the test while its events are followed. Nothing of it outlives the test: it is told to the watchdog. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { TwoRegions } from '../../examples/demo/two-regions.ts';
import { readProcess } from '../systems/process-tree.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { watchProcess } from '../systems/watchdog-client.ts';

export const nodeProgram = join(repositoryDirectory, 'node_modules', '.bin', 'node');
export const mainProgram = join(repositoryDirectory, 'src', 'main.ts');

/** Sockets of a program that runs under this group can be told from all others by the packet filter. */
export const controllerGroup = 47_110;

export interface Where {
  readonly specFile: string;
  readonly stateDirectory: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  /** As text for people, without --json. */
  readonly plain?: boolean;
  readonly logLevel?: 'debug' | 'info';
}

export interface ProgramEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
  /** The last line of the output, where it is a JSON object. */
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape that it asks for.
  readonly json: any;
}

export interface ServeEvent {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape that it asks for.
  readonly [key: string]: any;
}

export interface RunningProgram {
  readonly pid: number;
  readonly ended: Promise<ProgramEnd>;
  /** What `serve --json` has said. */
  readonly events: readonly ServeEvent[];
  output(): string;
  signal(name: NodeJS.Signals): void;
  stop(): Promise<ProgramEnd>;
}

function environmentOf(where: Where, options: ProgramOptions): Record<string, string> {
  const all = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '/',
    NO_COLOR: '1',
    ...where.env,
    HOLDFAST_SPEC: where.specFile,
    HOLDFAST_STATE: where.stateDirectory,
    ...options.env,
  };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function lastJson(out: string): unknown {
  try {
    return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '');
  } catch {
    return undefined; // The test sees that there is none, and the output in its place.
  }
}

export function startHoldfast(where: Where, args: readonly string[], options: ProgramOptions = {}): RunningProgram {
  const words = [
    mainProgram,
    ...args,
    ...(options.plain ? [] : ['--json']),
    ...(options.logLevel ? ['--log-level', options.logLevel] : []),
  ];
  const child: ChildProcess = spawn(nodeProgram, words, {
    env: environmentOf(where, options),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(process.getuid?.() === 0 ? { gid: controllerGroup } : {}),
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
  });
  if (child.pid === undefined) throw new Error('the program could not be started');
  const startTicks = readProcess(child.pid)?.startTicks;
  if (startTicks !== undefined) watchProcess({ pid: child.pid, startTicks });
  let out = '';
  let err = '';
  const events: ServeEvent[] = [];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  if (child.stdout && args[0] === 'serve' && !options.plain)
    createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as ServeEvent));
  const ended = new Promise<ProgramEnd>((resolve) => {
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal, out, err, json: lastJson(out) }));
  });
  return {
    pid: child.pid,
    ended,
    events,
    output: () => `${out}\n${err}`.slice(-4_000),
    signal: (name) => child.kill(name),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      const end = await ended;
      clearTimeout(killer);
      return end;
    },
  };
}

export function runHoldfast(where: Where, args: readonly string[], options: ProgramOptions = {}): Promise<ProgramEnd> {
  return startHoldfast(where, args, options).ended;
}

/** `serve`, once it has looked and found the active region healthy. */
export async function serveUntilHealthy(where: Where, options: ProgramOptions = {}): Promise<RunningProgram> {
  const serve = startHoldfast(where, ['serve'], { timeoutMs: 600_000, ...options });
  try {
    await until('serve sees a healthy region', () => serve.events.some((event) => event.verdict?.state === 'healthy') || undefined, 20_000);
    // What would be lost is known once a canary has been seen on both sides.
    await until('readiness', async () => ((await runHoldfast(where, ['status'])).exitCode === 0 ? true : undefined), 20_000);
  } catch (error) {
    const { out, err } = await serve.stop();
    throw new Error(`${(error as Error).message}\n${out.slice(-2_000)}\n${err.slice(-2_000)}`);
  }
  return serve;
}

export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined, timeoutMs = 30_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1_000} s`);
    await delay(25);
  }
}

/** The first execution that `serve` began, once it has ended or needs a person. */
export async function executionOf(where: Where, serve: RunningProgram, timeoutMs = 60_000): Promise<ProgramEnd['json']> {
  const id = await until('serve begins an execution', () => serve.events.find((event) => event.event === 'execution')?.id, timeoutMs);
  return until(
    `${id} ends`,
    async () => {
      const { json } = await runHoldfast(where, ['executions', id]);
      return json?.state?.outcome !== undefined || json?.state?.status === 'failed' ? json : undefined;
    },
    timeoutMs,
  );
}

/** What serve has decided, newest last. */
export const decisionsOf = (serve: RunningProgram): readonly ServeEvent[] => serve.events.filter((event) => event.event === 'decision');

/** Shares one platform between the tests of a describe block. */
export type PlatformOf = () => TwoRegions;
