import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Secret } from '../../base/secret.ts';
import { nodeHost } from './node-host.ts';
import { nodeSecrets } from './secrets.ts';

const host = nodeHost({ logTo: 'silent' });
const directory = mkdtempSync(join(tmpdir(), 'hf-host-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('the monotonic clock is the same in two processes of one boot', () => {
  const beforeMs = host.clock.monotonicMs();
  const child = spawnSync(
    process.execPath,
    [
      '-e',
      `import(${JSON.stringify(join(import.meta.dirname, 'clock.ts'))}).then(({ nodeClock }) => { const c = nodeClock(); console.log(JSON.stringify([c.monotonicMs(), c.boot])); })`,
    ],
    { encoding: 'utf8' },
  );
  const [childMs, boot] = JSON.parse(child.stdout);
  expect(childMs).toBeGreaterThan(beforeMs);
  expect(childMs).toBeLessThan(host.clock.monotonicMs());
  expect(boot).toEqual(host.clock.boot);
});

test('sleep ends after its time, or rejects with the reason at once', async () => {
  const startedMs = host.clock.monotonicMs();
  await host.clock.sleep(20);
  expect(host.clock.monotonicMs() - startedMs).toBeGreaterThanOrEqual(19);
  const reason = new Error('enough');
  await expect(host.clock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
  const abort = new AbortController();
  const sleeping = host.clock.sleep(60_000, abort.signal);
  abort.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
});

test('after calls once, unless cancelled', async () => {
  let calls = 0;
  host.clock.after(5, () => (calls += 1));
  host.clock.after(5, () => (calls += 100))();
  await host.clock.sleep(30);
  expect(calls).toBe(1);
});

test('an atomic write replaces whole, keeps nothing beside, and takes its mode', async () => {
  const path = join(directory, 'file');
  await host.files.writeAtomically(path, 'one');
  await host.files.writeAtomically(path, new TextEncoder().encode('two'), { mode: 0o600 });
  expect(await host.files.readText(path)).toBe('two');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(['file']);
});

test('a failed atomic write leaves the old file and no remains', async () => {
  const parent = join(directory, 'taken');
  await host.files.makeDirectory(join(parent, 'name'), { mode: 0o700 });
  await host.files.makeDirectory(join(parent, 'name'));
  await expect(host.files.writeAtomically(join(parent, 'name'), 'x')).rejects.toMatchObject({ code: 'SYSTEM_REFUSED' });
  expect(await host.files.list(parent)).toEqual(['name']);
  await host.files.remove(parent);
  await host.files.remove(parent);
  expect(await host.files.exists(parent)).toBe(false);
});

test('a missing file is NOT_FOUND', async () => {
  await expect(host.files.readText(join(directory, 'nope'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(host.files.list(join(directory, 'nope'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('secrets come from the environment or a file, and say by name what is missing', async () => {
  const secrets = nodeSecrets({ SET: 'v', EMPTY: '' });
  expect((await secrets.fromEnvironment('SET')).reveal()).toBe('v');
  await expect(secrets.fromEnvironment('EMPTY')).rejects.toMatchObject({ code: 'SECRET_MISSING', subject: 'env:EMPTY' });
  await expect(secrets.fromEnvironment('UNSET')).rejects.toMatchObject({ code: 'SECRET_MISSING' });
  const path = join(directory, 'secret');
  writeFileSync(path, ' two words \n');
  expect((await secrets.fromFile(path)).reveal()).toBe(' two words ');
  writeFileSync(path, '\n');
  await expect(secrets.fromFile(path)).rejects.toMatchObject({ code: 'SECRET_MISSING' });
  await expect(secrets.fromFile('/nowhere')).rejects.toMatchObject({ code: 'SECRET_MISSING' });
});

test('the log writes one JSON object a line, at its level, without secrets', async () => {
  const path = join(directory, 'log', 'holdfast.log');
  const { log } = nodeHost({ logTo: path, logLevel: 'info' });
  log.debug('unseen');
  const fields = {
    password: 'hunter2',
    nested: [{ apiKey: 'hunter2' }],
    secret: new Secret('hunter2', 'test') as unknown as string,
    token: 7,
  };
  log.with({ component: 'db' }).warn('probe-failed', fields);
  await expect.poll(() => readFileSync(path, 'utf8').length).toBeGreaterThan(0);
  const line = JSON.parse(readFileSync(path, 'utf8'));
  expect(line).toMatchObject({
    level: 'warn',
    event: 'probe-failed',
    component: 'db',
    password: '[redacted]',
    nested: [{ apiKey: '[redacted]' }],
    secret: '[redacted]',
    token: 7,
  });
  expect(readFileSync(path, 'utf8')).not.toContain('hunter2');
});

test('a reader of the log that hangs delays nothing', () => {
  const script = `import(${JSON.stringify(join(import.meta.dirname, 'node-host.ts'))}).then(({ nodeHost }) => {
    const { log } = nodeHost();
    const from = performance.now();
    for (let i = 0; i < 20000; i += 1) log.info('event', { i, text: 'x'.repeat(500) });
    process.stdout.write(String(performance.now() - from), () => process.kill(process.pid, 'SIGKILL'));
  })`;
  // The shell never reads the pipe that is the program's standard error.
  const child = spawnSync('sh', ['-c', '{ "$0" -e "$1" 2>&1 >&3 | sleep 3; } 3>&1', process.execPath, script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(Number(child.stdout)).toBeGreaterThan(0);
  expect(Number(child.stdout)).toBeLessThan(2_500);
});
