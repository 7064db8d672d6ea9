/**
 * What every state store must do, written once and run over each.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { Json } from '../../src/base/json.ts';
import type { Change, StateStore, StoreEvent } from '../../src/contracts/state-store.ts';

export interface StoreUnderTest {
  readonly store: StateStore;
  /** Another client of the same state. */
  readonly second: () => Promise<StateStore>;
  /** Lets this much time pass for leases. */
  readonly advance: (durationMs: number) => Promise<void>;
  /** Ends all that `open` began, save the stores, which the suite closes. */
  readonly dispose: () => Promise<void>;
}

const put = (key: string, value: Json, expected: Change['expected'] = 'any'): Change => ({ kind: 'put', key, value, expected });
const remove = (key: string, expected: Change['expected'] = 'any'): Change => ({ kind: 'delete', key, expected });
const short = (event: StoreEvent): string => `${event.kind} ${event.key} ${JSON.stringify(event.value)} @${event.revision}`;

export function stateStoreConformance(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`state store: ${name}`, () => {
    const opened: { stores: StateStore[]; dispose: () => Promise<void> }[] = [];
    const start = async (): Promise<Omit<StoreUnderTest, 'dispose'>> => {
      const { store, second, advance, dispose } = await open();
      const stores = [store];
      opened.push({ stores, dispose });
      const openSecond = async (): Promise<StateStore> => {
        const another = await second();
        stores.push(another);
        return another;
      };
      return { store, second: openSecond, advance };
    };
    afterEach(async () => {
      for (const { stores, dispose } of opened.splice(0)) {
        for (const store of stores) await store.close();
        await dispose();
      }
    });
    entries(start);
    ranges(start);
    watches(start);
    leases(start);
    model(start);
  });
}

type Start = () => Promise<Omit<StoreUnderTest, 'dispose'>>;

