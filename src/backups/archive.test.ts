import { describe, expect, it } from 'vitest';
import { failFirst } from '../../test/fakes/memory-backend.ts';
import { makeWorld, randomBytes } from '../../test/fakes/repository-world.ts';
import { fail } from '../base/errors.ts';
import type { ArchiveReader } from '../contracts/backup.ts';
import { logSliceBytes } from './archive.ts';
import { isBefore } from './remove-archive.ts';

const identity = '7000000000000000001';
const first = '000000010000000000000001';
const text = new TextEncoder().encode('a record of the log '.repeat(300));

async function namesOf(archive: ArchiveReader, from?: string): Promise<string[]> {
  const names: string[] = [];
  for await (const name of archive.list(from)) names.push(name);
  return names;
}

async function bytesOf(archive: ArchiveReader, name: string): Promise<Uint8Array | undefined> {
  const found = await archive.fetch(name);
  return found === undefined ? undefined : new Uint8Array(found.bytes);
}

describe.each([
  ['plain', false],
  ['encrypted', true],
])('the archive of a %s repository', (_, encrypted) => {
  it('says that a log is kept only once it is durable, and has it whole or not at all whenever the process dies', async () => {
    let kept = 0;
    for (let at = 1, isOver = false; !isOver; at += 1) {
      for (const when of ['before', 'after'] as const) {
        const world = await makeWorld({ encrypted });
        const archive = await world.repository.openArchive('db', identity);
        world.backend.dieAt(at, when);
        const outcome = await archive.push(first, text).catch(() => undefined);
        isOver = !world.backend.isDead;
        world.backend.restart(() => false);
        const again = await (await world.reopen()).openArchive('db', identity);
        const found = await bytesOf(again, first);
        if (outcome !== undefined) expect(found).toEqual(text);
        if (found !== undefined) expect(found).toEqual(text);
        if (outcome === 'kept') kept += 1;
        expect(['kept', 'same']).toContain(await again.push(first, text));
        expect(await bytesOf(again, first)).toEqual(text);
      }
    }
    expect(kept).toBeGreaterThan(0);
  });

  it('looks before it repeats a push whose answer was lost, and never says that other content is the same', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', identity);
    const isPut = ({ operation }: { readonly operation: string }) => operation === 'put';
    world.backend.fault = failFirst(1, isPut, () => fail('STORE_OUTCOME_UNKNOWN'), true);
    expect(await archive.push(first, text)).toBe('kept');
    world.backend.fault = failFirst(1, isPut, () => fail('STORE_OUTCOME_UNKNOWN'), false);
    expect(await archive.push('000000010000000000000002', text)).toBe('kept');
    world.backend.fault = failFirst(1, isPut, () => fail('STORE_UNREACHABLE'), true);
    await expect(archive.push(first, randomBytes(100))).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
    world.backend.fault = failFirst(99, isPut, () => fail('STORE_UNREACHABLE'), false);
    await expect(archive.push('000000010000000000000003', text)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    world.backend.fault = () => undefined;
    expect(await bytesOf(archive, '000000010000000000000003')).toBeUndefined();
    expect(await bytesOf(archive, first)).toEqual(text);
  });

  it('does not take a damaged log of the same name for the same', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', identity);
    await archive.push(first, text);
    const object = `wal/db/${identity}/${first}`;
    world.backend.flipBit(object, world.backend.content(object).length - 3);
    await expect(archive.push(first, text)).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  });

  it('a store that is full is an error, never a log that was dropped and called kept', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', identity);
    world.backend.capacityBytes = 3_000;
    await expect(archive.push(first, randomBytes(4_000))).rejects.toMatchObject({ code: 'STORE_FULL' });
    expect(await namesOf(archive)).toEqual([]);
  });

  it('keeps logs that are longer than an object may be, in slices', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', identity);
    const log = Buffer.concat([randomBytes(1_000), Buffer.alloc(logSliceBytes * 2), randomBytes(500, 2)]);
    expect(await archive.push(first, log)).toBe('kept');
    expect(await archive.push(first, log)).toBe('same');
    expect(Buffer.compare((await archive.fetch(first))?.bytes ?? new Uint8Array(0), log)).toBe(0);
    expect(await namesOf(archive)).toEqual([first]);
    const slices = world.backend.names('wal/').filter((name) => name.includes('.slice-'));
    expect(slices).toHaveLength(3);
    log[log.length - 1] = (log[log.length - 1] as number) ^ 1;
    await expect(archive.push(first, log)).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
    world.backend.objects.delete(slices[1] as string);
    await expect(archive.fetch(first)).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  });

  it('puts parts together as far as they follow on each other, and forgets them once the log is whole', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', identity);
    const part = (from: number, to: number) => archive.pushPart(first, from, text.subarray(from, to));
    expect(await archive.fetch(first)).toBeUndefined();
    await part(500, 700);
    expect(await archive.fetch(first)).toMatchObject({ bytes: Buffer.alloc(0), whole: false });
    await part(0, 300);
    expect(await bytesOf(archive, first)).toEqual(text.slice(0, 300));
    await part(200, 520);
    await part(100, 150);
    expect(await bytesOf(archive, first)).toEqual(text.slice(0, 700));
    await part(0, 300);
    await expect(archive.pushPart(first, 0, randomBytes(300))).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
    await archive.push(first, text);
    await archive.pushPart(first, 700, randomBytes(10));
    expect(await archive.fetch(first)).toMatchObject({ whole: true });
    const parts = world.backend.names('wal/').length - 1;
    world.nowMs += 7_200_000;
    expect((await world.repository.sweepOrphans(3_600_000)).objects).toBe(parts);
    expect(await bytesOf(archive, first)).toEqual(text);
  });
});

