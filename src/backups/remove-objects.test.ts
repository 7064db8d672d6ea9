import { describe, expect, it } from 'vitest';
import { makeWorld, never, randomBytes, startMs, writeBackup } from '../../test/fakes/repository-world.ts';
import type { ProofRecord } from './records.ts';

const request = { component: 'db', backupId: 'b1', what: 'base', signal: never };
const text = new TextEncoder().encode('a line of text\n'.repeat(500));

const proof = (more: Partial<ProofRecord> = {}): ProofRecord => ({
  proofId: 'p1',
  component: 'db',
  backupId: 'b1',
  atMs: startMs,
  wanted: 'P4',
  reached: 'P4',
  ok: true,
  target: 'newest',
  checks: [],
  phases: { fetchMs: 1, startMs: 1, checkMs: 1 },
  reachedDetail: '',
  by: 'test',
  ...more,
});

describe('removing a backup', () => {
  it('takes the manifest first: killed at any call, it leaves a complete backup or none, and the sweep ends it', async () => {
    for (let at = 1, isOver = false; !isOver; at += 1) {
      const world = await makeWorld();
      await writeBackup(world.repository, { part: randomBytes(5_000) });
      await world.repository.writeProof(proof());
      await world.repository.writeTombstone({ component: 'db', backupId: 'b1', atMs: startMs, because: 'old', by: 'retention' });
      const [entry] = (await world.repository.readCatalogue()).entries;
      if (entry === undefined) throw new Error('the backup is not there');
      world.backend.dieAt(at, at % 2 === 0 ? 'before' : 'after');
      await world.repository.removeBackup(entry).catch(() => undefined);
      isOver = !world.backend.isDead;
      world.backend.restart();
      const repository = await world.reopen();
      const { entries, unreadable } = await repository.readCatalogue();
      expect(unreadable).toEqual([]);
      if (entries.length === 1) expect(await repository.verifyPieces('db', 'b1', never, () => undefined)).toEqual([]);
      else {
        world.nowMs += 7_200_000;
        await repository.sweepOrphans(3_600_000);
        expect(world.backend.names().filter((name) => /^(?:backups|proofs|tombstones)/.test(name))).toEqual([]);
      }
    }
  });

  it('leaves all of a backup that the store keeps locked, says so, and removes it once the lock is over', async () => {
    const world = await makeWorld({ capabilities: { lock: true }, lockMs: 5_000 });
    await writeBackup(world.repository, { text });
    const [entry] = (await world.repository.readCatalogue()).entries;
    if (entry === undefined) throw new Error('the backup is not there');
    expect(entry.lockedUntilMs).toBe(startMs + 5_000);
    expect(await world.repository.removeBackup(entry)).toEqual({ objects: 0, bytes: 0, locked: 1 });
    expect(await world.repository.verifyPieces('db', 'b1', never, () => undefined)).toEqual([]);
    world.nowMs += 5_001;
    expect(await world.repository.removeBackup(entry)).toMatchObject({ locked: 0 });
    expect(world.backend.names('backups/')).toEqual([]);
  });

  it('an attempt that is abandoned under the lock is left, and swept when the lock is over', async () => {
    const world = await makeWorld({ capabilities: { lock: true }, lockMs: 5_000 });
    const writing = await world.repository.beginBackup(request);
    const part = writing.sink.openPart('part');
    await part.write(text);
    await part.end();
    await writing.abandon();
    expect(world.backend.names('backups/').length).toBeGreaterThan(0);
    world.nowMs += 5_001;
    expect(await world.repository.sweepOrphans(1_000)).toMatchObject({ locked: 0 });
    expect(world.backend.names('backups/')).toEqual([]);
  });
});
