import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const top = mkdtempSync(join(tmpdir(), 'holdfast-memory-'));
afterAll(() => rmSync(top, { recursive: true, force: true }));

/** In a process of its own: the most that a process has held never gets less. */
function run(...args: string[]): Promise<{ bytes: number; peakMb: number; key: string }> {
  const program = resolve(import.meta.dirname, 'memory-child.ts');
  return new Promise((done, failed) =>
    execFile(process.execPath, [program, ...args], { timeout: 55_000 }, (error, stdout) =>
      error === null ? done(JSON.parse(stdout)) : failed(error),
    ),
  );
}

it.each(['compressed', 'plain'])('a long backup is written and read back in less than 256 MB of memory: %s bytes', async (kind) => {
  const directory = mkdtempSync(join(top, kind));
  const written = await run('write', directory, kind);
  expect(written.bytes).toBeGreaterThanOrEqual(240e6);
  expect(written.peakMb).toBeLessThan(256);
  const read = await run('read', directory, written.key);
  expect(read.bytes).toBe(written.bytes);
  expect(read.peakMb).toBeLessThan(256);
  rmSync(directory, { recursive: true });
});
