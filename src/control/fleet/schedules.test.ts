import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { MemoryBackend } from '../../../test/fakes/memory-backend.ts';
import { type ToyController, ToyPlatform } from '../../../test/fakes/toy-control.ts';
import { toyFleetText } from '../../../test/fakes/toy-platform.ts';
import { ToyStoreBackups } from '../../../test/fakes/toy-store-backups.ts';
import { listExecutions, listOpenExecutions } from '../../state/journal.ts';
import { RepositoryOpener } from '../backups/repository-opener.ts';

const minuteMs = 60_000;
let platform: ToyPlatform;
afterEach(() => platform.close());

/** Compression has threads of its own: while an execution is under way real time has to go by beside the virtual one. */
const until = async (holds: () => boolean | Promise<boolean>, withinMs = 30_000, stepMs = 250) => {
  for (let goneMs = 0; goneMs <= withinMs; goneMs += stepMs) {
    if (await holds()) return;
    await platform.host.clock.advance(stepMs);
    if ((await listOpenExecutions(platform.state.open())).length > 0) await delay(1);
  }
  throw new Error(`it did not come to hold within ${withinMs} ms of virtual time`);
};

it('[X-02] schedules and archives go on under the next lead: each backup is begun once in the whole fleet, and one that was under way is ended', async () => {
  const text = toyFleetText('{ automatic: false, grace: 2s }', 'repositories: { main: { driver: memory } }').replace(
    'replication: synchronous',
    'replication: synchronous\n    backup:\n      - { what: base, every: "* * * * *", jitter: 0% }\n      - { what: log, continuous: true, keep: 7d }',
  );
  const backups = new ToyStoreBackups();
  const backend = new MemoryBackend({ nowMs: () => platform.host.clock.nowMs() });
  platform = new ToyPlatform(text, { driver: backups, backend });
  const opener = new RepositoryOpener({ catalog: platform.repositories, host: platform.host, platform: 'toy' });
  await opener.create({ name: 'main', driver: 'memory', options: {} }, async () => '', new AbortController().signal);
  const all = new Map<string, ToyController>();
  for (const region of ['north', 'west', 'east']) all.set(region, await platform.serve({ region }));

  const begun = async () => (await listExecutions(platform.state.open())).filter((each) => each.kind === 'backup').reverse();
  const leading = async () => (await platform.state.open().readLease('serve'))?.holder.split('/')[0] ?? '';
  const done = async () => (await begun()).filter((each) => each.status === 'done');
  await until(async () => (await done()).length === 1);
  await until(() => backups.archivedFrom.length === 1);

  // The next one is under way when its runner, which leads, is killed.
  let killed = false;
  backups.duringTake = async () => {
    if (killed) return;
    killed = true;
    all.get(await leading())?.kill();
    await new Promise(() => {});
  };
  await until(() => killed, 2 * minuteMs);
  await until(async () => (await begun()).length >= 2 && (await begun()).every((each) => each.endedAtMs !== undefined), minuteMs);
  await until(async () => (await begun()).length === 4 && (await begun()).every((each) => each.endedAtMs !== undefined), 3 * minuteMs);

  const executions = await begun();
  const instants = executions.slice(1).map((each) => Math.floor(each.startedAtMs / minuteMs));
  expect(new Set(instants).size).toBe(instants.length);
  expect(executions.map((each) => each.startedBy.split('/')[0])).toEqual(['north', 'west', 'north', 'north']);
  // Whoever leads archives, and nobody else.
  expect(backups.archivedFrom).toEqual(['east', 'east', 'east']);
});
