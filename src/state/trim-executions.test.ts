import { beforeEach, expect, test } from 'vitest';
import { madeUpPlan, madeUpStep } from '../../test/engine/fake-platform.ts';
import { type FakeHost, fakeHost } from '../../test/fakes/host.ts';
import { memoryState } from '../../test/fakes/memory-store.ts';
import { makeWorld } from '../../test/fakes/repository-world.ts';
import { fail } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { type ExecutionHeader, foldExecution } from './execution-state.ts';
import { closingChanges, createExecution, eventChange, journalKeys, listExecutions, loadExecution } from './journal.ts';
import { type JournalEvent, sealEvent } from './journal-events.ts';
import { readTrimmed, type TrimRequest, trimExecutions } from './trim-executions.ts';

let host: FakeHost;
let store: StateStore;
let ids: string[];

beforeEach(async () => {
  host = fakeHost();
  store = memoryState(host.clock).open();
  ids = [];
  for (let count = 0; count < 6; count += 1) ids.push(await finished());
});

/** One that has run, and ended unless told otherwise. */
async function finished(ended = true): Promise<string> {
  await host.clock.advance(1_000);
  const header = await createExecution(store, host, {
    plan: madeUpPlan([madeUpStep('a')]),
    startedBy: 'ann',
    reason: 'a test',
    specDigest: '',
  });
  const { lastSeq, lastHash } = (await loadExecution(store, header.id)).state;
  const event = sealEvent({ type: 'started', data: { holder: 'one', token: 1 } }, { seq: lastSeq, hash: lastHash }, host.clock.nowMs());
  const changes = ended ? closingChanges(header as ExecutionHeader, 'done', host.clock.nowMs()) : [];
  await store.commit([eventChange(header.id, event), ...changes]);
  return header.id;
}

const request = (archive: TrimRequest['archive'], more: Partial<TrimRequest> = {}): TrimRequest => ({
  keep: 2,
  needed: new Set(),
  place: 'repository main',
  mayAct: () => true,
  log: host.log,
  archive,
  ...more,
});
const left = async () => (await listExecutions(store)).map(({ id }) => id).toReversed();
const keysOf = async (id: string) => (await store.range('')).filter(({ key }) => key.includes(id)).map(({ key }) => key);

test('the oldest leave the state once a repository has their evidence, whose chain can be checked there', async () => {
  const { repository } = await makeWorld({ encrypted: true });
  expect(
    await trimExecutions(
      store,
      request((id, evidence) => repository.writeEvidence(id, evidence)),
    ),
  ).toBe(4);
  expect(await left()).toEqual(ids.slice(4));
  expect(await keysOf(ids[0] as string)).toEqual([]);
  expect(await readTrimmed(store)).toMatchObject({ count: 4, place: 'repository main' });
  const { header, events } = (await repository.readEvidence(ids[0] as string)) as unknown as {
    header: ExecutionHeader;
    events: JournalEvent[];
  };
  expect(foldExecution(header, events)).toMatchObject({ lastSeq: 1 });
  expect(() => foldExecution(header, [{ ...(events[0] as JournalEvent), atMs: 1 }])).toThrow();
  expect(await repository.readEvidence('unheard-of')).toBeUndefined();
});

test('one that has not ended, that is needed, or whose journal is damaged stays, and holds up no other', async () => {
  const damaged = (await loadExecution(store, ids[1] as string)).events[0] as JournalEvent;
  await store.commit([
    {
      kind: 'put',
      key: journalKeys.event(ids[1] as string, damaged.seq),
      value: { ...damaged, atMs: 1 } as unknown as Json,
      expected: 'any',
    },
  ]);
  const open = await finished(false);
  for (let count = 0; count < 2; count += 1) ids.push(await finished());
  const kept: string[] = [];
  await trimExecutions(
    store,
    request(async (id) => void kept.push(id), { needed: new Set([ids[0] as string]) }),
  );
  expect(kept).toEqual(ids.slice(2, 6));
  expect(await left()).toEqual([ids[0], ids[1], open, ids[6], ids[7]]);
});

test('what can not be archived stays whole; what was archived before a death is archived again and goes', async () => {
  const { repository } = await makeWorld();
  const away = fail('STORE_UNREACHABLE', { message: 'cut by a test' });
  expect(
    await trimExecutions(
      store,
      request(() => Promise.reject(away)),
    ),
  ).toBe(0);
  expect(await left()).toEqual(ids);
  const { header, events } = await loadExecution(store, ids[0] as string);
  await repository.writeEvidence(header.id, { header, events, requests: [] } as unknown as JsonObject);
  expect(
    await trimExecutions(
      store,
      request((id, evidence) => repository.writeEvidence(id, evidence)),
    ),
  ).toBe(4);
});

test('whoever has lost the lead trims no more', async () => {
  let asked = 0;
  const mayAct = () => {
    asked += 1;
    return asked < 3;
  };
  expect(
    await trimExecutions(
      store,
      request(async () => {}, { mayAct }),
    ),
  ).toBe(2);
});
