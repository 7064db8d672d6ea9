import { describe, expect, it } from 'vitest';
import { makeWorld, never, randomBytes, readParts, startMs, testFacts, writeBackup } from '../../test/fakes/repository-world.ts';

const text = new TextEncoder().encode('a line that is the same as the one before\n'.repeat(200));

describe.each([
  ['plain', false],
  ['encrypted', true],
])('a %s repository', (_, encrypted) => {
  it('[X-05] gives back every part byte for byte, to a process that has just started', async () => {
    const world = await makeWorld({ encrypted });
    const parts = {
      'base.tar': text,
      'random.tar': randomBytes(5_000),
      'exactly.tar': randomBytes(2_048),
      empty: new Uint8Array(0),
      '16400.tar.zst': text,
    };
    const record = await writeBackup(world.repository, parts, {
      facts: testFacts({ consistentAtMs: startMs + 5, canary: { number: 7, atMs: startMs } as never }),
    });
    const repository = await world.reopen();
    const reader = await repository.openBackup('db', 'b1');
    expect(await readParts(reader)).toEqual(
      Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, new Uint8Array(bytes)])),
    );
    expect(reader.facts.consistentAtMs).toBe(startMs + 5);
    expect(record).toEqual(await repository.findBackup('db', 'b1'));
    expect(record.plainBytes).toBe(text.length * 2 + 7_048);
    expect(await repository.verifyPieces('db', 'b1', never, () => undefined)).toEqual([]);
    expect((await repository.readCatalogue()).entries.map(({ backup }) => backup)).toEqual([record]);
  });

  it('keeps an archive that puts whole logs and parts together', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', '7000000000000000001');
    const segment = randomBytes(3_000, 3);
    expect(await archive.push('000000010000000000000001', segment)).toBe('kept');
    expect(await archive.push('000000010000000000000001', segment)).toBe('same');
    await expect(archive.push('000000010000000000000001', randomBytes(3_000, 4))).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
    await archive.push('00000002.history', text);
    await archive.pushPart('000000010000000000000002', 0, segment.subarray(0, 1_000));
    await archive.pushPart('000000010000000000000002', 1_000, segment.subarray(1_000, 1_500));
    await archive.pushPart('000000010000000000000002', 2_000, segment.subarray(2_000, 2_500));
    await archive.pushPart('000000010000000000000001', 0, segment.subarray(0, 10));
    const again = await (await world.reopen()).openArchive('db', '7000000000000000001');
    const fetched = async (name: string) => {
      const found = await again.fetch(name);
      return found === undefined ? undefined : { ...found, bytes: new Uint8Array(found.bytes) };
    };
    expect(await fetched('000000010000000000000001')).toEqual({ bytes: segment, whole: true });
    expect(await fetched('000000010000000000000002')).toEqual({ bytes: segment.slice(0, 1_500), whole: false });
    expect(await fetched('000000010000000000000003')).toBeUndefined();
    const names: string[] = [];
    for await (const name of again.list()) names.push(name);
    expect(names).toEqual(['000000010000000000000001', '000000010000000000000002', '00000002.history']);
    const later: string[] = [];
    for await (const name of again.list('000000010000000000000002')) later.push(name);
    expect(later).toEqual(names.slice(1));
  });
});
