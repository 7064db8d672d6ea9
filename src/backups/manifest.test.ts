import { describe, expect, it } from 'vitest';
import { makeWorld, writeBackup } from '../../test/fakes/repository-world.ts';
import { sha256Hex } from '../base/hashing.ts';

const text = new TextEncoder().encode('all work and no play '.repeat(150));

describe('a manifest that somebody made up, with the right digest', () => {
  const valid = async () => {
    const world = await makeWorld();
    await writeBackup(world.repository, { part: text });
    const lines = new TextDecoder().decode(world.backend.content('backups/db/b1/manifest')).trimEnd().split('\n').slice(0, -1);
    return { world, lines };
  };
  const seal = (lines: readonly string[]) => {
    const body = lines.map((line) => `${line}\n`).join('');
    return new TextEncoder().encode(`${body}{"end":{"digest":"${sha256Hex(body)}","lines":${lines.length}}}\n`);
  };
  const madeUp: Record<string, (lines: string[]) => string[]> = {
    'is empty': () => [],
    'has lines that are not JSON': (lines) => [...lines, 'x'],
    'has lines that are no objects': (lines) => [...lines, '[]', 'null'],
    'has no facts': ([head]) => [head as string],
    'has facts without an instant': (lines) => lines.map((line) => line.replace('"consistentAtMs"', '"instant"')),
    'has a part without pieces': (lines) => lines.map((line) => line.replace(/,"pieces":\d+,"plainBytes"/, ',"plainBytes"')),
    'has a chapter with a text for a number': (lines) => lines.map((line) => line.replace(/"pieces":\d+}$/, '"pieces":"3"}')),
    'carries a key in a repository without keys': (lines) => lines.map((line) => line.replace('"holdfast"', '"key":{},"holdfast"')),
  };

  it.each(Object.entries(madeUp))('[X-05] and %s is unreadable, and hides no other backup', async (_, makeUp) => {
    const { world, lines } = await valid();
    await writeBackup(world.repository, { part: text }, { backupId: 'b2' });
    const changed = makeUp(lines);
    expect(changed).not.toEqual(lines);
    world.backend.overwrite('backups/db/b1/manifest', seal(changed));
    const catalogue = await world.repository.readCatalogue();
    expect(catalogue.unreadable.map(({ object }) => object)).toEqual(['backups/db/b1/manifest']);
    expect(catalogue.entries.map(({ backup }) => backup.backupId)).toEqual(['b2']);
    await expect(world.repository.openBackup('db', 'b1')).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  });

  it('[X-05] and is unchanged is read', async () => {
    const { world, lines } = await valid();
    world.backend.overwrite('backups/db/b1/manifest', seal(lines));
    expect((await world.repository.readCatalogue()).entries).toHaveLength(1);
  });
});
