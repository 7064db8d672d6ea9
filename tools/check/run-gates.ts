/** Runs commands a few at a time and keeps what each of them prints, so that the output of two does not mix. */
import { spawn } from 'node:child_process';

export interface Gate {
  readonly name: string;
  /** What holds when it passes. */
  readonly what: string;
  readonly command: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
}

export interface GateResult {
  readonly gate: Gate;
  /** 1 where the gate could not be started or was killed: what has not run has not passed. */
  readonly exitCode: number;
  readonly seconds: number;
  readonly output: string;
}

interface Options {
  readonly cwd: string;
  readonly atOnce: number;
  onResult(result: GateResult): void;
}

/** Results in the order of the gates. */
export async function runGates(gates: readonly Gate[], options: Options): Promise<GateResult[]> {
  const results: GateResult[] = [];
  const waiting = [...gates.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, gate] = next;
      const result = await runGate(gate, options.cwd);
      results[index] = result;
      options.onResult(result);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, work));
  return results;
}

function runGate(gate: Gate, cwd: string): Promise<GateResult> {
  const startedMs = performance.now();
  const [program, ...args] = gate.command;
  const parts: string[] = [];
  return new Promise((resolve) => {
    const end = (exitCode: number): void => {
      resolve({ gate, exitCode, seconds: (performance.now() - startedMs) / 1000, output: parts.join('') });
    };
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1', ...gate.env } });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => parts.push(text));
    }
    child.on('error', (error) => {
      parts.push(`${program} could not be started: ${error.message}\n`);
      end(1);
    });
    child.on('close', (code, signal) => {
      if (signal !== null) parts.push(`ended by ${signal}\n`);
      end(code ?? 1);
    });
  });
}
