import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { tidy } from './tidy.ts';

const trees: string[] = [];

afterEach(() => {
  for (const tree of trees.splice(0)) rmSync(tree, { recursive: true, force: true });
});

/** Writes the files and says what tidy finds wrong in them: `rule file message`. */
function findIn(files: Readonly<Record<string, string>>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-tidy-'));
  trees.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return tidy(root)
    .filter(({ severity }) => severity === 'error')
    .map(({ rule, file, message }) => `${rule} ${file} ${message}`);
}

const module = (...lines: string[]) => `/** Something. */\n${lines.join('\n')}\n`;
const value = module('export const a = 1;');

describe('layers', () => {
  const imports = (path: string, kind = 'import { a }') => module(`${kind} from '${path}';`, 'export const b = 1;');

  it('allows imports of smaller ranks and of the own folder', () => {
    const files = {
      'src/base/a.ts': value,
      'src/spec/a.ts': imports('../base/a.ts'),
      'src/spec/b.ts': imports('./a.ts'),
      'src/drivers/redis/driver.ts': imports('../../base/a.ts'),
      'src/drivers/redis/client.ts': imports('./driver.ts'),
      'src/hands/ssh/ssh-hands.ts': imports('../../base/a.ts'),
      'src/hands/open-hands.ts': imports('./ssh/ssh-hands.ts'),
      'src/registry.generated.ts': imports('./drivers/redis/driver.ts'),
      'src/main.ts': imports('./registry.generated.ts'),
      'src/drivers/kubernetes-api/client.ts': value,
      'src/drivers/velero/driver.ts': imports('../kubernetes-api/client.ts'),
    };
    expect(findIn(files)).toEqual([]);
  });

  it.each([
    ['upwards', 'src/base/b.ts', '../spec/a.ts', 'src/spec/a.ts'],
    ['between folders of equal rank', 'src/state/b.ts', '../spec/a.ts', 'src/spec/a.ts'],
    ['from the core into a driver', 'src/control/b.ts', '../drivers/redis/a.ts', 'src/drivers/redis/a.ts'],
    ['from one driver into another', 'src/drivers/redis/b.ts', '../postgresql/a.ts', 'src/drivers/postgresql/a.ts'],
    ['into what others share', 'src/drivers/redis/b.ts', '../kubernetes-api/a.ts', 'src/drivers/kubernetes-api/a.ts'],
    ['from what several share into one of them', 'src/drivers/kubernetes-api/b.ts', '../velero/a.ts', 'src/drivers/velero/a.ts'],
    ['from one system into what chooses among them', 'src/hands/ssh/b.ts', '../open-hands.ts', 'src/hands/open-hands.ts'],
    ['from a driver into hands', 'src/drivers/redis/b.ts', '../../hands/ssh/a.ts', 'src/hands/ssh/a.ts'],
    ['from a driver into the core', 'src/drivers/redis/b.ts', '../../spec/a.ts', 'src/spec/a.ts'],
    ['from a face into a driver', 'src/cli/b.ts', '../drivers/redis/a.ts', 'src/drivers/redis/a.ts'],
    ['of the real machine', 'src/control/b.ts', '../host/node/a.ts', 'src/host/node/a.ts'],
    ['of something that is no layer', 'src/control/b.ts', '../elsewhere/a.ts', 'src/elsewhere/a.ts'],
    ['of tests', 'src/control/b.ts', '../../test/fakes/a.ts', 'test/fakes/a.ts'],
  ])('refuses an import %s', (_, from, specifier, to) => {
    expect(findIn({ [from]: imports(specifier), [to]: value }).join('\n')).toContain(`layers ${from} imports ${specifier}`);
  });

  it.each([
    ['import type', "import type { A } from '../spec/a.ts';"],
    ['export from', "export { a } from '../spec/a.ts';"],
    ['export all', "export * from '../spec/a.ts';"],
    ['import()', "export const load = () => import('../spec/a.ts');"],
    ['typeof import()', "export type A = typeof import('../spec/a.ts');"],
    ['import on several lines', "import {\n  a,\n} from '../spec/a.ts';"],
  ])('sees %s', (_, line) => {
    expect(findIn({ 'src/base/b.ts': module(line), 'src/spec/a.ts': value })).toHaveLength(1);
  });

  it('is not misled by comments and texts that look like imports', () => {
    const text = module("// import { a } from '../spec/a.ts';", 'export const b = "import { a } from \'../spec/a.ts\'";');
    expect(findIn({ 'src/base/b.ts': text, 'src/spec/a.ts': value })).toEqual([]);
  });
});

describe('cycles', () => {
  it('refuses a circle of three, type imports included', () => {
    const files = {
      'src/base/a.ts': module("import { b } from './b.ts';", 'export const a = b;'),
      'src/base/b.ts': module("import type { c } from './c.ts';", 'export const b: c = 1;'),
      'src/base/c.ts': module("export { a } from './a.ts';", 'export type c = number;'),
    };
    expect(findIn(files)).toEqual([
      'cycles src/base/a.ts imports go in a circle: src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts',
    ]);
  });
});

