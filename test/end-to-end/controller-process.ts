/**
 * A Holdfast process that a test starts: its output goes to a file, it dies with the test, and it can be waited for.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TwoRegions } from '../../examples/demo/two-regions.ts';
import { isAlive, readProcess, signalEach } from '../systems/process-tree.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { forgetProcess, watchProcess } from '../systems/watchdog-client.ts';
import type { CrashingStoreOptions } from './crashing-store.ts';

export interface ControllerEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ControllerProcess {
  readonly pid: number;
  readonly ended: Promise<ControllerEnd>;
  /** What it printed so far. */
  output(): string;
  /** Whether it ends by itself within the time. */
  endsWithin(durationMs: number): Promise<boolean>;
  /** Asks it to end, and kills it when it does not. Tells whether it did as it was asked. */
  stop(graceMs?: number): Promise<boolean>;
}

const node = join(repositoryDirectory, 'node_modules', '.bin', 'node');
const main = join(repositoryDirectory, 'src', 'main.ts');
const crashing = join(repositoryDirectory, 'test', 'end-to-end', 'crashing-controller.ts');
let count = 0;

/** @param crash given: it is killed there, or at least writes down what its journal acknowledged */
export function startController(platform: TwoRegions, words: readonly string[], crash?: CrashingStoreOptions): ControllerProcess {
  count += 1;
  const file = join(platform.directory, `controller-${count}.log`);
  const output = openSync(file, 'a');
  const program = crash ? [crashing, JSON.stringify(crash)] : [main];
  const child = spawn(node, [...program, '--spec', platform.specFile, '--state', platform.stateDirectory, ...words], {
    env: { ...process.env, ...platform.env, NO_COLOR: '1' },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  if (child.pid === undefined) throw new Error('a controller could not be started');
  const identity = { pid: child.pid, startTicks: readProcess(child.pid)?.startTicks ?? '' };
  watchProcess(identity);
  const ended = new Promise<ControllerEnd>((resolve) => {
    child.once('exit', (exitCode, signal) => {
      forgetProcess(identity);
      resolve({ exitCode, signal });
    });
  });
  const endsWithin = async (durationMs: number): Promise<boolean> => {
    const late = Symbol('late');
    return (await Promise.race([ended, after(durationMs, late)])) !== late;
  };
  return {
    pid: identity.pid,
    ended,
    output: () => readFileSync(file, 'utf8'),
    endsWithin,
    stop: async (graceMs = 15_000) => {
      if (isAlive(identity)) child.kill('SIGTERM');
      if (await endsWithin(graceMs)) return true;
      signalEach([identity], 'SIGKILL');
      await ended;
      return false;
    },
  };
}

function after<T>(durationMs: number, value: T): Promise<T> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(value), durationMs).unref();
  });
}
