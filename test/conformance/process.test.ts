/** What the process driver promises of programs that it keeps itself, on real processes. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/process/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { waitFor } from '../systems/http-service.ts';
import { plainHands } from '../systems/plain-hands.ts';
import { processesOf, readProcess, signalEach } from '../systems/process-tree.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { openDriverSite } from './open-site.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const signal = () => AbortSignal.timeout(10_000);

describe('programs kept by pid file', () => {
  let dir: string;
  const members = () => processesOf([], [dir]);
  const optionsFor = (program: readonly string[], more: object = {}) => ({
    processes: { job: { program, 'pid-file': join(dir, 'job.pid'), directory: dir, 'stop-grace': '300ms', ...more } },
  });
  const open = (program: readonly string[], more?: object): Site =>
    openDriverSite(driver, { host, options: optionsFor(program, more), site: {}, hands: plainHands(host) });
  const recordedPid = async () => Number((await readFile(join(dir, 'job.pid'), 'utf8')).split(' ')[0]);

  beforeEach(async () => {
    dir = await temporaryDirectory('program');
  });
  afterEach(async () => {
    for (; members().length > 0; await host.clock.sleep(10)) signalEach(members(), 'SIGKILL');
    await removeDirectory(dir);
  });

  it('starts one process however many controllers start it at once', async () => {
    const starts = Array.from({ length: 6 }, () =>
      open(['sleep', '300']).verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal())),
    );
    await Promise.all(starts);
    expect(members().map(({ pid }) => pid)).toEqual([await recordedPid()]);
  });

  it.each([0, 5, 10, 15, 20, 30, 45, 70])(
    'has one process after a controller was killed %d ms into the start and another went on',
    async (delayMs) => {
      const program = ['sleep', '300'];
      const fixture = fileURLToPath(new URL('./fixtures/scaling-controller.ts', import.meta.url));
      const controller = spawn(process.execPath, [fixture, JSON.stringify(optionsFor(program))], {
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: '/',
      });
      try {
        await new Promise<void>((resolve, reject) => {
          controller.stdout.on('data', (text: Buffer) => text.toString().includes('note 1') && resolve());
          controller.once('exit', () => reject(new Error('the controller ended by itself')));
        });
        await host.clock.sleep(delayMs);
      } finally {
        controller.kill('SIGKILL');
      }
      const journal = newJournal();
      journal.note = { size: 'full', previous: 0, answered: false };
      expect(await runStep(host, open(program), 'scale', { size: 'full' }, journal)).toEqual({ wanted: 1, previous: 0 });
      // What the dead controller had begun may end only now; it must not add a second one.
      await waitFor(() => members().length === 1, 'a single process');
      expect(members()[0]?.pid).toBe(await recordedPid());
    },
  );

  it('kills after the grace what ignores SIGTERM, with its children', async () => {
    const site = open(['sh', '-c', 'trap "" TERM; sleep 301 & sleep 302; wait']);
    await runStep(host, site, 'scale', { size: 'full' });
    await waitFor(() => members().length === 3, 'the program and its children');
    const before = performance.now();
    await runStep(host, site, 'scale', { size: 'none' });
    expect(performance.now() - before).toBeGreaterThanOrEqual(250);
    expect(members()).toEqual([]);
  });

  it('lets a program end by itself on SIGTERM', async () => {
    const site = open(['sh', '-c', 'trap "echo bye; exit 0" TERM; while :; do sleep 0.02; done'], { 'stop-grace': '5s' });
    await runStep(host, site, 'scale', { size: 'full' });
    await runStep(host, site, 'scale', { size: 'none' });
    expect(await readFile(join(dir, 'job.pid.log'), 'utf8')).toContain('bye');
  });

  it('never signals a process that was given the recorded pid', async () => {
    const site = open(['sleep', '300']);
    await runStep(host, site, 'scale', { size: 'full' });
    signalEach(members(), 'SIGKILL');
    await waitFor(() => members().length === 0, 'the program to be gone');
    const bystander = spawn('sleep', ['303'], { cwd: '/', detached: true, stdio: 'ignore' });
    try {
      const [, ...rest] = (await readFile(join(dir, 'job.pid'), 'utf8')).split(' ');
      await writeFile(join(dir, 'job.pid'), `${bystander.pid} ${rest.join(' ')}`);
      expect(await site.observe(signal())).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
      await site.verbs.scale?.apply({ size: 'none' }, stepContext(host, newJournal()));
      expect(readProcess(bystander.pid as number)).toBeDefined();
    } finally {
      bystander.kill('SIGKILL');
    }
  });

  it('passes arguments on as they are and never reads them as shell', async () => {
    const nasty = [`$(touch ${dir}/owned)`, '; touch owned', '"quo\'te"', '* ', ''];
    const site = open(['sh', '-c', `printf '%s\\n' "$@" >${dir}/seen; exec sleep 300`, 'sh', ...nasty]);
    await runStep(host, site, 'scale', { size: 'full' });
    await waitFor(async () => (await readFile(join(dir, 'seen'), 'utf8').catch(() => '')) === `${nasty.join('\n')}\n`, 'the arguments');
    await expect(readFile(join(dir, 'owned'))).rejects.toThrow('ENOENT');
  });

  it('says which program is missing', async () => {
    const start = open(['no-such-program']).verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal()));
    await expect(start).rejects.toMatchObject({ code: 'HANDS_NO_PROGRAM', message: 'no-such-program is not installed on local' });
  });

  it('says how many of its processes run, by name of those that do not', async () => {
    const options = {
      processes: {
        ...optionsFor(['sleep', '300']).processes,
        other: { program: ['sleep', '304'], 'pid-file': join(dir, 'other.pid'), directory: dir },
      },
    };
    const site = openDriverSite(driver, { host, options, site: {}, hands: plainHands(host) });
    await runStep(host, site, 'scale', { size: 'full' });
    expect(await site.observe(signal())).toMatchObject({ health: 'up', replicas: { wanted: 2, ready: 2 } });
    process.kill(await recordedPid(), 'SIGKILL');
    await waitFor(() => members().length === 1, 'one to be gone');
    const reading = await site.observe(signal());
    expect(reading).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: 'not running on local: job' },
      replicas: { wanted: 2, ready: 1 },
    });
    const other = members()[0]?.pid;
    await runStep(host, site, 'scale', { size: 'full' });
    expect(members()).toHaveLength(2);
    expect(members().map(({ pid }) => pid)).toContain(other);
  });
});

describe('options of processes', () => {
  const validate = (options: unknown, site: unknown) => {
    const parsed = driver.componentOptions.parse(options);
    return driver
      .validate?.({ options: parsed, sites: new Map([['east', driver.siteOptions.parse(site)]]), replication: 'asynchronous' })
      .map(({ path, message }) => `${path.join('.')}: ${message}`);
  };
  it('names what is missing or contradicts itself', () => {
    expect(validate({}, {})).toEqual(['sites.east: no processes are named']);
    expect(validate({ processes: { a: { program: ['a'] } } }, {})).toEqual(['processes.a: program has no pid-file in east']);
    expect(validate({ processes: { a: { start: ['a'], program: ['a'], 'pid-file': '/a' } } }, {})).toEqual([
      'processes.a.start: start and program exclude each other',
    ]);
    expect(validate({ processes: { a: { start: ['a'], stop: ['a'] } } }, {})).toEqual(['processes.a: status is missing in east']);
    expect(validate({ health: {}, processes: { a: { program: ['a'] } } }, { processes: { a: { 'pid-file': '/a' } } })).toEqual([
      'sites.east: health and smoke need the url of the site',
    ]);
  });
  it('refuses a single text where a list is needed, for it would need a shell', () => {
    expect(() => driver.componentOptions.parse({ processes: { a: { start: 'systemctl start a' } } })).toThrow();
  });
});