function entries(start: Start): void {
  test('what was put is there, under the revision of its commit, for other clients too', async () => {
    const { store, second } = await start();
    expect(await store.get('a')).toBeUndefined();
    const revision = await store.commit([put('a', { text: 'ü "\n', list: [1, null, true] })]);
    const entry = { key: 'a', value: { text: 'ü "\n', list: [1, null, true] }, revision };
    expect(await store.get('a')).toEqual(entry);
    expect(await (await second()).get('a')).toEqual(entry);
    expect(await store.commit([put('a', null)])).toBeGreaterThan(revision);
    expect((await store.get('a'))?.value).toBeNull();
  });

  test('each expectation decides: revision, absent, any', async () => {
    const { store } = await start();
    const first = await store.commit([put('a', 1, 'absent')]);
    await expect(store.commit([put('a', 2, 'absent')])).rejects.toMatchObject({ code: 'STATE_CONFLICT', details: { key: 'a' } });
    await expect(store.commit([put('a', 2, first + 1)])).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
    await expect(store.commit([put('b', 2, 7)])).rejects.toMatchObject({ code: 'STATE_CONFLICT', details: { key: 'b' } });
    const second = await store.commit([put('a', 2, first)]);
    await expect(store.commit([remove('a', first)])).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
    await store.commit([remove('a', second)]);
    expect(await store.get('a')).toBeUndefined();
    await store.commit([remove('a')]);
    await store.commit([put('a', 3, 'absent')]);
  });

  test('of a commit with several changes all happen or none', async () => {
    const { store } = await start();
    await store.commit([put('a', 1), put('b', 1)]);
    await expect(store.commit([put('a', 2), remove('b'), put('c', 2), put('d', 2, 99)])).rejects.toMatchObject({
      code: 'STATE_CONFLICT',
      details: { key: 'd' },
    });
    expect((await store.range('')).map(({ key, value }) => [key, value])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
    const revision = await store.commit([put('a', 3), remove('b'), put('c', 3)]);
    expect(await store.range('')).toEqual([
      { key: 'a', value: 3, revision },
      { key: 'c', value: 3, revision },
    ]);
  });

  test('commits asked for together keep their order and fail each for itself', async () => {
    const { store } = await start();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, (_, index) =>
        store.commit([put('a', index, index % 3 === 2 ? 'absent' : 'any'), put(`b/${index}`, index)]),
      ),
    );
    const revisions = outcomes.filter((outcome) => outcome.status === 'fulfilled').map(({ value }) => value);
    expect(revisions).toEqual([...revisions].sort((left, right) => left - right));
    expect(new Set(revisions).size).toBe(67);
    expect((await store.get('a'))?.value).toBe(99);
    expect(await store.range('b/')).toHaveLength(67);
    expect(await store.get('b/2')).toBeUndefined();
  });

  test('of many that compare and swap at once, exactly one wins each round', async () => {
    const { store, second } = await start();
    const other = await second();
    await store.commit([put('n', 0)]);
    const increment = async (through: StateStore): Promise<void> => {
      for (;;) {
        const entry = await through.get('n');
        const outcome = await through
          .commit([put('n', Number(entry?.value) + 1, entry?.revision ?? 'absent')])
          .catch((error: { code?: string }) => error);
        if (typeof outcome === 'number') return;
        expect(outcome.code).toBe('STATE_CONFLICT');
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, index) => increment(index % 2 === 0 ? store : other)));
    expect((await store.get('n'))?.value).toBe(20);
  });

  test('a key named twice in one commit, or no proper key, is a bug of the caller', async () => {
    const { store } = await start();
    await expect(store.commit([put('a', 1), put('a', 2)])).rejects.toMatchObject({ code: 'BUG_BROKEN_BELIEF' });
    await expect(store.commit([put('a b', 1)])).rejects.toMatchObject({ code: 'BUG_BROKEN_BELIEF' });
    await expect(store.commit([put('', 1)])).rejects.toMatchObject({ code: 'BUG_BROKEN_BELIEF' });
  });

  test('a value that the caller changes later stays as it was put', async () => {
    const { store } = await start();
    const value = { list: [1] };
    const done = store.commit([put('a', value)]);
    value.list.push(2);
    await done;
    expect((await store.get('a'))?.value).toEqual({ list: [1] });
  });

  test('a closed store refuses', async () => {
    const { second } = await start();
    const other = await second();
    await other.close();
    await other.close();
    await expect(other.get('a')).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await expect(other.commit([put('a', 1)])).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });
}

function ranges(start: Start): void {
  test('a range is by prefix and in order of keys, with limit, after and reverse', async () => {
    const { store } = await start();
    await store.commit(['a/1', 'a/10', 'a/2', 'a', 'a0', 'b/1', 'a/~'].map((key) => put(key, key)));
    const keys = async (...parameters: Parameters<StateStore['range']>): Promise<string[]> =>
      (await store.range(...parameters)).map(({ key }) => key);
    expect(await keys('a/')).toEqual(['a/1', 'a/10', 'a/2', 'a/~']);
    expect(await keys('a/', { limit: 2 })).toEqual(['a/1', 'a/10']);
    expect(await keys('a/', { limit: 2, after: 'a/10' })).toEqual(['a/2', 'a/~']);
    expect(await keys('a/', { reverse: true, limit: 2 })).toEqual(['a/~', 'a/2']);
    expect(await keys('a/', { reverse: true, after: 'a/2' })).toEqual(['a/10', 'a/1']);
    expect(await keys('a/', { limit: 0 })).toEqual([]);
    expect(await keys('')).toHaveLength(7);
    expect(await keys('c')).toEqual([]);
  });
}

