/** Every command of the README and of the guide is run, and every spec in them is loaded: what a document says must be so. */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { driverCatalog, repositoryCatalog } from '../../src/registry.generated.ts';
import { faultsOf, loadSpec } from '../../src/spec/load-spec.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type Block, instructionOf, missingLine, parseBlocks } from './document-blocks.ts';
import { type Place, Places, placeNames, readDocument } from './places.ts';

const guide = readdirSync(join(repositoryDirectory, 'docs', 'guide'), { recursive: true, encoding: 'utf8' });
/** Followed by a test of its own, in a tree where the driver that it writes is there. */
const followedElsewhere = 'write-a-driver.md';
const documents = [
  'README.md',
  'docs/split-brain.md',
  ...guide.filter((name) => name.endsWith('.md') && name !== followedElsewhere).map((name) => `docs/guide/${name}`),
].sort();
const blocksOf = new Map<string, readonly Block[]>();
for (const document of documents) blocksOf.set(document, parseBlocks(document, await readDocument(document)));
const all = [...blocksOf.values()].flat();
const isShell = (block: Block) => ['sh', 'bash', 'shell', 'console'].includes(block.language);
const nameOf = (block: Block) => `${block.document}:${block.line} ${block.text.split('\n')[0]}`;

/** Maps are merged, everything else is replaced. */
function laidOver(under: unknown, over: unknown): unknown {
  const isMap = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMap(under) || !isMap(over)) return over;
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) merged[key] = key in under ? laidOver(under[key], value) : value;
  return merged;
}

/** The block as a whole spec. */
function wholeSpec(block: Block): string {
  if (block.note !== 'with the spec above') return block.text;
  const before = (blocksOf.get(block.document) ?? []).filter(
    (each) => each.language === 'yaml' && each.line < block.line && each.note !== 'with the spec above',
  );
  const base = before.at(-1);
  if (!base) throw new Error(`${nameOf(block)}: there is no whole spec above`);
  return stringify(laidOver(parse(base.text), parse(block.text)));
}

describe('documents', () => {
  it('say of each block of commands where it runs, or why not', () => {
    expect(all.filter(isShell).length).toBeGreaterThan(10);
    for (const block of all.filter(isShell)) {
      const instruction = instructionOf(block);
      if (instruction) expect(placeNames, nameOf(block)).toContain(instruction.place);
    }
  });

  it('show nothing whose origin is not said', () => {
    const afterRun = new Set(all.filter((block) => isShell(block) && block.shown !== undefined).map((block) => block.shown));
    for (const block of all) {
      expect(['sh', 'yaml', 'text', 'ini', 'sql'], nameOf(block)).toContain(block.language);
      if (block.language === 'text' && !afterRun.has(block.text)) expect(block.note, nameOf(block)).toMatch(/^shown: /);
    }
  });

  it.each(all.filter((block) => block.language === 'yaml').map((block) => [nameOf(block), block] as const))(
    'load: %s',
    async (_name, block) => {
      const directory = await mkdtemp(join(tmpdir(), 'holdfast-docs-'));
      try {
        const file = join(directory, 'holdfast.yaml');
        await writeFile(file, wholeSpec(block));
        const spec = await loadSpec([file], {
          catalog: driverCatalog,
          repositories: repositoryCatalog,
          host: nodeHost({ logTo: 'silent' }),
          resolveSecrets: false,
        }).catch((error) => {
          throw new Error(
            faultsOf(error)
              .map((fault) => `${fault.line}: ${fault.message} (${fault.hint})`)
              .join('\n') || String(error),
          );
        });
        expect(spec.components.size).toBeGreaterThan(0);
      } finally {
        await rm(directory, { recursive: true });
      }
    },
  );
});

describe('the notes on blocks', () => {
  const blocks = (markdown: string) => parseBlocks('x.md', markdown);
  const fence = '```';
  it('a block of commands without one is refused', () => {
    const [block] = blocks(`Text.\n\n${fence}sh\nholdfast status\n${fence}\n`);
    expect(() => instructionOf(block as Block)).toThrow('x.md:3: nothing says where this block runs');
  });
  it('say place, exit code and what is printed', () => {
    const [block] = blocks(
      `<!-- run: platform; exit: 3 -->\n\n${fence}sh\nholdfast check\n${fence}\n\n${fence}text\nAT … RISK\n${fence}\n`,
    );
    expect(instructionOf(block as Block)).toEqual({ place: 'platform', exitCode: 3, background: false });
    expect(missingLine((block as Block).shown ?? '', 'x\n AT  some RISK')).toBeUndefined();
    expect(missingLine((block as Block).shown ?? '', 'AT some risk')).toBe('AT … RISK');
  });
});

describeSystem(['postgresql', 'redis', 'bind', 'sshd'], 'commands of the documents', () => {
  const withCommands = documents.filter((document) =>
    (blocksOf.get(document) ?? []).some((block) => isShell(block) && instructionOf(block)),
  );
  const shared = new Map<string, Place>();
  afterAll(async () => {
    for (const place of shared.values()) await place.stop();
  }, 60_000);
  describe.each(withCommands)('%s', (document) => {
    const places = new Places(shared);
    const runnable = (blocksOf.get(document) ?? []).filter((block) => isShell(block) && instructionOf(block) !== undefined);
    afterAll(async () => {
      const codes = await places.close();
      expect(codes, 'what was left running ends in an orderly way').toEqual(codes.map(() => 0));
    }, 60_000);

    it.each(runnable.map((block) => [nameOf(block), block] as const))(
      '%s',
      async (_name, block) => {
        const instruction = instructionOf(block);
        if (!instruction) return;
        const { place, exitCode, background } = instruction;
        const ran = background ? await places.startInBackground(place, block.text, block.shown ?? '') : await places.run(place, block.text);
        expect(ran.exitCode, ran.output).toBe(exitCode);
        if (block.shown !== undefined) expect(missingLine(block.shown, ran.output), ran.output).toBeUndefined();
      },
      120_000,
    );
  });
});
