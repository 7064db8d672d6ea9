/** Real processes on a real SQLite file, killed with SIGKILL at random instants until one of them ends the execution. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { createExecution, loadExecution } from '../../src/state/journal.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { madeUpPlan, madeUpStep } from './fake-platform.ts';

const fixture = join(import.meta.dirname, 'kill-fixture.ts');
const node = join(import.meta.dirname, '../../node_modules/.bin/node');
const stepCount = 120;
const killsWanted = 6;

let directory: string | undefined;
let child: ChildProcess | undefined;
afterEach(async () => {
  child?.kill('SIGKILL');
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

it('[X-02] [I4] killed at random instants, the execution ends with each effect having happened once', { timeout: 60_000 }, async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-kill-'));
  const effects = join(directory, 'effects');
  await mkdir(effects);
  const path = join(directory, 'state.db');
  const host = nodeHost({ logTo: 'silent' });
  const store = await openSqliteStore({ path, host, platform: 'orders' });
  const steps = Array.from({ length: stepCount }, (_, place) => madeUpStep(`s${place}`, { after: place < 3 ? [] : [`s${place - 3}`] }));
  const { id } = await createExecution(store, host, { plan: madeUpPlan(steps), startedBy: 'ann', reason: 'a test', specDigest: 'abc' });
  let outcome = '';
  let kills = 0;
  for (let life = 1; outcome === ''; life += 1) {
    const before = (await readdir(effects)).length;
    const running = spawn(node, [fixture, path, id, effects, `life-${life}`], { stdio: ['ignore', 'pipe', 'pipe'] });
    child = running;
    running.stdout.on('data', (text: Buffer) => {
      outcome += text.toString().trim();
    });
    let complaints = '';
    running.stderr.on('data', (text: Buffer) => {
      complaints += text.toString();
    });
    const ended = new Promise<void>((resolve) => running.once('close', () => resolve()));
    if (kills < killsWanted) {
      // It must get somewhere first; then at any instant.
      const hasEnded = () => running.exitCode !== null;
      while (!hasEnded() && (await readdir(effects)).length < before + 3) await sleep(1);
      await sleep(Math.random() * 25);
      if (running.kill('SIGKILL')) kills += 1;
    }
    await ended;
    if (running.exitCode !== null) expect(running.exitCode, complaints).toBe(0);
  }
  const { state, events } = await loadExecution(store, id);
  await store.close();
  expect(outcome).toBe('done');
  expect(state.outcome).toBe('done');
  expect(kills).toBe(killsWanted);
  expect(events.filter((event) => event.type === 'runner-changed').length).toBeGreaterThanOrEqual(killsWanted);
  const lines = await Promise.all(steps.map((step) => readFile(join(effects, step.id), 'utf8')));
  expect(lines.filter((text) => text.trim().split('\n').length !== 1)).toEqual([]);
});
