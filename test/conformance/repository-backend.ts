/**
 * What every store of backups must do (src/contracts/repository-backend.ts), tried on each of them. A store that can not lock must refuse to, one that can must obey.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../src/base/errors.ts';
import { objectMaxBytes, type RepositoryBackend, type StoredObject } from '../../src/contracts/repository-backend.ts';

export interface BackendSubject {
  /** A backend on an empty place of its own, each time. */
  open(): Promise<RepositoryBackend>;
  /** A second backend on the place of the one opened last, as another process has it. */
  openAgain(): Promise<RepositoryBackend>;
  /** What the probe must find, as it is known of this store from outside. */
  readonly truth: { readonly checksums: boolean; readonly lock: boolean; readonly tellsTime: boolean };
  /** How many objects are listed over several pages. */
  readonly manyObjects?: number;
  close(): Promise<void>;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const digest = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');
/** Bytes that nothing compresses, the same for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  const content = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    content[at] = state >>> 24;
  }
  return content;
}

export async function namesOf(list: AsyncIterable<StoredObject>): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of list) names.push(name);
  return names;
}

export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as HoldfastError).code ?? String(error);
  }
  return 'no error';
}

export function repositoryBackendConformance(title: string, subject: BackendSubject): void {
  describe(`repository backend: ${title}`, () => {
    let store: RepositoryBackend;
    beforeAll(async () => {
      store = await subject.open();
    });
    afterAll(async () => {
      await store?.close();
      await subject.close();
    });

    it('[S4-39] [X-05] keeps an object as it was handed over, and says how long it is', async () => {
      const content = noise(100_000);
      expect(await store.put('kept/object', content)).toBe('created');
      const read = await store.get('kept/object');
      expect(read.length).toBe(content.length);
      expect(digest(read)).toBe(digest(content));
      const facts = await store.head('kept/object');
      expect(facts).toMatchObject({ name: 'kept/object', sizeBytes: 100_000 });
      expect(Math.abs((facts?.modifiedMs ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    it('keeps an empty object, and one of the largest size; a larger one is a mistake of ours', async () => {
      await store.put('sizes/empty', new Uint8Array(0));
      expect(await store.get('sizes/empty')).toHaveLength(0);
      expect((await store.head('sizes/empty'))?.sizeBytes).toBe(0);
      const largest = noise(objectMaxBytes, 7);
      await store.put('sizes/largest', largest);
      expect(digest(await store.get('sizes/largest'))).toBe(digest(largest));
      await store.remove('sizes/largest');
      expect(await codeOf(store.put('sizes/too-large', new Uint8Array(objectMaxBytes + 1)))).toBe('BUG_BROKEN_BELIEF');
      expect(await store.head('sizes/too-large')).toBeUndefined();
    });

    it('writes a name once: the second put changes nothing, whatever its content', async () => {
      expect(await store.put('once', bytes('first'))).toBe('created');
      expect(await store.put('once', bytes('second'))).toBe('exists');
      expect(await store.put('once', bytes('first'))).toBe('exists');
      const other = await subject.openAgain();
      expect(await other.put('once', bytes('third'))).toBe('exists');
      expect(Buffer.from(await other.get('once')).toString()).toBe('first');
      await other.close();
    });

    it('writes a name once also when twenty try at the same moment', async () => {
      const other = await subject.openAgain();
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).put('race/winner', noise(20_000, i + 1))),
      );
      expect(answers.filter((answer) => answer === 'created')).toHaveLength(1);
      expect(digest(await store.get('race/winner'))).toBe(digest(noise(20_000, answers.indexOf('created') + 1)));
      await other.close();
    });

    it('gives ranges: from inclusive, to exclusive, cut at the end', async () => {
      await store.put('ranges', bytes('0123456789'));
      const range = async (from?: number, to?: number) =>
        Buffer.from(await store.get('ranges', { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) })).toString();
      expect(await range(0, 4)).toBe('0123');
      expect(await range(4, 5)).toBe('4');
      expect(await range(7)).toBe('789');
      expect(await range(undefined, 3)).toBe('012');
      expect(await range(8, 100)).toBe('89');
      expect(await range(10, 12)).toBe('');
      expect(await range(50)).toBe('');
      expect(await range(3, 3)).toBe('');
    });

    it('says clearly that an object is missing', async () => {
      expect(await store.head('missing/object')).toBeUndefined();
      expect(await codeOf(store.get('missing/object'))).toBe('STORE_NO_OBJECT');
      expect(await codeOf(store.get('missing/object', { from: 2, to: 4 }))).toBe('STORE_NO_OBJECT');
      await store.remove('missing/object');
      expect(await namesOf(store.list('missing/'))).toEqual([]);
    });

    it('lists in the order of whole names, by a plain prefix, and goes on after a name', async () => {
      const names = [
        'l/a',
        'l/a-b',
        'l/a.b/c',
        'l/a0',
        'l/aa/b/c',
        'l/aa/b=d',
        'l/A/z',
        'l/b-/x',
        'l/b/-',
        'l/b/1',
        'l/b0/_',
        'l/b_',
        'lx',
      ];
      for (const name of names.toReversed()) await store.put(name, bytes(name));
      const sorted = names.toSorted((left, right) => Buffer.compare(bytes(left), bytes(right)));
      expect(await namesOf(store.list('l'))).toEqual(sorted);
      expect(await namesOf(store.list('l/'))).toEqual(sorted.filter((name) => name.startsWith('l/')));
      expect(await namesOf(store.list('l/a'))).toEqual(sorted.filter((name) => name.startsWith('l/a')));
      expect(await namesOf(store.list('l/b/'))).toEqual(['l/b/-', 'l/b/1']);
      for (const after of ['l/a', 'l/a/', 'l/aa/b', 'l/b/0', 'l/zzz', 'l'])
        expect(await namesOf(store.list('l/', { after }))).toEqual(sorted.filter((name) => name.startsWith('l/') && name > after));
    });

    it('takes names with every character that a name may have, and long ones; refuses others', async () => {
      const odd = [
        'odd/A-Z_a.z=09',
        'odd/-',
        'odd/_',
        'odd/=',
        'odd/a..b',
        'odd/a.',
        `odd/${'n'.repeat(200)}`,
        `odd/${`${'d'.repeat(99)}/`.repeat(5)}x`,
      ];
      for (const name of odd) expect(await store.put(name, bytes(name))).toBe('created');
      for (const name of odd) expect(Buffer.from(await store.get(name)).toString()).toBe(name);
      expect((await namesOf(store.list('odd/'))).toSorted()).toEqual(odd.toSorted());
      for (const name of [
        '',
        '/',
        '/a',
        'a/',
        'a//b',
        'a/../b',
        './a',
        '.hidden',
        'a b',
        'ä',
        'a\0b',
        'x'.repeat(201),
        `${'y/'.repeat(256)}z`,
      ])
        expect(await codeOf(store.put(name, bytes('x')))).toBe('BUG_BROKEN_BELIEF');
    });

    it('lists more objects than a store tells at once, each of them once', { timeout: 120_000 }, async () => {
      const count = subject.manyObjects ?? 1_234;
      const names = Array.from({ length: count }, (_, i) => `many/${(i % 7).toString()}/object-${i.toString().padStart(6, '0')}`);
      for (let at = 0; at < names.length; at += 16) await Promise.all(names.slice(at, at + 16).map((name) => store.put(name, bytes('x'))));
      expect(await namesOf(store.list('many/'))).toEqual(names.toSorted());
      expect(await namesOf(store.list('many/', { after: 'many/6/object-000000' }))).toEqual(
        names.toSorted().filter((name) => name > 'many/6/object-000000'),
      );
      for await (const { name } of store.list('many/')) {
        expect(name).toBe('many/0/object-000000');
        break; // whoever has seen enough may stop
      }
    });

    it('removes an object, so that its name is free again', async () => {
      await store.put('removed/deep/down', bytes('one'));
      await store.put('removed/other', bytes('other'));
      await store.remove('removed/deep/down');
      expect(await store.head('removed/deep/down')).toBeUndefined();
      expect(await codeOf(store.get('removed/deep/down'))).toBe('STORE_NO_OBJECT');
      expect(await namesOf(store.list('removed/'))).toEqual(['removed/other']);
      expect(await store.put('removed/deep/down', bytes('two'))).toBe('created');
      expect(Buffer.from(await store.get('removed/deep/down')).toString()).toBe('two');
      await store.remove('removed/deep');
      expect(await namesOf(store.list('removed/'))).toEqual(['removed/deep/down', 'removed/other']);
    });

    it('makes puts durable by one barrier, also with nothing to do and from several at once', async () => {
      await store.barrier();
      await Promise.all(Array.from({ length: 4 }, (_, i) => store.put(`barrier/${i}`, bytes('x')).then(() => store.barrier())));
      const other = await subject.openAgain();
      expect(await namesOf(other.list('barrier/'))).toHaveLength(4);
      await other.close();
    });

    it('does nothing for a caller who has given up', async () => {
      const given = AbortSignal.abort(new Error('given up'));
      await expect(store.put('given-up', bytes('x'), { signal: given })).rejects.toThrow();
      await expect(store.get('once', { signal: given })).rejects.toThrow();
      expect(await store.head('given-up')).toBeUndefined();
    });

    it('says true things of itself when it is tried, and leaves nothing behind', async () => {
      const found = await store.probe(new AbortController().signal);
      expect(found).toMatchObject({
        putIfAbsent: true,
        readAfterWrite: true,
        checksums: subject.truth.checksums,
        lock: subject.truth.lock,
      });
      if (subject.truth.tellsTime) expect(Math.abs(found.clockSkewMs ?? Number.NaN)).toBeLessThan(2_000);
      else expect(found.clockSkewMs).toBeNull();
      expect(found.notes.length).toBeGreaterThan(0);
      expect(await namesOf(store.list('probe/'))).toEqual([]);
    });

    it('obeys a lock or refuses it, and never forgets it', async () => {
      const lockUntilMs = Date.now() + 60_000;
      if (!subject.truth.lock) {
        expect(await codeOf(store.put('locked', bytes('x'), { lockUntilMs }))).toBe('STORE_NO_LOCK');
        expect(await store.head('locked')).toBeUndefined();
        return;
      }
      expect(await store.put('locked', bytes('x'), { lockUntilMs })).toBe('created');
      const facts = await store.head('locked');
      expect(Math.abs((facts?.lockedUntilMs ?? 0) - lockUntilMs)).toBeLessThanOrEqual(1_000);
      expect(await codeOf(store.remove('locked'))).toBe('STORE_LOCKED');
      expect(Buffer.from(await store.get('locked')).toString()).toBe('x');
    });
  });
}
