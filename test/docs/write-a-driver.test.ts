/**
 * The guide to writing a driver, followed word by word in a copy of this tree: the files that it shows are written, its commands are run, and what it says they print is looked for. Before
 * that, a skeleton of every kind is made there and put through the suite of its kind as it is.
 */
import { cp, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds } from '../../tools/new-driver/driver-names.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { type Block, instructionOf, missingLine, parseBlocks } from './document-blocks.ts';
import { readDocument } from './places.ts';

const guide = 'docs/guide/write-a-driver.md';
const blocks = parseBlocks(guide, await readDocument(guide));
const fileOf = (block: Block): string | undefined => /^file: (\S+)$/.exec(block.note ?? '')?.[1];
const shownBy = new Set(blocks.map((block) => block.shown));
const toFollow = blocks.filter((block) => block.language !== 'text');
const notCopied = new Set(['.git', '.cache', 'node_modules', 'reports', 'dist', 'coverage']);
const gitIdentity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];

let tree: string;

/** As a person types it there; tests that are run inside of this one must not take themselves for part of it. */
async function run(command: string): Promise<{ readonly exitCode: number; readonly output: string }> {
  const path = `${join(repositoryDirectory, 'node_modules', '.bin')}:${process.env.PATH}`;
  const program = ['env', '-u', 'VITEST', '-u', 'NODE_ENV', `PATH=${path}`, 'NO_COLOR=1', 'sh', '-ec', `(${command}\n) 2>&1`];
  const { exitCode, stdout } = await runProgram(program, { cwd: tree, timeoutMs: 150_000, anyExit: true });
  return { exitCode: exitCode ?? -1, output: stdout };
}

async function mustRun(command: string): Promise<string> {
  const { exitCode, output } = await run(command);
  expect(exitCode, `${command}\n${output}`).toBe(0);
  return output;
}

beforeAll(async () => {
  tree = await temporaryDirectory('write-a-driver');
  for (const name of await readdir(repositoryDirectory)) {
    if (!notCopied.has(name)) await cp(join(repositoryDirectory, name), join(tree, name), { recursive: true });
  }
  await symlink(join(repositoryDirectory, 'node_modules'), join(tree, 'node_modules'));
  // A system that was unpacked for the tests is found where it lies.
  await mkdir(join(tree, '.cache'));
  await symlink(join(repositoryDirectory, '.cache', 'systems'), join(tree, '.cache', 'systems'));
  await writeFile(join(tree, '.gitignore'), '.cache\nnode_modules\nreports\n');
  await mustRun(`git init --quiet . && git add --all && git ${gitIdentity.join(' ')} commit --quiet --message before`);
});
afterAll(() => removeDirectory(tree));

describe('a skeleton', () => {
  const names = kinds.map((kind) => `skeleton-${kind}`);

  it('of every kind passes the suite of its kind and lint, and is nothing but a folder and a test', { retry: 0 }, async () => {
    for (const kind of kinds) await mustRun(`npm run --silent new -- driver skeleton-${kind} --kind ${kind}`);
    const tests = names.map((name) => `test/conformance/${name}.test.ts`);
    const folders = names.map((name) => `src/drivers/${name}`);
    const changed = (await mustRun('git status --short')).split('\n').filter((line) => line !== '');
    expect(changed.sort()).toEqual(
      [
        ' M docs/reference/drivers.md',
        ' M docs/reference/spec.schema.json',
        ' M src/registry.generated.ts',
        ...folders.map((folder) => `?? ${folder}/`),
        ...tests.map((test) => `?? ${test}`),
      ].sort(),
    );
    const output = await mustRun(`npx vitest run --project conformance ${tests.join(' ')} && npm run generate -- --check`);
    expect(output).toMatch(/^\d{2,} passed, 0 failed$/m);
    await mustRun(`npx biome check --error-on-warnings ${[...folders, ...tests].join(' ')}`);
    // Types and tidy go over the whole tree: with the skeletons in it, they are what the guide runs at its end.
    await mustRun(`git add --all && git ${gitIdentity.join(' ')} commit --quiet --message skeletons`);
  });

  it.each([
    ['driver Skeleton', 'can not name a driver'],
    ['driver redis', 'is there already'],
    ['driver another --kind queue', 'is no kind of driver'],
  ])('is refused with exit code 2 for "%s", and nothing is written', async (words, message) => {
    const { exitCode, output } = await run(`npm run --silent new -- ${words}`);
    expect(output).toContain(message);
    expect(exitCode).toBe(2);
    expect(await mustRun('git status --short')).toBe('');
  });
});

it('the guide says of each of its blocks what is done with it', () => {
  for (const block of blocks) {
    const said =
      block.language === 'text' ? shownBy.has(block.text) : fileOf(block) !== undefined || instructionOf(block)?.place === 'tree';
    expect(said, `${guide}:${block.line}`).toBe(true);
  }
});

describeSystem('sshd', 'the guide to writing a driver', () => {
  it.each(toFollow.map((block) => [`${block.line}: ${fileOf(block) ?? block.text.split('\n')[0]}`, block] as const))(
    'line %s',
    // Each step stands on those before it: none is tried again.
    { retry: 0 },
    async (_name, block) => {
      const file = fileOf(block);
      if (file !== undefined) {
        await mkdir(dirname(join(tree, file)), { recursive: true });
        await rm(join(tree, file), { force: true });
        await writeFile(join(tree, file), `${block.text}\n`);
        return;
      }
      const { exitCode, output } = await run(block.text);
      expect(exitCode, output).toBe(instructionOf(block)?.exitCode);
      if (block.shown !== undefined) expect(missingLine(block.shown, output), output).toBeUndefined();
      // What changed outside is said in full, and nothing else changed.
      if (block.text.startsWith('git status')) expect(output.trim().split('\n').length).toBe(block.shown?.split('\n').length);
    },
  );
});
