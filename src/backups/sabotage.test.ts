import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../test/fakes/host.ts';
import { makeWorld, type RepositoryWorld, startMs, testHost } from '../../test/fakes/repository-world.ts';
import { archiveToyEvents, type ToyBackupParts, takeToyBackup, toyBackups, toyPosition, toyRow } from '../../test/fakes/toy-backups.ts';
import { Secret } from '../base/secret.ts';
import type { AnyDriverBackups, RunningCopy } from '../contracts/backup.ts';
import { nodeHost } from '../host/node/node-host.ts';
import { openRepository } from './open-repository.ts';
import {
  chooseDamage,
  computeCatchRate,
  type Damage,
  generalDamages,
  proveDamaged,
  runControls,
  type SabotageRequest,
} from './sabotage.ts';

const host = nodeHost({ logTo: 'silent' });
const rows = Array.from({ length: 200 }, (_, id) => toyRow(id));
let world: RepositoryWorld;
let scratchDirectory = '';

beforeEach(async () => {
  world = await makeWorld({ encrypted: true });
  scratchDirectory = await mkdtemp(join(tmpdir(), 'holdfast-sabotage-'));
});
afterEach(() => rm(scratchDirectory, { recursive: true, force: true }));

async function requestOf(parts: Partial<ToyBackupParts> = {}, more: Partial<SabotageRequest> = {}): Promise<SabotageRequest> {
  const backup = await takeToyBackup(world.repository, { backupId: 'b1', rows, atMs: startMs - 60_000, ...parts });
  return {
    repository: world.repository,
    component: 'orders-db',
    backups: toyBackups(),
    options: {},
    entry: { backup },
    level: 'P5',
    target: { target: { kind: 'consistent' }, text: 'newest' },
    host,
    scratchDirectory,
    by: 'test',
    signal: new AbortController().signal,
    onProgress: () => undefined,
    store: {
      backend: world.backend,
      openOver: (backend) =>
        openRepository({ backend, platform: 'orders', host: testHost(world, 5), secret: new Secret(world.recoveryKey as string, 'test') }),
    },
    chance: seededRandom(4).next,
    ...more,
  };
}

const withLog = async (more: Partial<SabotageRequest> = {}) => {
  const events = [11, 12, 13, 14, 15].map((number) => ({ number, atMs: startMs + number * 1_000, row: toyRow(1_000 + number) }));
  const request = await requestOf(
    { upTo: 10 },
    { target: { target: { kind: 'newest' }, text: 'newest', expected: { position: toyPosition(15) } }, ...more },
  );
  await archiveToyEvents(await world.repository.openArchive('orders-db', '7000000000000000001'), events);
  return request;
};

/** A prover that is content with whatever comes back. */
function credulous(): AnyDriverBackups {
  const real = toyBackups();
  const content = async () => [{ name: 'it looks fine', level: 'P3' as const, ok: true, detail: '' }];
  const easy = (copy: RunningCopy): RunningCopy => ({
    ...copy,
    check: content,
    compare: async () => [{ name: 'it looks the same', level: 'P4', ok: true, detail: '' }],
  });
  return {
    ...real,
    openRestorer: (context) => {
      const restorer = real.openRestorer(context);
      return {
        ...restorer,
        restore: async (...args) => {
          const copy = await restorer.restore(...args);
          return { ...copy, checkStopped: content, start: async () => easy(await copy.start()) };
        },
      };
    },
  };
}

