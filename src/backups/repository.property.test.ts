/**
 * What must hold whatever happens: any parts in any chunks come back; a process that dies at any call to the store leaves a complete backup or none; every flipped bit, every missing
 * and every swapped piece is found.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  makeWorld,
  never,
  type RepositoryWorld,
  randomBytes,
  readParts,
  startMs,
  testFacts,
  testPieceBytes,
  writeBackup,
} from '../../test/fakes/repository-world.ts';
import { asHoldfastError } from '../base/errors.ts';
import type { Repository } from './repository.ts';

const text = new TextEncoder().encode('all work and no play '.repeat(150));
const noise = () => undefined;

/** A character for each byte: bytes are compared one element after the other, which takes most of the time of a test. */
const asText = (parts: Readonly<Record<string, Uint8Array>>): Record<string, string> =>
  Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, Buffer.from(bytes).toString('latin1')]));

describe('parts', () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.integer({ min: testPieceBytes - 2, max: testPieceBytes + 2 }).map((count) => new Uint8Array(count)),
    fc.integer({ min: 0, max: 5_000 }).map((seed) => randomBytes(2_500, seed)),
    fc.constant(text),
  );
  const part = fc.record({ chunks: fc.array(chunk, { maxLength: 6 }), compressed: fc.boolean() });

  it('of any content, in any chunks, any number at once, come back byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 5 }), fc.boolean(), async (parts, encrypted) => {
        const world = await makeWorld({ encrypted });
        const writing = await world.repository.beginBackup({ component: 'db', backupId: 'b1', what: 'base', signal: never });
        await Promise.all(
          parts.map(async ({ chunks, compressed }, index) => {
            const writer = writing.sink.openPart(`part ${index}`, { compressed });
            for (const bytes of chunks) await writer.write(bytes);
            await writer.end();
          }),
        );
        const record = await writing.commit(testFacts());
        const expected = Object.fromEntries(parts.map(({ chunks }, index) => [`part ${index}`, new Uint8Array(Buffer.concat(chunks))]));
        const repository = await world.reopen();
        const reader = await repository.openBackup('db', 'b1');
        expect(asText(await readParts(reader))).toEqual(asText(expected));
        expect(reader.parts.map(({ name, bytes }) => [name, bytes])).toEqual(
          Object.entries(expected).map(([name, bytes]) => [name, bytes.length]),
        );
        expect(record.plainBytes).toBe(Object.values(expected).reduce((sum, bytes) => sum + bytes.length, 0));
        expect(await repository.verifyPieces('db', 'b1', never, noise)).toEqual([]);
        expect(world.backend.putsUnderWayMax).toBeLessThanOrEqual(5);
      }),
      { numRuns: 60 },
    );
  });
});

const crashParts = { 'base.tar': randomBytes(2_600), 'text.tar': text, empty: new Uint8Array(0) };

/** Everything that a repository must hold after a crash; answers whether the backup is there. */
async function judge(world: RepositoryWorld, backupId: string): Promise<boolean> {
  const repository = await world.reopen();
  const catalogue = await repository.readCatalogue();
  expect(catalogue.unreadable).toEqual([]);
  const isThere = catalogue.entries.some(({ backup }) => backup.backupId === backupId);
  if (!isThere) return false;
  expect(await repository.verifyPieces('db', backupId, never, noise)).toEqual([]);
  expect(await readParts(await repository.openBackup('db', backupId))).toEqual(
    Object.fromEntries(Object.entries(crashParts).map(([name, bytes]) => [name, new Uint8Array(bytes)])),
  );
  return true;
}