describe('an archive', () => {
  it('lists names once and in order, wherever it begins, also those that have arrived in part only', async () => {
    const { repository } = await makeWorld();
    const archive = await repository.openArchive('db', identity);
    const whole = ['000000010000000000000001', '000000010000000000000003', '000000010000000000000001.00000028.backup', '00000002.history'];
    for (const name of whole) await archive.push(name, text);
    await archive.push('000000010000000000000002.partial', text);
    await archive.pushPart('000000010000000000000002', 0, text);
    await archive.pushPart('000000010000000000000002', 10, text);
    await archive.pushPart('000000010000000000000003', 0, text);
    const all = [...whole, '000000010000000000000002.partial', '000000010000000000000002'].sort();
    expect(await namesOf(archive)).toEqual(all);
    for (const from of ['0', '000000010000000000000002', '000000010000000000000002.partial', '000000010000000000000002x', '00000003', 'zz'])
      expect(await namesOf(archive, from), from).toEqual(all.filter((name) => name >= from));
    expect(await namesOf(await repository.openArchive('db', 'another'))).toEqual([]);
  });

  it('any name of a system comes back', async () => {
    const { repository } = await makeWorld();
    const archive = await repository.openArchive('a b/c', '..');
    const names = ['.hidden', '..', 'ä ö/ü=', 'x.part-000000000000-000000000001', 'y.slice-0001', 'plain'];
    for (const name of names) await archive.push(name, new TextEncoder().encode(name));
    expect((await namesOf(archive)).sort()).toEqual(names.toSorted());
    for (const name of names) expect(await bytesOf(archive, name)).toEqual(new TextEncoder().encode(name));
    await expect(archive.push('', text)).rejects.toThrow();
    await expect(archive.push('x'.repeat(400), text)).rejects.toThrow();
  });

  it('keeps gaps as records, each once', async () => {
    const world = await makeWorld({ encrypted: true });
    const archive = await world.repository.openArchive('db', identity);
    await archive.recordGap('0003', '0005', 'the slot was lost');
    await archive.recordGap('0003', '0005', 'told again');
    await archive.recordGap('0001', '0002', 'the disk was full');
    const [first] = await archive.gaps();
    if (first === undefined) throw new Error('the gap is not there');
    await world.repository.acknowledgeGap({ component: 'db', identity, atMs: 0, ...first }, 'ann');
    const seen = (await (await world.reopen()).readCatalogue()).gaps;
    expect(seen.map(({ from, acknowledged }) => [from, acknowledged?.by])).toEqual([
      ['0001', 'ann'],
      ['0003', undefined],
    ]);
    const gaps = await (await (await world.reopen()).openArchive('db', identity)).gaps();
    expect(gaps.map(({ from, to, why }) => [from, to, why])).toEqual([
      ['0001', '0002', 'the disk was full'],
      ['0003', '0005', 'the slot was lost'],
    ]);
  });

  it('is removed before a log, histories and later timelines left', async () => {
    const { repository, backend } = await makeWorld();
    const archive = await repository.openArchive('db', identity);
    const logs = [
      '000000010000000000000001',
      '000000010000000000000002',
      '000000010000000000000003',
      '000000020000000000000001',
      '00000002.history',
    ];
    for (const name of logs) await archive.push(name, text);
    await archive.pushPart('000000010000000000000001', 0, text);
    await archive.push('000000010000000000000002.00000028.backup', text);
    await repository.openArchive('db', 'other').then((other) => other.push('000000010000000000000001', text));
    const removed = await repository.removeArchive('db', identity, { before: '000000010000000000000003' });
    expect(removed).toMatchObject({ objects: 3, locked: 0 });
    expect(removed.bytes).toBeGreaterThan(0);
    expect(await namesOf(archive)).toEqual(logs.slice(2).sort());
    expect(backend.names('wal/db/other/')).toHaveLength(1);
    // On a later timeline that began before the place: its own logs before it may be needed by nobody, and are left all the same.
    expect(isBefore('000000020000000000000001', '000000010000000000000003')).toBe(false);
    expect(isBefore('000000010000000000000004', '000000020000000000000003')).toBe(false);
    expect(isBefore('0000000100000000FFFFFFFF', '000000010000000100000000')).toBe(true);
    expect(isBefore('00000001.history', '000000020000000000000003')).toBe(false);
    expect(isBefore('aof-0001', 'aof-0002')).toBe(true);
    expect(isBefore('aof-0001', '000000010000000100000000')).toBe(false);
  });

  it('[S4-07] is removed between two logs, and the hole is known before the first one goes, once', async () => {
    const { repository, backend } = await makeWorld();
    const archive = await repository.openArchive('db', identity);
    const name = (number: number, timeline = 1) => `0000000${timeline}${number.toString(16).padStart(16, '0')}`;
    const logs = [1, 2, 3, 4, 5].map((number) => name(number));
    for (const each of [...logs, name(3, 2), name(6, 2), '00000002.history']) await archive.push(each, text);
    const cut = { after: name(2), before: name(5) };
    expect(await repository.hasLogs('db', identity, cut)).toBe(true);
    // Dying after the first log: a restore does not go across all the same, and the next run takes the rest.
    const { remove } = backend;
    backend.remove = async () => {
      throw new Error('killed');
    };
    await expect(repository.removeArchive('db', identity, cut)).rejects.toThrow('killed');
    backend.remove = remove;
    const [gap] = await archive.gaps();
    expect(gap).toMatchObject({ from: name(3), to: name(4), byRetention: true, acknowledged: { by: 'retention' } });
    expect(await repository.removeArchive('db', identity, cut)).toMatchObject({ objects: 2 });
    expect(await namesOf(archive)).toEqual([name(1), name(2), name(5), name(3, 2), name(6, 2), '00000002.history'].sort());
    expect(await repository.hasLogs('db', identity, cut)).toBe(false);
    expect(await repository.removeArchive('db', identity, cut)).toMatchObject({ objects: 0 });
    expect(backend.names('gaps/')).toHaveLength(1);
  });
});
