/** What every driver's definition must be, whatever it drives: found by reading src/drivers, so that a new one is held to it without being named anywhere. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AnyDriver } from '../../src/contracts/driver.ts';
import { siteVerbs } from '../../src/contracts/verbs.ts';
import { faultsOfOptions } from './options-faults.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../src/drivers');
const names = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(root, entry.name, 'driver.ts')))
  .map((entry) => entry.name);

describe('options schemas', () => {
  it('are found wanting where they are', () => {
    const faulty = z.object({ a: z.string(), b: z.strictObject({ c: z.number() }).describe('b') });
    expect(faultsOfOptions(faulty, 'options')).toEqual([
      'options lets unknown keys pass',
      'options.a has no description',
      'options.b.c has no description',
    ]);
    expect(faultsOfOptions(z.strictObject({ a: z.string().describe('a') }), 'options')).toEqual([]);
  });
});

describe.each(names)('the driver %s', (name) => {
  const folder = join(root, name);
  const read = async (): Promise<AnyDriver> => {
    const module = (await import(join(folder, 'driver.ts'))) as { driver?: AnyDriver };
    if (!module.driver) throw new Error(`${name}/driver.ts has no export named driver`);
    return module.driver;
  };
  const readme = (): string => readFileSync(join(folder, 'README.md'), 'utf8');

  it('is named as its folder and described', async () => {
    const driver = await read();
    expect(driver.name).toBe(name);
    expect(driver.title.trim()).not.toBe('');
    expect(driver.summary).toMatch(/^[A-Z].*\.$/);
    expect(['data', 'workload', 'route', 'check']).toContain(driver.kind);
  });

  it('lists each verb once, with a guess of its time', async () => {
    const { verbs } = await read();
    const listed = verbs.map(({ verb }) => verb);
    expect(new Set(listed).size).toBe(listed.length);
    for (const { verb, typicalMs } of verbs) {
      expect(siteVerbs).toContain(verb);
      expect(typicalMs).toBeGreaterThan(0);
    }
  });

  it('describes every option and lets no unknown key pass', async () => {
    const driver = await read();
    expect([...faultsOfOptions(driver.componentOptions, 'component'), ...faultsOfOptions(driver.siteOptions, 'site')]).toEqual([]);
    expect(driver.componentOptions.safeParse({ 'no-such-key-at-all': 1 }).success).toBe(false);
  });

  it('has a README, and a fake or a reason in it why there is none', () => {
    expect(readme().trim().length).toBeGreaterThan(200);
    if (!existsSync(join(folder, 'fake.ts'))) expect(readme()).toMatch(/no fake|without a fake/i);
  });

  it('gives its metrics names of its own, as Prometheus wants them', async () => {
    for (const [name, help] of Object.entries((await read()).metrics ?? {})) {
      expect(name).toMatch(/^(?!holdfast_)[a-z]+(_[a-z]+)+$/);
      expect(help, name).toMatch(/^[A-Z0-9].*[^.]$/);
    }
  });

  it('can open a site, and has a canary only where it keeps data', async () => {
    const { open, hasCanary, kind } = await read();
    expect(open).toBeTypeOf('function');
    if (hasCanary) expect(kind).toBe('data');
  });
});

it('there are drivers', () => {
  expect(names.length).toBeGreaterThan(0);
});
