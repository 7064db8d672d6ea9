import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { secretReference } from '../src/contracts/secret-reference.ts';
import { flattenOptions } from './generate/flatten-options.ts';
import { loadDrivers, loadRepositories } from './generate/load-drivers.ts';
import { findStale, writeStale } from './generate/outputs.ts';
import { writeDriverReference } from './generate/write-driver-reference.ts';
import { writeRegistry } from './generate/write-registry.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-generate-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function addDriver(folder: string, text: string | undefined): void {
  mkdirSync(join(root, folder), { recursive: true });
  if (text !== undefined) writeFileSync(join(root, folder, 'driver.ts'), text);
}

describe('what is out of date', () => {
  const outputs = [
    { path: 'docs/a.md', text: 'a\n' },
    { path: 'docs/b.md', text: 'b\n' },
  ];

  it('is found where a file is missing or differs, and gone once written', () => {
    expect(findStale(root, outputs)).toEqual(['docs/a.md', 'docs/b.md']);
    expect(writeStale(root, outputs)).toEqual(['docs/a.md', 'docs/b.md']);
    expect(findStale(root, outputs)).toEqual([]);
    writeFileSync(join(root, 'docs', 'b.md'), 'changed by hand\n');
    expect(findStale(root, outputs)).toEqual(['docs/b.md']);
    expect(writeStale(root, outputs)).toEqual(['docs/b.md']);
  });
});

describe('drivers', () => {
  it('are loaded in the order of their names', async () => {
    addDriver('b-two', "export const driver = { name: 'b-two' };");
    addDriver('a-one', "export const driver = { name: 'a-one' };");
    const { drivers, problems } = await loadDrivers(root);
    expect(problems).toEqual([]);
    expect(drivers.map(({ name }) => name)).toEqual(['a-one', 'b-two']);
    const registry = writeRegistry(drivers, []);
    expect(registry).toContain("import { driver as aOneDriver } from './drivers/a-one/driver.ts';");
    expect(registry.indexOf('aOneDriver')).toBeLessThan(registry.indexOf('bTwoDriver'));
  });

  it('that can not be used are named, and left out', async () => {
    addDriver('absent', undefined);
    addDriver('broken', "throw new Error('not today');");
    addDriver('misnamed', "export const driver = { name: 'other' };");
    addDriver('nameless', 'export const other = 1;');
    const { drivers, problems } = await loadDrivers(root);
    expect(drivers).toEqual([]);
    expect(problems).toEqual([
      'absent has no driver.ts: it is left out',
      expect.stringContaining('not today'),
      expect.stringContaining('calls itself "other"'),
      expect.stringContaining('exports no "driver"'),
    ]);
  });
});

describe('repositories', () => {
  it('are loaded as drivers are, and registered beside them', async () => {
    mkdirSync(join(root, 'tape-robot'));
    writeFileSync(join(root, 'tape-robot', 'backend.ts'), "export const backend = { name: 'tape-robot' };");
    mkdirSync(join(root, 'empty'));
    const { repositories, problems } = await loadRepositories(root);
    expect(problems).toEqual(['empty has no backend.ts: it is left out']);
    const registry = writeRegistry([], repositories);
    expect(registry).toContain("import { backend as tapeRobotRepository } from './repositories/tape-robot/backend.ts';");
    expect(registry).toContain('  tapeRobotRepository,');
  });
});

describe('the reference', () => {
  const options = z.strictObject({
    health: z.strictObject({ path: z.string().default('/').describe('Where to ask') }).describe('How it answers'),
    password: secretReference.optional().describe('Of the user'),
    checks: z
      .array(z.strictObject({ share: z.int().min(1).max(9).describe('How much') }))
      .optional()
      .describe('Looks'),
    mode: z.enum(['fast', 'safe']).describe('Which way'),
  });

  it('lists nested keys by their path, secrets as secrets', () => {
    expect(flattenOptions(options).map(({ key, type, required, default: preset }) => [key, type, required, preset])).toEqual([
      ['health', 'object', true, undefined],
      ['health.path', 'text', false, '"/"'],
      ['password', 'secret', false, undefined],
      ['checks', 'list of objects', false, undefined],
      ['checks[].share', 'whole number from 1 to 9', true, undefined],
      ['mode', '`fast`, `safe`', true, undefined],
    ]);
  });

  it('names verbs, hands and each key of a driver', () => {
    const text = writeDriverReference(
      [
        {
          name: 'thing',
          title: 'Thing',
          summary: 'Does things.',
          kind: 'workload',
          verbs: [{ verb: 'scale', needsHands: true, typicalMs: 1500 }],
          hasCanary: false,
          componentOptions: options,
          siteOptions: z.strictObject({}),
          open: () => {
            throw new Error('never opened here');
          },
        },
      ],
      () => true,
    );
    expect(text).toContain('| `scale` | yes | 1.5 s |');
    expect(text).toContain('| `health.path` | text | `"/"` | Where to ask |');
    expect(text).toContain('../../src/drivers/thing/README.md');
    expect(text).toContain('None of its own.');
  });
});
