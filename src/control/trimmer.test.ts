import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { madeUpPlan, madeUpStep } from '../../test/engine/fake-platform.ts';
import { MemoryBackend } from '../../test/fakes/memory-backend.ts';
import { ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toySpecText } from '../../test/fakes/toy-platform.ts';
import { ToyStoreBackups } from '../../test/fakes/toy-store-backups.ts';
import type { StateStore } from '../contracts/state-store.ts';
import type { ExecutionHeader } from '../state/execution-state.ts';
import { closingChanges, createExecution, listExecutions } from '../state/journal.ts';
import { readTrimmed } from '../state/trim-executions.ts';
import { RepositoryOpener } from './backups/repository-opener.ts';

const text = toySpecText(
  '{ automatic: false, grace: 1s }',
  'repositories: { main: { driver: memory } }\ncontrollers: { keep-executions: 10 }\n',
);
let platform: ToyPlatform;
let opener: RepositoryOpener;
let state: StateStore;

beforeEach(async () => {
  const backend = new MemoryBackend({ nowMs: () => platform.host.clock.nowMs() });
  platform = new ToyPlatform(text, { driver: new ToyStoreBackups(), backend });
  opener = new RepositoryOpener({ catalog: platform.repositories, host: platform.host, platform: 'toy' });
  state = platform.state.open();
  for (let count = 0; count < 13; count += 1) {
    const what = { plan: madeUpPlan([madeUpStep('a')]), startedBy: 'ann', reason: `number ${count}`, specDigest: '' };
    const header = await createExecution(state, platform.host, what);
    await state.commit(closingChanges(header as ExecutionHeader, 'done', platform.host.clock.nowMs()));
    await platform.host.clock.advance(1_000);
  }
});
afterEach(() => platform.close());

const serveFor = async (seconds: number) => {
  await platform.serve();
  for (let second = 0; second < seconds; second += 1) {
    await platform.host.clock.advance(1_000);
    // Compression has threads of its own, which take real time.
    if (second % 60 === 0) await delay(1);
  }
  await delay(20);
};

test('what is served lets old executions go to the repository, some minutes after it began', async () => {
  const made = await opener.create({ name: 'main', driver: 'memory', options: {} }, async () => '', new AbortController().signal);
  await serveFor(660);
  await expect.poll(async () => (await listExecutions(state)).length, { timeout: 5_000 }).toBe(10);
  expect((await listExecutions(state)).map(({ reason }) => reason).toReversed()[0]).toBe('number 3');
  expect(await readTrimmed(state)).toMatchObject({ count: 3, place: 'repository main' });
  await made.close();
}, 60_000);

test('with a repository that nobody has made all of them stay', async () => {
  await serveFor(660);
  expect(await listExecutions(state)).toHaveLength(13);
}, 60_000);