describe('a process that dies', () => {
  it.each([
    ['every object that was put is still there', () => true],
    ['what no barrier covered is gone', () => false],
    ['every other object that no barrier covered is gone', (name: string) => name.charCodeAt(name.length - 1) % 2 === 0],
    ['the manifest alone survived', (name: string) => name.endsWith('/manifest')],
  ])('[X-06] at any call to the store leaves a complete backup or none, and the next attempt succeeds: %s', async (_, keep) => {
    let committed = 0;
    let deaths = 0;
    for (let at = 1; ; at += 1) {
      for (const when of ['before', 'after'] as const) {
        const world = await makeWorld({ encrypted: at % 2 === 0 });
        world.backend.dieAt(at, when);
        const wasTold = await writeBackup(world.repository, crashParts).then(
          () => true,
          () => false,
        );
        const died = world.backend.isDead;
        world.backend.restart(keep);
        const isThere = await judge(world, 'b1');
        // What was reported as committed is there, also after a loss of power.
        if (wasTold) expect(isThere).toBe(true);
        if (isThere) committed += 1;
        else {
          await writeBackup(await world.reopen(), crashParts);
          expect(await judge(world, 'b1')).toBe(true);
        }
        if (!died) {
          expect(wasTold).toBe(true);
          expect(deaths).toBeGreaterThan(10);
          expect(committed).toBeGreaterThan(0);
          return;
        }
        deaths += 1;
      }
    }
  });

  it('leaves objects that the sweep removes once they are old, and nothing else does', async () => {
    for (let at = 4; at < 14; at += 2) {
      const world = await makeWorld();
      await writeBackup(world.repository, crashParts, { backupId: 'good' });
      const before = world.backend.names();
      world.backend.dieAt(at, 'after');
      await writeBackup(world.repository, crashParts, { backupId: 'dead' }).catch(noise);
      world.backend.restart();
      const left = world.backend.names().length - before.length;
      const repository = await world.reopen();
      expect(await repository.sweepOrphans(3_600_000)).toMatchObject({ objects: 0 });
      const lease = await repository.takeLease({
        component: 'db',
        backupId: 'dead',
        holder: 'somebody',
        what: 'resumes it',
        ttlMs: 7_300_000,
      });
      world.nowMs += 7_200_000;
      expect(await repository.sweepOrphans(3_600_000)).toMatchObject({ objects: 0 });
      await lease.release();
      expect((await repository.sweepOrphans(3_600_000)).objects).toBe(left);
      expect(world.backend.names()).toEqual(before);
      expect(await judge(world, 'good')).toBe(true);
    }
  });
});

/** What a reader of this backup finds wrong: in its pieces, its catalogue, or on reading it. */
async function findFaults(repository: Repository): Promise<string[]> {
  const found: string[] = [];
  const note = (error: unknown) => void found.push(asHoldfastError(error).code);
  const catalogue = await repository.readCatalogue();
  found.push(...catalogue.unreadable.map(({ object }) => object));
  if (catalogue.entries.length !== 1) found.push('the catalogue has not one backup');
  await repository.verifyPieces('db', 'b1', never, noise).then((problems) => found.push(...problems), note);
  return found;
}

async function restoreFails(repository: Repository, expected: Record<string, Uint8Array>): Promise<boolean> {
  try {
    expect(asText(await readParts(await repository.openBackup('db', 'b1')))).toEqual(asText(expected));
    return false;
  } catch (error) {
    expect(asHoldfastError(error).code).not.toBe('BUG_BROKEN_BELIEF');
    return true;
  }
}

const damageParts = { 'base.tar': randomBytes(3_000), 'text.tar': text };

