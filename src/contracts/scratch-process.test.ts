import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HoldfastError } from '../base/errors.ts';
import { nodeHost } from '../host/node/node-host.ts';
import { type ScratchServer, startScratchProcess } from './scratch-process.ts';

const host = nodeHost({ logTo: 'silent' });
let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hf-scratch-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);
const pidIn = async (file: string): Promise<number> => Number(await readFile(file, 'utf8'));

/** Writes its own number, and goes on until it is told to end. */
const server = (script: string, more: Partial<ScratchServer> = {}): ScratchServer => ({
  name: 'a server',
  program: 'sh',
  args: ['-c', script, 'sh', join(directory, 'pid')],
  isReady: async () => existsSync(join(directory, 'pid')) && (await readFile(join(directory, 'pid'), 'utf8')).endsWith('\n'),
  readyTimeoutMs: 10_000,
  signal: new AbortController().signal,
  readLog: async () => 'its last words',
  ...more,
});
const lasting = 'echo $$ > "$1"; exec sleep 600';

it('is stopped, and stopping it again is harmless', async () => {
  const scratch = await startScratchProcess(host, server(lasting));
  const pid = await pidIn(join(directory, 'pid'));
  expect([isAlive(pid), scratch.isRunning]).toEqual([true, true]);
  await scratch.stop();
  expect([isAlive(pid), scratch.isRunning]).toEqual([false, false]);
  await scratch.stop();
});

it('one that ends while it starts, and one that never gets ready, are errors with its last words; neither runs on', async () => {
  const ends = await startScratchProcess(host, server('exit 3')).catch((error: unknown) => error as HoldfastError);
  expect(ends).toMatchObject({ code: 'BACKUP_TOOL_FAILED', message: 'a server ended while it was starting: its last words' });
  const never = server(lasting, { isReady: async () => false, readyTimeoutMs: 300 });
  await expect(startScratchProcess(host, never)).rejects.toMatchObject({
    message: expect.stringMatching(/not ready after 300 ms: its last words/),
  });
  expect(isAlive(await pidIn(join(directory, 'pid')))).toBe(false);
});

it('ends when it is told by the signal, also one that does not listen to a request', async () => {
  const controller = new AbortController();
  await startScratchProcess(host, server('trap "" TERM; echo $$ > "$1"; while :; do sleep 1; done', { signal: controller.signal }));
  const pid = await pidIn(join(directory, 'pid'));
  controller.abort(new Error('enough'));
  await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
});

it('does not outlive a process that is killed in an instant', async () => {
  const at = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
  const script = `
    const { nodeHost } = await import(${at('../host/node/node-host.ts')});
    const { startScratchProcess } = await import(${at('./scratch-process.ts')});
    await startScratchProcess(nodeHost({ logTo: 'silent' }), { name: 'x', program: 'sh', args: ['-c', ${JSON.stringify(lasting)}, 'sh', ${JSON.stringify(join(directory, 'pid'))}],
      isReady: async () => true, readyTimeoutMs: 1000, signal: new AbortController().signal, readLog: async () => '' });
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
  try {
    await expect.poll(() => existsSync(join(directory, 'pid')), { timeout: 20_000 }).toBe(true);
    await expect.poll(() => pidIn(join(directory, 'pid'))).toBeGreaterThan(0);
    const pid = await pidIn(join(directory, 'pid'));
    expect(isAlive(pid)).toBe(true);
    child.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  } finally {
    child.kill('SIGKILL');
  }
});
