/**
 * `npm run check`: every gate that needs no real server, two at a time, each with its seconds. All of them run even when one fails, for whoever mends one thing
 * wants to know of the next. Exit code 1 when any failed. `npm run check -- tidy types` runs only those.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { type Gate, type GateResult, runGates } from './check/run-gates.ts';

const root = resolve(import.meta.dirname, '..');
const budgetSeconds = 60;

function allGates(): Gate[] {
  const node = process.execPath;
  const program = (name: string) => join(root, 'node_modules', '.bin', name);
  // The longest first: with two at a time the whole then takes little more than its longest gate.
  const gates: Gate[] = [
    {
      name: 'tests',
      what: 'unit tests, and conformance on fakes',
      command: [node, join(root, 'tools', 'testing', 'run-tests.ts'), '--project', 'unit', '--project', 'conformance'],
      env: { HOLDFAST_TESTS: 'fakes' },
    },
    { name: 'types', what: 'the compiler finds no fault', command: [program('tsc'), '-p', root] },
    { name: 'tidy', what: 'layers, cycles, sizes, names, words', command: [node, join(root, 'tools', 'tidy.ts')] },
    { name: 'generated', what: 'generated files are up to date', command: [node, join(root, 'tools', 'generate.ts'), '--check'] },
    { name: 'lint', what: 'lint and format', command: [program('biome'), 'check', '--error-on-warnings'] },
  ];
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Readonly<Record<string, string>> };
  if (scripts.simulate !== undefined && existsSync(join(root, 'test', 'simulation'))) {
    gates.splice(1, 0, {
      name: 'simulate',
      what: '200 simulated disasters',
      command: ['npm', 'run', '--silent', 'simulate', '--', '--seeds', '200'],
    });
  }
  return gates;
}

function report({ gate, exitCode, seconds, output }: GateResult): void {
  process.stdout.write(
    `${exitCode === 0 ? 'ok    ' : 'FAILED'} ${gate.name.padEnd(10)} ${seconds.toFixed(1).padStart(5)} s  ${gate.what}\n`,
  );
  if (exitCode !== 0) process.stdout.write(`${output.trimEnd()}\n--- end of ${gate.name}\n`);
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const known = allGates();
  const unknown = wanted.filter((name) => !known.some((gate) => gate.name === name));
  if (unknown.length > 0) {
    process.stderr.write(`There is no gate ${unknown.join(', ')}. There are: ${known.map(({ name }) => name).join(', ')}\n`);
    process.exitCode = 2;
    return;
  }
  const gates = wanted.length === 0 ? known : known.filter(({ name }) => wanted.includes(name));
  const startedMs = performance.now();
  const results = await runGates(gates, { cwd: root, atOnce: Math.min(2, availableParallelism()), onResult: report });
  const seconds = (performance.now() - startedMs) / 1000;
  const failed = results.filter(({ exitCode }) => exitCode !== 0).map(({ gate }) => gate.name);
  process.stdout.write(
    `${gates.length} gates in ${seconds.toFixed(1)} s${seconds > budgetSeconds ? ` (more than the ${budgetSeconds} s they should take)` : ''}\n`,
  );
  process.stdout.write(failed.length === 0 ? 'check: everything holds\n' : `check: FAILED: ${failed.join(', ')}\n`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

if (import.meta.main) await main();