function watches(start: Start): void {
  const until = (holds: () => boolean) => expect.poll(holds, { timeout: 5_000, interval: 5 }).toBe(true);

  test('a watch tells every change under its prefix in order, from now on, until it is ended', async () => {
    const { store } = await start();
    await store.commit([put('w/before', 0)]);
    const events: string[] = [];
    const end = store.watch('w/', (event) => events.push(short(event)));
    const one = await store.commit([put('w/a', 1), put('x', 1), put('w/b', 2)]);
    const two = await store.commit([remove('w/a'), remove('w/never')]);
    await until(() => events.length >= 3);
    end();
    await store.commit([put('w/a', 9)]);
    await store.commit([put('w/c', 9)]);
    expect(events).toEqual([`put w/a 1 @${one}`, `put w/b 2 @${one}`, `delete w/a undefined @${two}`]);
  });

  test('a watch resumes after a revision and misses nothing', async () => {
    const { store } = await start();
    const first = await store.commit([put('w/a', 1)]);
    const second = await store.commit([put('w/a', 2)]);
    const events: string[] = [];
    store.watch('w/', (event) => events.push(short(event)), { afterRevision: first });
    const third = await store.commit([put('w/a', 3)]);
    await until(() => events.length >= 2);
    expect(events).toEqual([`put w/a 2 @${second}`, `put w/a 3 @${third}`]);
    const all: string[] = [];
    store.watch('', (event) => all.push(short(event)), { afterRevision: 0 });
    await until(() => all.length >= 3);
    expect(all).toHaveLength(3);
  });

  test('a watch sees what other clients change, each change once', async () => {
    const { store, second } = await start();
    const other = await second();
    const values: Json[] = [];
    store.watch('w/', (event) => values.push(event.value ?? null));
    for (let index = 0; index < 40; index += 1) await (index % 2 === 0 ? store : other).commit([put('w/a', index)]);
    await until(() => values.length >= 40);
    expect(values).toEqual(Array.from({ length: 40 }, (_, index) => index));
  });

  test('a listener that throws ends its own watch only', async () => {
    const { store } = await start();
    const errors: Error[] = [];
    const seen: string[] = [];
    const listener = (): void => {
      throw new Error('broken listener');
    };
    store.watch('', listener, { onError: (error) => errors.push(error) });
    store.watch('', (event) => seen.push(event.key));
    await store.commit([put('a', 1)]);
    await store.commit([put('b', 1)]);
    await until(() => seen.length === 2);
    expect(errors.map(({ message }) => message)).toEqual(['broken listener']);
  });
}

