/** The package as it is published, unpacked where there is no source and no node_modules. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildPackage } from './build.ts';

const root = resolve(import.meta.dirname, '..');
let place = '';

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'holdfast-package-'));
  await mkdir(join(place, 'package'));
  for (const name of ['bin', 'package.json']) await cp(join(root, name), join(place, 'package', name), { recursive: true });
  await buildPackage(join(place, 'package', 'dist'));
  await writeFile(
    join(place, 'holdfast.yaml'),
    `holdfast: v1
name: packed
regions: { east: { role: active }, west: { role: standby } }
components:
  db:
    driver: postgresql
    sites:
      east: { url: "postgresql://nobody@127.0.0.1:9/none" }
      west: { url: "postgresql://nobody@127.0.0.1:11/none" }
`,
  );
}, 60_000);
afterAll(() => rm(place, { recursive: true, force: true }));

function holdfast(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: `${dirname(process.execPath)}${delimiter}/usr/bin${delimiter}/bin`, HOME: place, NO_COLOR: '1' };
  return new Promise((done) =>
    execFile(join(place, 'package', 'bin', 'holdfast'), words, { cwd: place, env, timeout: 30_000 }, (error, stdout, stderr) =>
      done({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr }),
    ),
  );
}

it('runs without its source and without node_modules', async () => {
  const version = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')).version as string;
  expect((await holdfast('--version')).stdout.trim()).toBe(version);
  expect(await holdfast('validate', '--spec', 'holdfast.yaml')).toMatchObject({ code: 0, stderr: '' });
});

it('loads what a driver needs when it needs it, and says of a refused connection that it was refused', async () => {
  const checked = await holdfast('check', '--json', '--spec', 'holdfast.yaml', '--state', 'state');
  expect(checked.code, checked.stderr).toBe(3);
  expect(checked.stdout).toMatch(/refused/);
  expect(checked.stdout + checked.stderr).not.toMatch(/ERR_MODULE_NOT_FOUND|Cannot find/);
});

it('names the licence of each library whose code it carries', async () => {
  const text = await readFile(join(place, 'package', 'dist', 'THIRD-PARTY-LICENSES.txt'), 'utf8');
  for (const library of ['pg', 'zod', 'yaml', 'commander', 'redis'])
    expect(text).toMatch(new RegExp(`^(@redis/)?${library}\\b.* \\(`, 'm'));
});