describe.each([
  ['plain', false],
  ['encrypted', true],
])('damage to a %s repository', (_, encrypted) => {
  it('[X-06] a flipped bit in any object of a backup is found by the check of its pieces, and never restored', async () => {
    const world = await makeWorld({ encrypted });
    await writeBackup(world.repository, damageParts);
    const repository = await world.reopen();
    for (const name of world.backend.names('backups/')) {
      const whole = world.backend.content(name);
      const step = name.endsWith('/manifest') ? 7 : Math.max(1, Math.floor(whole.length / 12));
      for (let byte = 0; byte < whole.length; byte += step) {
        world.backend.flipBit(name, byte, byte % 8);
        expect(await findFaults(repository), `${name} byte ${byte}`).not.toEqual([]);
        expect(await restoreFails(repository, damageParts), `${name} byte ${byte}`).toBe(true);
        world.backend.overwrite(name, whole);
      }
      for (const cut of [0, 1, Math.floor(whole.length / 2), whole.length - 1]) {
        world.backend.overwrite(name, whole.slice(0, cut));
        expect(await findFaults(repository), `${name} cut to ${cut}`).not.toEqual([]);
        world.backend.overwrite(name, whole);
      }
      world.backend.objects.delete(name);
      expect(await findFaults(repository), `${name} is gone`).not.toEqual([]);
      world.backend.overwrite(name, whole);
    }
    expect(await findFaults(repository)).toEqual([]);
  });

  it('[X-06] two pieces that changed places are found', async () => {
    const world = await makeWorld({ encrypted });
    await writeBackup(world.repository, damageParts);
    const pieces = world.backend.names('backups/db/b1/pieces/');
    for (const other of pieces.slice(1)) {
      const [first, second] = [world.backend.content(pieces[0] as string), world.backend.content(other)];
      world.backend.overwrite(pieces[0] as string, second);
      world.backend.overwrite(other, first);
      expect(await findFaults(world.repository)).not.toEqual([]);
      expect(await restoreFails(world.repository, damageParts)).toBe(true);
      world.backend.overwrite(pieces[0] as string, first);
      world.backend.overwrite(other, second);
    }
  });

  it('a manifest that was brought here from elsewhere is refused', async () => {
    const world = await makeWorld({ encrypted });
    await writeBackup(world.repository, damageParts);
    await writeBackup(world.repository, damageParts, { backupId: 'b2' });
    world.backend.overwrite('backups/db/b1/manifest', world.backend.content('backups/db/b2/manifest'));
    await expect(world.repository.openBackup('db', 'b1')).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
    const text = new TextDecoder().decode(world.backend.content('backups/db/b2/manifest'));
    world.backend.overwrite('backups/db/b2/manifest', new TextEncoder().encode(text.replace('"format":1', '"format":9')));
    await expect(world.repository.openBackup('db', 'b2')).rejects.toMatchObject({ code: 'REPOSITORY_NEWER_FORMAT' });
    const unreadable = (await world.repository.readCatalogue()).unreadable.map(({ object }) => object);
    expect(unreadable).toEqual(['backups/db/b1/manifest', 'backups/db/b2/manifest']);
  });

  it('[X-05] a damaged proof, tombstone, lease or gap is listed as unreadable and hides no other', async () => {
    const world = await makeWorld({ encrypted });
    const { repository } = world;
    await writeBackup(repository, { part: text });
    await repository.writeTombstone({ component: 'db', backupId: 'b1', atMs: startMs, because: 'old', by: 'retention' });
    await repository.takeLease({ component: 'db', backupId: 'b1', holder: 'drill', what: 'restore', ttlMs: 1_000 });
    const archive = await repository.openArchive('db', '7000000000000000001');
    await archive.recordGap('000000010000000000000003', '000000010000000000000005', 'the disk was full');
    const good = await repository.readCatalogue();
    expect(good.unreadable).toEqual([]);
    expect(good.entries[0]).toMatchObject({ tombstone: { because: 'old' }, leases: [{ holder: 'drill' }] });
    expect(good.gaps).toMatchObject([{ from: '000000010000000000000003', why: 'the disk was full' }]);
    for (const folder of ['tombstones/', 'leases/', 'gaps/']) {
      const [name] = world.backend.names(folder) as [string];
      const whole = world.backend.content(name);
      for (let byte = 0; byte < whole.length; byte += 5) {
        world.backend.flipBit(name, byte, byte % 8);
        const catalogue = await repository.readCatalogue();
        expect(catalogue.unreadable, `${name} byte ${byte}`).toHaveLength(1);
        expect(catalogue.entries).toHaveLength(1);
        world.backend.overwrite(name, whole);
      }
    }
  });

  it('a flipped bit in an archived log is found', async () => {
    const world = await makeWorld({ encrypted });
    const archive = await world.repository.openArchive('db', '7000000000000000001');
    await archive.push('000000010000000000000001', randomBytes(700));
    await archive.push('000000010000000000000002', text);
    for (const name of world.backend.names('wal/')) {
      const whole = world.backend.content(name);
      const log = name.slice(name.lastIndexOf('/') + 1);
      for (let byte = 0; byte < whole.length; byte += 3) {
        world.backend.flipBit(name, byte, byte % 8);
        await expect(archive.fetch(log), `${name} byte ${byte}`).rejects.toThrow();
        world.backend.overwrite(name, whole);
      }
    }
    const [first, second] = world.backend.names('wal/') as [string, string];
    world.backend.overwrite(second, world.backend.content(first));
    await expect(archive.fetch('000000010000000000000002')).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  });
});
