import { beforeEach, describe, expect, it } from 'vitest';
import { dayMs, hourMs, proofOf, segmentName } from '../../test/fakes/catalogue.ts';
import { Killed } from '../../test/fakes/memory-backend.ts';
import { makeWorld, never, type RepositoryWorld, startMs, testHost } from '../../test/fakes/repository-world.ts';
import { takeToyBackup, toyRow } from '../../test/fakes/toy-backups.ts';
import type { BackupRepository } from './backup-repository.ts';
import { applyRetention, type PruneOutcome } from './prune.ts';
import { computeRetention, type RetentionPlan } from './retention.ts';
import { type RetentionPolicy, retentionDefaults } from './retention-policy.ts';

const history = '7000000000000000001';
const policy: RetentionPolicy = { ...retentionDefaults, proven: 2, unprovenForMs: dayMs, deleteShareMax: 0.9 };
let world: RepositoryWorld;

/** Five days of a proven backup each, and a log. */
async function fill(days = 5): Promise<void> {
  const archive = await world.repository.openArchive('orders-db', history);
  for (let day = 0; day < days; day += 1) {
    const atMs = startMs + day * dayMs;
    world.nowMs = atMs;
    await archive.push(segmentName(day + 1), new TextEncoder().encode(`segment ${day}`));
    await takeToyBackup(world.repository, { backupId: `b${day}`, rows: [toyRow(day)], atMs, upTo: day });
    await world.repository.writeProof(proofOf(`b${day}`, atMs));
  }
}

async function planNow(repository: BackupRepository, more = {}): Promise<RetentionPlan> {
  const newest = segmentName(5);
  return computeRetention({
    catalogue: await repository.readCatalogue(),
    policyOf: () => policy,
    nowMs: world.nowMs,
    archives: [{ component: 'orders-db', identity: history, oldest: segmentName(1), newest, newestAtMs: world.nowMs }],
    ...more,
  });
}

const prune = async (repository: BackupRepository, plan?: RetentionPlan): Promise<PruneOutcome> =>
  await applyRetention({
    repository,
    plan: plan ?? (await planNow(repository)),
    by: 'test',
    clock: testHost(world).clock,
    signal: never,
    orphanAgeMs: dayMs,
  });

const ids = async (repository: BackupRepository) => (await repository.readCatalogue()).entries.map(({ backup }) => backup.backupId);

async function segments(repository: BackupRepository): Promise<string[]> {
  const names: string[] = [];
  for await (const name of (await repository.openArchive('orders-db', history)).list()) names.push(name);
  return names;
}

beforeEach(async () => {
  world = await makeWorld({ encrypted: true });
  await fill();
});

describe('carrying out what retention decided', () => {
  it('a tombstone first, the objects after the grace, then the log that nothing needs any more', async () => {
    const first = await prune(world.repository);
    expect([first.tombstoned.toSorted(), first.removed]).toEqual([['b0', 'b1', 'b2'], []]);
    expect(await ids(world.repository)).toEqual(['b0', 'b1', 'b2', 'b3', 'b4']);
    expect(await segments(world.repository)).toHaveLength(5);
    world.nowMs += 23 * hourMs;
    expect((await prune(world.repository)).removed).toEqual([]);
    world.nowMs += hourMs;
    const last = await prune(world.repository);
    expect([last.removed, last.objects > 6, last.bytes > 0]).toEqual([['b2', 'b1', 'b0'], true, true]);
    expect(await ids(world.repository)).toEqual(['b3', 'b4']);
    // b3 needs the log from segment 4 on.
    expect(await segments(world.repository)).toEqual([segmentName(4), segmentName(5)]);
    for (const id of ['b3', 'b4']) expect(await world.repository.verifyPieces('orders-db', id, never, () => undefined)).toEqual([]);
  });

  it('who has taken a lease since the plan was made keeps the backup and its log', async () => {
    await prune(world.repository);
    world.nowMs += dayMs;
    const plan = await planNow(world.repository);
    await world.repository.takeLease({ component: 'orders-db', backupId: 'b0', holder: 'host-2', what: 'a restore', ttlMs: hourMs });
    const outcome = await prune(world.repository, plan);
    expect(outcome.held).toEqual([{ backupId: 'b0', why: 'host-2 holds it for a restore' }]);
    expect(await ids(world.repository)).toEqual(['b0', 'b3', 'b4']);
    expect(await segments(world.repository)).toHaveLength(5);
  });

  it('a plan that is old, or refused, does nothing', async () => {
    const plan = await planNow(world.repository);
    world.nowMs += 2 * hourMs;
    const before = world.backend.names();
    await expect(prune(world.repository, plan)).rejects.toThrow(expect.objectContaining({ code: 'PRUNE_REFUSED' }));
    world.nowMs += 90 * dayMs;
    await expect(prune(world.repository)).rejects.toThrow(/it has leapt/);
    expect(world.backend.names()).toEqual(before);
  });

  it('one object that can not be read stops all of it', async () => {
    await prune(world.repository);
    world.nowMs += dayMs;
    const manifest = world.backend.names('').find((name) => /b3\/manifest/.test(name)) as string;
    world.backend.overwrite(manifest, new TextEncoder().encode('{'));
    const before = world.backend.names();
    await expect(prune(world.repository)).rejects.toThrow(/can't be read/);
    expect(world.backend.names()).toEqual(before);
  });

  it('killed at any call, before or after it took effect, the next run ends in the same state', async () => {
    await prune(world.repository);
    world.nowMs += dayMs;
    const calls = world.backend.calls.length;
    const finished = new Map(world.backend.objects);
    await prune(world.repository);
    const length = world.backend.calls.length - calls;
    const wanted = world.backend.names('').filter((name) => !name.includes('lease'));
    expect(length).toBeGreaterThan(20);
    for (let count = 1; count <= length; count += 1) {
      for (const when of ['before', 'after'] as const) {
        world.backend.objects.clear();
        for (const [name, kept] of finished) world.backend.objects.set(name, { ...kept });
        const mortal = await world.reopen();
        world.backend.dieAt(count, when);
        await prune(mortal).catch((error: unknown) => {
          if (!(error instanceof Killed) && !world.backend.isDead) throw error;
        });
        world.backend.restart();
        const next = await world.reopen();
        for (const entry of (await next.readCatalogue()).entries)
          expect(await next.verifyPieces('orders-db', entry.backup.backupId, never, () => undefined), `whole after call ${count}`).toEqual(
            [],
          );
        world.nowMs += dayMs;
        await prune(next);
        world.nowMs -= dayMs;
        expect(world.backend.names('').filter((name) => !name.includes('lease'))).toEqual(wanted);
      }
    }
  });
});