function leases(start: Start): void {
  test('one holder at a time; the token grows when it changes hands, and stays for the same holder', async () => {
    const { store, second, advance } = await start();
    const other = await second();
    expect(await store.readLease('l')).toBeUndefined();
    const first = await store.acquireLease('l', 'one', 300);
    await expect(other.acquireLease('l', 'two', 300)).rejects.toMatchObject({ code: 'STATE_LEASE_HELD', details: { holder: 'one' } });
    expect((await store.acquireLease('l', 'one', 300)).token).toBe(first.token);
    expect(await other.readLease('l')).toEqual({ name: 'l', holder: 'one', token: first.token, held: true });
    await advance(350);
    expect(await other.readLease('l')).toMatchObject({ held: false });
    const taken = await other.acquireLease('l', 'two', 300);
    expect(taken.token).toBeGreaterThan(first.token);
    await expect(store.renewLease(first)).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    await store.releaseLease(first);
    expect(await store.readLease('l')).toMatchObject({ holder: 'two', held: true });
  });

  test('renewing keeps it beyond its first time; each answer counts from before the request', async () => {
    const { store, second, advance } = await start();
    let lease = await store.acquireLease('l', 'one', 400);
    for (let turn = 0; turn < 3; turn += 1) {
      await advance(200);
      const renewed = await store.renewLease(lease);
      expect(renewed.token).toBe(lease.token);
      expect(renewed.validUntilMonotonicMs).toBeGreaterThan(lease.validUntilMonotonicMs + 150);
      lease = renewed;
    }
    await expect((await second()).acquireLease('l', 'two', 400)).rejects.toMatchObject({ code: 'STATE_LEASE_HELD' });
  });

  test('a lease that ran out can not be renewed, though nobody took it', async () => {
    const { store, advance } = await start();
    const lease = await store.acquireLease('l', 'one', 50);
    await advance(80);
    await expect(store.renewLease(lease)).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    expect((await store.acquireLease('l', 'one', 50)).token).toBeGreaterThan(lease.token);
  });

  test('a released lease is free at once', async () => {
    const { store, second } = await start();
    const lease = await store.acquireLease('l', 'one', 60_000);
    await store.releaseLease(lease);
    await store.releaseLease(lease);
    expect(await store.readLease('l')).toMatchObject({ held: false });
    expect((await (await second()).acquireLease('l', 'two', 60_000)).token).toBeGreaterThan(lease.token);
  });

  test('asking again for a shorter time takes nothing from what was promised before', async () => {
    const { store, second, advance } = await start();
    await store.acquireLease('l', 'one', 60_000);
    await store.acquireLease('l', 'one', 20);
    await advance(60);
    await expect((await second()).acquireLease('l', 'two', 20)).rejects.toMatchObject({ code: 'STATE_LEASE_HELD' });
  });

  test('a put under a lease happens only while that very holder has it', async () => {
    const { store, second, advance } = await start();
    const under = (lease: Awaited<ReturnType<StateStore['acquireLease']>>): Change => ({
      kind: 'put',
      key: 'p',
      value: lease.holder,
      expected: 'any',
      lease,
    });
    const one = await store.acquireLease('l', 'one', 200);
    await store.commit([under(one)]);
    await advance(250);
    await expect(store.commit([under(one), put('q', 1)])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    const two = await (await second()).acquireLease('l', 'two', 60_000);
    await expect(store.commit([under(one)])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    await expect(store.commit([under({ ...two, holder: 'one' })])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    await store.commit([under(two)]);
    expect((await store.range('')).map(({ key, value }) => [key, value])).toEqual([['p', 'two']]);
  });
}

function model(start: Start): void {
  const keys = ['a', 'a/1', 'a/2', 'b', 'b/1'];
  const change = fc.record({
    key: fc.constantFrom(...keys),
    kind: fc.constantFrom('put', 'delete'),
    expected: fc.constantFrom('any', 'absent', 'match', 'stale'),
    value: fc.jsonValue({ maxDepth: 1 }),
  });
  const commits = fc.array(fc.uniqueArray(change, { selector: (each) => each.key, minLength: 1, maxLength: 3 }), { maxLength: 25 });

  test('any sequence of commits ends as in a plain map, and a watch replays it', async () => {
    await fc.assert(
      fc.asyncProperty(commits, async (sequence) => {
        const { store } = await start();
        const map = new Map<string, { value: Json; revision: number }>();
        const replayed = new Map<string, Json>();
        let events = 0;
        let expectedEvents = 0;
        store.watch('', (event) => {
          events += 1;
          if (event.kind === 'put') replayed.set(event.key, event.value as Json);
          else replayed.delete(event.key);
        });
        for (const wanted of sequence) {
          const changes = wanted.map(({ key, kind, expected, value }): Change => {
            const revision = map.get(key)?.revision ?? 0;
            const condition =
              expected === 'match'
                ? revision === 0
                  ? 'absent'
                  : revision
                : expected === 'stale'
                  ? revision + 1_000_000
                  : (expected as 'any' | 'absent');
            return kind === 'put' ? put(key, value as Json, condition) : remove(key, condition);
          });
          const allowed = changes.every(
            ({ key, expected }) => expected === 'any' || (expected === 'absent' ? !map.has(key) : map.get(key)?.revision === expected),
          );
          const outcome = await store.commit(changes).catch((error: { code?: string }) => error.code);
          expect(typeof outcome).toBe(allowed ? 'number' : 'string');
          if (typeof outcome !== 'number') continue;
          for (const each of changes) {
            if (each.kind === 'put') map.set(each.key, { value: JSON.parse(JSON.stringify(each.value)), revision: outcome });
            else if (!map.delete(each.key)) continue;
            expectedEvents += 1;
          }
        }
        const expected = [...map].sort(([left], [right]) => (left < right ? -1 : 1)).map(([key, entry]) => ({ key, ...entry }));
        expect(await store.range('')).toEqual(expected);
        await expect.poll(() => events, { timeout: 15_000, interval: 2 }).toBe(expectedEvents);
        expect(Object.fromEntries(replayed)).toEqual(Object.fromEntries([...map].map(([key, { value }]) => [key, value])));
      }),
      { numRuns: 30 },
    );
  });
}
