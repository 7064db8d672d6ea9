/** The demo as anybody runs it: it holds, says so in one line of JSON, leaves its report, and nothing else; also when it is interrupted. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { directoryVariable } from '../systems/memory-directory.ts';
import { isAlive, type ProcessIdentity, readProcess } from '../systems/process-tree.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { watchProcess } from '../systems/watchdog-client.ts';
import { nodeProgram, until } from './holdfast-program.ts';

const keys = [
  'outageMs',
  'acknowledged',
  'lost',
  'lossMeasuredByCanary',
  'failoverMs',
  'promoteToRouteMs',
  'failbackMs',
  'failbackLost',
  'epoch',
  'report',
];

/** Everything that a process has started, and where it worked, noted while it runs. */
class Descendants {
  readonly #root: number;
  readonly #seen = new Map<string, ProcessIdentity>();
  readonly directories = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(root: number) {
    this.#root = root;
    this.#timer = setInterval(() => this.#look(), 100);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  alive(): number[] {
    return [...this.#seen.values()].filter(isAlive).map(({ pid }) => pid);
  }

  get count(): number {
    return this.#seen.size;
  }

  #look(): void {
    const ours = new Set([this.#root, ...[...this.#seen.values()].map(({ pid }) => pid)]);
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const pid = Number(entry);
      const process = readProcess(pid);
      if (!process || pid === this.#root || !(ours.has(process.parent) || this.#worksIn(pid))) continue;
      ours.add(pid);
      this.#seen.set(`${pid} ${process.startTicks}`, { pid, startTicks: process.startTicks });
      const directory = workingDirectory(pid)?.match(/^\/tmp\/holdfast-[^/]+/)?.[0];
      if (directory) this.directories.add(directory);
    }
  }

  /** Daemons are nobody's children: what they work in tells whose they are. */
  #worksIn(pid: number): boolean {
    const directory = workingDirectory(pid);
    return directory !== undefined && [...this.directories].some((each) => directory.startsWith(each));
  }
}

function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined; // It has ended.
  }
}

describeSystem(['postgresql', 'redis', 'bind', 'sshd', 'etcd'], 'npm run demo', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await temporaryDirectory('demo-test');
  });
  afterAll(() => removeDirectory(directory));

  const start = (reports: string, ...words: string[]) => {
    const program = join(repositoryDirectory, 'examples', 'demo', 'demo.ts');
    // Its servers lie where a user's would.
    const { [directoryVariable]: _place, ...env } = process.env;
    const child = spawn(nodeProgram, [program, ...words, '--json', '--report-directory', reports], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const pid = child.pid as number;
    const startTicks = readProcess(pid)?.startTicks;
    if (startTicks !== undefined) watchProcess({ pid, startTicks });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const ended = new Promise<{ exitCode: number | null; out: string; err: string }>((resolve) =>
      child.once('close', (exitCode) => resolve({ exitCode, out, err })),
    );
    return { child, ended, descendants: new Descendants(pid), heard: () => err };
  };
  const expectNothingLeft = async (descendants: Descendants) => {
    // The watchdog and the last sessions end after the program itself.
    await until('everything has ended', () => (descendants.alive().length === 0 ? true : undefined), 10_000).catch(() => undefined);
    descendants.stop();
    const left = descendants.alive().map((pid) => `${pid} ${readCommand(pid)}`);
    expect(left).toEqual([]);
    expect([...descendants.directories].filter((each) => existsSync(each))).toEqual([]);
    expect(descendants.count).toBeGreaterThan(10);
    expect(descendants.directories.size).toBeGreaterThan(3);
  };

  it('holds: exit 0, one line of JSON, nothing lost, a report for people and one for programs, nothing left behind', async () => {
    const reports = join(directory, 'whole');
    const { ended, descendants } = start(reports);
    const { exitCode, out, err } = await ended;
    expect(exitCode, err.slice(-3_000)).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(1);
    const answer = JSON.parse(lines[0] as string) as Record<string, unknown>;
    for (const key of keys) expect(answer).toHaveProperty(key);
    expect(answer).toMatchObject({ lost: 0, lossMeasuredByCanary: 0, failbackLost: 0, epoch: 3 });
    expect(answer.acknowledged).toBeGreaterThan(100);
    for (const key of ['outageMs', 'failoverMs', 'promoteToRouteMs', 'failbackMs']) expect(answer[key]).toBeGreaterThan(0);
    const page = readFileSync(String(answer.report), 'utf8');
    expect(page).toContain('Everything held.');
    expect(page).toContain(`${answer.outageMs} ms`);
    const facts = JSON.parse(readFileSync(String(answer.report).replace(/\.md$/, '.json'), 'utf8')) as Record<string, unknown>;
    for (const key of keys.filter((each) => each !== 'report')) expect(facts[key]).toEqual(answer[key]);
    await expectNothingLeft(descendants);
  });

  it('[S1-01] regions: three controllers and etcd; a region dies with its controller and its part of the state, and nothing is lost', async () => {
    const { ended, descendants } = start(join(directory, 'regions'), 'regions');
    const { exitCode, out, err } = await ended;
    expect(exitCode, err.slice(-3_000)).toBe(0);
    const answer = JSON.parse(out.trimEnd()) as Record<string, unknown>;
    for (const key of keys) expect(answer).toHaveProperty(key);
    expect(answer).toMatchObject({ lost: 0, lossMeasuredByCanary: 0, failbackLost: 0, epoch: 3 });
    expect(err).toContain('its member of etcd and its controller');
    await expectNothingLeft(descendants);
  });

  it('interrupted in the middle of the disaster: ends by itself, not with success, and leaves nothing behind', async () => {
    const { child, ended, descendants, heard } = start(join(directory, 'interrupted'));
    await until('the region is killed', () => (heard().includes('kill -9') ? true : undefined), 60_000);
    child.kill('SIGINT');
    const { exitCode, out } = await ended;
    expect(exitCode).toBe(1);
    expect(out).toBe('');
    await expectNothingLeft(descendants);
  });

  it('interrupted while it builds: the same', async () => {
    const { child, ended, descendants } = start(join(directory, 'early'));
    await until('servers run', () => (descendants.directories.size > 3 ? true : undefined), 60_000);
    child.kill('SIGINT');
    expect((await ended).exitCode).toBe(1);
    await expectNothingLeft(descendants);
  });
});

function readCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').slice(0, 120);
  } catch {
    return ''; // It has ended.
  }
}
