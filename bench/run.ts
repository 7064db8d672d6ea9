/** `npm run bench -- NAME [arguments]` runs bench/NAME.ts; without a name, or with an unknown one, it says what there is. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = import.meta.dirname;

/** The programs beside this one, with the first sentence of each one's opening comment. */
function listBenchmarks(): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of readdirSync(folder).toSorted()) {
    const name = /^([a-z0-9-]+)\.ts$/.exec(file)?.[1];
    if (name === undefined || name === 'run') continue;
    const opening = /\/\*\*([\s\S]*?)\*\//.exec(readFileSync(join(folder, file), 'utf8'))?.[1] ?? '';
    const text = opening
      .replace(/\n\s*\*/g, ' ')
      .replace(/\s+/g, ' ')
      .trim();
    found.set(name, (/^(.*?[.:])(?:\s|$)/.exec(text)?.[1] ?? text).replace(/:$/, '.'));
  }
  return found;
}

function main(): void {
  const [name, ...args] = process.argv.slice(2);
  const benchmarks = listBenchmarks();
  if (name === undefined || !benchmarks.has(name)) {
    const out = name === undefined ? process.stdout : process.stderr;
    if (name !== undefined) out.write(`There is no benchmark "${name}".\n`);
    out.write('Benchmarks, run by npm run bench -- NAME [arguments]:\n');
    for (const [known, what] of benchmarks) out.write(`  ${known.padEnd(24)} ${what}\n`);
    process.exitCode = name === undefined ? 0 : 2;
    return;
  }
  const child = spawn(process.execPath, [join(folder, `${name}.ts`), ...args], { stdio: 'inherit' });
  // The terminal sends an interrupt to both: the benchmark cleans up, and its end is ours.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('close', (code) => {
    process.exitCode = code ?? 1;
  });
}

main();