describe('negative controls', () => {
  it('every damage that needs to know nothing of the system is caught, at the level where it belongs', async () => {
    const outcomes = await runControls(await withLog(), generalDamages);
    const summary = outcomes.map(({ damage, result, caughtAt }) => `${damage}: ${result} ${caughtAt ?? ''}`);
    expect(outcomes.filter(({ result }) => result === 'missed')).toEqual([]);
    expect(summary.filter((line) => / stored /.test(line)).every((line) => /caught P1$/.test(line))).toBe(true);
    expect(summary).toContain('lose a log segment: caught P5');
    expect(outcomes.filter(({ result }) => result === 'caught').length).toBeGreaterThanOrEqual(11);
    expect(computeCatchRate(outcomes).caught).toBe(computeCatchRate(outcomes).tried);
    expect(await readdir(scratchDirectory)).toEqual([]);
  });

  it('nothing real is changed, and the records never count for the backup', async () => {
    const request = await withLog();
    const before = new Map([...world.backend.objects].map(([name, { content }]) => [name, Buffer.from(content).toString('hex')]));
    const outcomes = await runControls(request, generalDamages);
    for (const [name, content] of before) expect(Buffer.from(world.backend.content(name)).toString('hex'), name).toBe(content);
    const catalogue = await world.repository.readCatalogue();
    expect(catalogue.entries[0]?.proofs.map(({ ok }) => ok)).toEqual([true]);
    expect(catalogue.sabotaged).toHaveLength(outcomes.filter(({ record }) => record).length);
    for (const { sabotage, ok, target } of catalogue.sabotaged)
      expect([ok, typeof sabotage, /damaged: /.test(target)]).toEqual([false, 'string', true]);
  });

  it('a prover that believes everything is found out', async () => {
    const request = await withLog({ backups: credulous(), level: 'P4' });
    const outcomes = await runControls(request, generalDamages);
    const { tried, caught, byKind } = computeCatchRate(outcomes);
    expect(caught).toBeLessThan(tried);
    expect(byKind['lose a log segment']).toEqual({ tried: 1, caught: 0 });
    expect(byKind['flip a byte of a stored piece'], 'digests are not up to the driver').toEqual({ tried: 1, caught: 1 });
  });

  it('without a sound proof first there is nothing to control', async () => {
    const request = await requestOf({ fingerprintOf: [] });
    await expect(runControls(request, generalDamages)).rejects.toThrow(/does not pass its proof undamaged \(it reached P3\)/);
  });

  it('a damage that can not be done is none: it is neither tried nor caught', async () => {
    const request = await requestOf();
    const failing: Damage = {
      strikes: 'running',
      name: 'delete rows',
      running: { name: 'delete rows', command: () => 'echo no such table >&2; exit 3' },
    };
    const outcomes = [
      await proveDamaged(request, failing),
      await proveDamaged(request, { strikes: 'content', name: 'lose a log segment' }),
      await proveDamaged(
        {
          ...request,
          backups: toyBackups({
            at: () => {
              throw new Error('it broke by itself');
            },
          }),
        },
        { strikes: 'restored', name: 'empty a restored file' },
      ),
    ];
    expect(outcomes.map(({ result }) => result)).toEqual(['not-done', 'not-done', 'not-done']);
    expect(outcomes[0]?.detail).toMatch(/no such table/);
    for (const { record } of outcomes) expect(record?.ok ?? false).toBe(false);
    expect(outcomes.filter(({ record }) => record?.inconclusive === undefined).length).toBe(1);
    expect(computeCatchRate(outcomes)).toEqual({ tried: 0, caught: 0, byKind: {} });
  });

  it('a damage is chosen by name or by chance', () => {
    expect(chooseDamage('lose a log segment', () => 0).strikes).toBe('content');
    expect(chooseDamage('random', () => 0.999).name).toBe('lose a restored file');
    expect(() => chooseDamage('set it on fire', () => 0)).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND', hint: expect.stringContaining('flip a byte of a stored piece') }),
    );
  });

  it('the same chance strikes the same place', async () => {
    const request = await requestOf();
    const strike = async (seed: number) =>
      (await proveDamaged({ ...request, chance: seededRandom(seed).next }, { strikes: 'content', name: 'flip a byte of the content' }))
        .detail;
    const [first, again, other] = [await strike(1), await strike(1), await strike(2)];
    expect(first).toBe(again);
    expect(first).not.toBe(other);
  });
});
