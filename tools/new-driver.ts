/**
 * `npm run new driver NAME [-- --kind data|workload|route|check]` writes a driver to begin with: its folder, its conformance test, and what is generated from them. It passes every gate as it is.
 *
 * All is rendered before anything is written; the folder comes into its place by one rename, and the test by another. Exit code 2 where the command can't be followed: then nothing was written.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeStale } from './generate/outputs.ts';
import { generate } from './generate.ts';
import { folderOf, type Kind, kinds, type Refusal, refusalOfName, testOf } from './new-driver/driver-names.ts';
import { renderTemplate } from './new-driver/render-template.ts';

const ownRoot = resolve(import.meta.dirname, '..');
const usage = 'npm run new driver NAME [-- --kind data|workload|route|check]';
/** Which verb a kind's own file is about; the others are left out. */
const verbFiles: Readonly<Record<Kind, string>> = { check: 'check.ts', data: 'check.ts', workload: 'scale.ts', route: 'route.ts' };
const testTemplate = 'conformance-test.ts';

interface Wanted {
  readonly name: string;
  readonly kind: Kind;
}

/** Reads the command line. npm takes `--kind` for itself where `--` is left out, and hands on the kind alone: so it may stand there without its option. */
export function readCommand(root: string, args: readonly string[]): Wanted | Refusal {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return { message: error instanceof Error ? error.message : String(error), hint: usage };
  }
  const [what, name, bareKind, ...rest] = parsed.positionals;
  if (what !== 'driver' || name === undefined || rest.length > 0 || (bareKind !== undefined && parsed.values.kind !== undefined))
    return { message: 'what to make is a driver, and one name', hint: usage };
  const given = parsed.values.kind ?? bareKind ?? 'check';
  const kind = kinds.find((each) => each === given);
  if (kind === undefined) return { message: `"${given}" is no kind of driver`, hint: `The kinds are ${kinds.join(', ')}.` };
  return refusalOfName(root, name) ?? { name, kind };
}

const parse = (args: readonly string[]) => parseArgs({ args: [...args], allowPositionals: true, options: { kind: { type: 'string' } } });

/** Paths from the root, and their text. */
export function renderFiles(wanted: Wanted): ReadonlyMap<string, string> {
  const skeleton = join(ownRoot, 'tools', 'new-driver', 'skeleton');
  const others = Object.values(verbFiles).filter((file) => file !== verbFiles[wanted.kind]);
  const files = new Map<string, string>();
  for (const template of readdirSync(skeleton).toSorted()) {
    const file = template.replace(/\.template$/, '').replace('readme.md', 'README.md');
    if (others.includes(file)) continue;
    const path = file === testTemplate ? testOf(wanted.name) : join(folderOf(wanted.name), file);
    files.set(path, renderTemplate(readFileSync(join(skeleton, template), 'utf8'), wanted));
  }
  return files;
}

/** Line breaks and the order of imports depend on how long the name is. */
function formatFolder(folder: string): void {
  const biome = join(ownRoot, 'node_modules', '.bin', 'biome');
  const args = ['check', '--write', '--linter-enabled=false', '--vcs-enabled=false', folder];
  const run = spawnSync(biome, args, { cwd: ownRoot, encoding: 'utf8' });
  if (run.error) throw run.error;
  if (run.status !== 0) throw new Error(`the files could not be formatted: ${run.stderr}`);
}

/** All of them or none. */
export function writeFiles(root: string, name: string, files: ReadonlyMap<string, string>, format?: (folder: string) => void): void {
  const [folder, test] = [folderOf(name), testOf(name)];
  mkdirSync(join(root, '.cache'), { recursive: true });
  const staging = mkdtempSync(join(root, '.cache', 'new-driver-'));
  try {
    for (const [path, text] of files) {
      mkdirSync(dirname(join(staging, path)), { recursive: true });
      writeFileSync(join(staging, path), text);
    }
    format?.(staging);
    renameSync(join(staging, folder), join(root, folder));
    try {
      renameSync(join(staging, test), join(root, test));
    } catch (error) {
      rmSync(join(root, folder), { recursive: true });
      throw error;
    }
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const wanted = readCommand(ownRoot, process.argv.slice(2));
  if ('message' in wanted) {
    process.stderr.write(`${wanted.message}\n${wanted.hint}\n`);
    process.exitCode = 2;
    return;
  }
  const files = renderFiles(wanted);
  writeFiles(ownRoot, wanted.name, files, formatFolder);
  const { outputs, problems } = await generate(ownRoot);
  const written = [...[...files.keys()].toSorted(), ...writeStale(ownRoot, outputs)];
  process.stdout.write(written.map((path) => `written: ${path}\n`).join(''));
  for (const problem of problems) process.stdout.write(`problem: ${problem}\n`);
  process.stdout.write(`Next: npx vitest run --project conformance ${testOf(wanted.name)}, and docs/guide/write-a-driver.md\n`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}

if (import.meta.main) await main();
