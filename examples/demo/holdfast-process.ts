/** Runs the real holdfast program: as a server whose events are followed, and as commands whose JSON answers are read. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { nodeProgram } from './region.ts';
import type { TwoRegions } from './two-regions.ts';

const program = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

function environmentOf(regions: TwoRegions, region?: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '/',
    NO_COLOR: '1',
    ...regions.env,
    HOLDFAST_SPEC: regions.specFile,
    // What a controller keeps for itself is its own, also where they share a state.
    HOLDFAST_STATE: region === undefined ? regions.stateDirectory : `${regions.stateDirectory}-${region}`,
  };
}

export interface ServeEvent {
  readonly event: 'started' | 'decision' | 'execution' | 'journal' | 'stopped';
  readonly [key: string]: unknown;
}

export class ServeProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  errorOutput = '';

  constructor(
    regions: TwoRegions,
    onEvent: (event: ServeEvent) => void,
    options: { readonly outliveParent?: boolean; readonly region?: string } = {},
  ) {
    const log = options.outliveParent ? openSync(join(regions.directory, 'serve.log'), 'a') : undefined;
    this.#child = spawn(nodeProgram, [program, 'serve', ...(options.region ? ['--region', options.region] : []), '--json'], {
      env: environmentOf(regions, options.region),
      stdio: log === undefined ? ['ignore', 'pipe', 'pipe'] : ['ignore', log, log],
      detached: options.outliveParent === true,
      // What is left running is found again by where it works.
      ...(options.outliveParent ? { cwd: regions.directory } : {}),
    });
    if (log !== undefined) {
      closeSync(log);
      this.#child.unref();
    }
    this.#ended = new Promise((resolve) => this.#child.once('exit', (code) => resolve(code)));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errorOutput = (this.errorOutput + text).slice(-10_000);
    });
    if (this.#child.stdout) createInterface({ input: this.#child.stdout }).on('line', (line) => onEvent(JSON.parse(line) as ServeEvent));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** SIGKILL, as when its region dies. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    await Promise.race([this.#ended, new Promise((resolve) => setTimeout(resolve, 10_000).unref())]);
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

export interface CommandAnswer {
  readonly exitCode: number;
  readonly json: Record<string, unknown>;
  readonly errorOutput: string;
}

/**
 * Runs one command with --json and reads its last line; `onProgress` hears each line that it says on the way. Rejects when it takes longer than the limit or prints no JSON.
 */
export function runHoldfast(
  regions: TwoRegions,
  args: readonly string[],
  onProgress: (line: string) => void = () => {},
  timeoutMs = 180_000,
): Promise<CommandAnswer> {
  return new Promise((resolve, reject) => {
    const child = spawn(nodeProgram, [program, ...args, '--json'], {
      env: environmentOf(regions),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let errorOutput = '';
    createInterface({ input: child.stderr }).on('line', onProgress);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errorOutput += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const last = out.trimEnd().split('\n').at(-1) ?? '';
      try {
        resolve({ exitCode: code ?? -1, json: JSON.parse(last) as Record<string, unknown>, errorOutput });
      } catch {
        reject(
          new Error(
            `holdfast ${args.join(' ')} ended with ${signal ?? code} and no JSON:\n${out.slice(-2_000)}\n${errorOutput.slice(-2_000)}`,
          ),
        );
      }
    });
  });
}