describe('sizes', () => {
  const long = (lines: number) => module(...Array.from({ length: lines - 1 }, (_, index) => `export const a${index} = 1;`));

  it('refuses 501 lines and lets 500 be', () => {
    expect(findIn({ 'src/base/a.ts': long(500) })).toEqual([]);
    expect(findIn({ 'src/base/a.ts': long(501) })).toEqual(['sizes src/base/a.ts 501 lines; 500 is the limit']);
  });

  it('shows files above 300 lines without failing', () => {
    const root = mkdtempSync(join(tmpdir(), 'holdfast-tidy-'));
    trees.push(root);
    mkdirSync(join(root, 'src', 'base'), { recursive: true });
    writeFileSync(join(root, 'src', 'base', 'a.ts'), long(301));
    expect(tidy(root)).toMatchObject([{ severity: 'note', message: '301 lines; more than 300 is uneasy' }]);
  });
});

describe('names', () => {
  it.each([
    'src/base/camelCase.ts',
    'src/base/snake_case.ts',
    'src/Base/a.ts',
    'src/base/string-utils.ts',
    'src/base/helpers.ts',
    'src/common/a.ts',
    'test/misc/a.ts',
  ])('refuses %s', (path) => {
    expect(findIn({ [path]: value }).filter((found) => found.startsWith('names'))).toHaveLength(1);
  });

  it('allows the driver that is called http-service', () => {
    expect(findIn({ 'src/drivers/http-service/driver.ts': value })).toEqual([]);
    expect(findIn({ 'src/drivers/email-service/driver.ts': value })).toHaveLength(1);
  });
});

describe('doors', () => {
  it.each([
    'Math.random()',
    'globalThis.Math.random()',
    "Math['random']()",
    'Date.now()',
    'crypto.randomUUID()',
    'process.env.HOME',
    'process.exit(1)',
    'process.kill(1)',
  ])('refuses %s in the core', (expression) => {
    expect(findIn({ 'src/base/a.ts': module(`export const a = () => ${expression};`) }).map((found) => found.split(' ')[0])).toContain(
      'doors',
    );
  });

  it('refuses the ways around', () => {
    expect(
      findIn({ 'src/base/a.ts': module('export const read = () => {', '  const { env } = process;', '  return env;', '};') }),
    ).toHaveLength(1);
    expect(findIn({ 'src/base/a.ts': module("import { env } from 'node:process';", 'export const a = env;') })).toHaveLength(1);
    expect(findIn({ 'src/base/a.ts': module("import { randomUUID } from 'node:crypto';", 'export const a = randomUUID;') })).toHaveLength(
      1,
    );
  });

  it('allows them in the real host, in main.ts and in tests, and cli its arguments and exit code', () => {
    const files = {
      'src/host/node/random.ts': module('export const random = () => Math.random();'),
      'src/main.ts': module('export const home = process.env.HOME;'),
      'src/base/a.test.ts': module('export const now = Date.now();'),
      'src/cli/run.ts': module('export const end = () => {', '  process.exitCode = process.argv.length;', '};'),
      'src/base/names.ts': module(
        'export const own = { env: 1 };',
        'export const read = (process: string) => process;',
        'export const b = Math.max(own.env, 1);',
      ),
    };
    expect(findIn(files)).toEqual([]);
  });
});

describe('words', () => {
  // Put together here, for the rule reads this file as well.
  const machinePath = ['', 'work', 'main', 'src'].join('/');
  const registry = ['https:/', 'registry.example.org', 'pg.tgz'].join('/');

  it('refuses work left for later in src', () => {
    expect(findIn({ 'src/base/a.ts': `${value}// TODO: later\n` })).toHaveLength(1);
    expect(findIn({ 'src/base/a.ts': `${value}// FIXME\n` })).toHaveLength(1);
  });

  it('refuses paths of one machine anywhere', () => {
    expect(findIn({ 'docs/a.md': `See ${machinePath}.\n` })).toHaveLength(1);
    expect(findIn({ 'tools/a.ts': module(`export const a = '${machinePath}';`) })).toHaveLength(1);
    expect(findIn({ 'docs/a.md': 'See https://example.org/work/main and ./work/a and /workers.\n' })).toEqual([]);
  });

  it('refuses registry addresses in the lock file and the README', () => {
    expect(findIn({ 'package-lock.json': `{ "resolved": "${registry}" }\n` })).toHaveLength(1);
    expect(findIn({ 'README.md': `Get it from ${registry}.\n` })).toHaveLength(1);
  });
});

describe('openings', () => {
  it('refuses a module that says nowhere what it is for', () => {
    expect(findIn({ 'src/base/a.ts': 'export const a = 1;\n' })).toEqual([expect.stringContaining('openings src/base/a.ts')]);
  });

  it('allows a comment at the top, or at the main export', () => {
    const imported = "import { b } from './b.ts';\n";
    expect(findIn({ 'src/base/b.ts': value, 'src/base/a.ts': `// Something.\n${imported}export const a = b;\n` })).toEqual([]);
    const documented = `${imported}export interface Parts { c: number }\n/** What it is. */\nexport class DurableThing {}\n`;
    expect(findIn({ 'src/base/b.ts': `/** B. */\nexport const b = 1;\n`, 'src/base/durable-thing.ts': documented })).toEqual([]);
  });
});

describe('what can not be parsed', () => {
  it('is refused, not passed over', () => {
    expect(findIn({ 'src/base/a.ts': '/** A. */\nexport const = ;\n' })).toHaveLength(1);
  });
});

describe('this repository', () => {
  it('is tidy', () => {
    expect(
      tidy(join(import.meta.dirname, '..'))
        .filter(({ severity }) => severity === 'error')
        .map(({ file, line, message }) => `${file}:${line ?? ''} ${message}`),
    ).toEqual([]);
  });
});
