/**
 * `npm run build` writes `dist/`: what the published package runs. Node strips no types below `node_modules`, and 500 small files take a third of a second to load; so the program and
 * the libraries that it uses become a few JavaScript files. Development needs none of this.
 *
 * `dist/THIRD-PARTY-LICENSES.txt` holds the licence of each library whose code went in; one without a licence file fails the build.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type OutputOptions, type Plugin, type RolldownOutput, rolldown } from 'rolldown';

const root = resolve(import.meta.dirname, '..');
/** Asked for by libraries where they find them; not needed here. */
const leftOut = [/^node:/, 'pg-native', 'cloudflare:sockets', 'pg-cloudflare', 'pino-pretty'];

export async function buildPackage(into: string): Promise<readonly string[]> {
  await rm(into, { recursive: true, force: true });
  const input = {
    holdfast: join(root, 'src', 'main.ts'),
    'wal-push': join(root, 'src', 'wal-push.ts'),
    guard: join(root, 'src', 'guard.ts'),
    'unpack-thread': join(root, 'src', 'unpack-thread.ts'),
  };
  const written = [
    ...(await writeBundle(into, input, { plugins: [leaveQuickPush], chunkFileNames: 'parts/[name]-[hash].js' })),
    ...(await writeBundle(into, { 'push-quickly': join(root, 'src', quickPush) }, { codeSplitting: false })),
  ];
  await writeFile(
    join(into, 'THIRD-PARTY-LICENSES.txt'),
    licencesOf(written.flatMap((each) => (each.type === 'chunk' ? each.moduleIds : []))),
  );
  return written.map((each) => each.fileName);
}

/** A database waits for it: one file loads in half of the time that a dozen parts take, which others share. */
const quickPush = 'push-quickly.ts';
const leaveQuickPush: Plugin = {
  name: 'leave-quick-push',
  resolveId: (source) => (source === `./${quickPush}` ? { id: './push-quickly.js', external: true } : null),
};

async function writeBundle(
  dir: string,
  input: Readonly<Record<string, string>>,
  { plugins = [], ...output }: Pick<OutputOptions, 'chunkFileNames' | 'codeSplitting'> & { readonly plugins?: readonly Plugin[] },
): Promise<RolldownOutput['output']> {
  const bundle = await rolldown({ input, platform: 'node', external: leftOut, cwd: root, plugins: [...plugins] });
  try {
    return (await bundle.write({ dir, format: 'esm', entryFileNames: '[name].js', ...output })).output;
  } finally {
    await bundle.close();
  }
}

/** The innermost package directory of each module that came from a library. */
function packagesOf(modules: readonly string[]): readonly string[] {
  const found = new Set<string>();
  for (const module of modules) {
    const match = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(module);
    if (match) found.add(match[0].replace(/^\0/, ''));
  }
  return [...found].sort();
}

function licencesOf(modules: readonly string[]): string {
  const texts = packagesOf(modules).map((directory) => {
    const about = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { name: string; version: string; license?: string };
    const file = readdirSync(directory).find((name) => /^licen[cs]e/i.test(name));
    if (file === undefined && about.license === undefined) throw new Error(`${directory} names no licence`);
    const text = file === undefined ? `Licence: ${about.license}` : readFileSync(join(directory, file), 'utf8').trim();
    return `${about.name} ${about.version} (${about.license ?? 'see below'})\n\n${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(100)}\n\n`);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { into: { type: 'string', default: join(root, 'dist') } } });
  const into = resolve(values.into);
  if (existsSync(into) && !existsSync(join(into, 'THIRD-PARTY-LICENSES.txt')) && readdirSync(into).length > 0) {
    process.stderr.write(`${into} is not empty and was not written by this program: name another directory with --into\n`);
    process.exit(2);
  }
  const files = await buildPackage(into);
  process.stdout.write(`${files.length} files in ${into}\n`);
}
