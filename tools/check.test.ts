import { describe, expect, it } from 'vitest';
import { type Gate, runGates } from './check/run-gates.ts';

const gate = (name: string, script: string): Gate => ({ name, what: name, command: [process.execPath, '-e', script] });

describe('gates', () => {
  it('pass and fail by their exit code, and none keeps the others from running', async () => {
    const seen: string[] = [];
    const gates: Gate[] = [
      gate('fails', "console.log('why it fails'); process.exitCode = 3"),
      gate('passes', ''),
      { name: 'missing', what: 'missing', command: ['no-such-program-of-holdfast'] },
      gate('is killed', "process.kill(process.pid, 'SIGKILL')"),
    ];
    const results = await runGates(gates, { cwd: import.meta.dirname, atOnce: 2, onResult: ({ gate: { name } }) => seen.push(name) });
    expect(results.map(({ exitCode }) => exitCode)).toEqual([3, 0, 1, 1]);
    expect(results[0]?.output).toBe('why it fails\n');
    expect(results[2]?.output).toContain('could not be started');
    expect(seen.toSorted()).toEqual(['fails', 'is killed', 'missing', 'passes']);
  });
});
