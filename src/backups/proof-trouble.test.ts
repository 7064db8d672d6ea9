/** Proofs whose surroundings fail: the lease can't be renewed, the copy can't be removed or stopped, the record can't be written. */
import { describe, expect, it } from 'vitest';
import { fakeHost } from '../../test/fakes/host.ts';
import { makeWorld, startMs } from '../../test/fakes/repository-world.ts';
import { type ToyBehaviour, takeToyBackup, toyBackups, toyRow } from '../../test/fakes/toy-backups.ts';
import { fail } from '../base/errors.ts';
import type { Host } from '../host/host.ts';
import { type ProofRequest, proveBackup } from './proof.ts';

async function setUp(behaviour: ToyBehaviour = {}) {
  const world = await makeWorld({ encrypted: true });
  const fake = fakeHost({ nowMs: startMs });
  const backup = await takeToyBackup(world.repository, { backupId: 'b1', rows: [toyRow(1)], atMs: startMs - 60_000 });
  const backups = toyBackups(behaviour);
  const prove = (host: Host = fake, more: Partial<ProofRequest> = {}) =>
    proveBackup({
      repository: world.repository,
      component: 'orders-db',
      backups,
      options: {},
      entry: { backup },
      level: 'P4',
      target: { target: { kind: 'consistent' }, text: 'newest' },
      host,
      scratchDirectory: '/scratch',
      by: 'test',
      signal: new AbortController().signal,
      onProgress: () => undefined,
      ...more,
    });
  return { world, fake, backups, prove };
}

describe('a proof in trouble', () => {
  it('whose lease can not be renewed in time is stopped, and decides nothing', async () => {
    let cut = async (): Promise<void> => undefined;
    const { world, fake, prove, backups } = await setUp({ at: async (phase) => void (phase === 'restore' && (await cut())) });
    cut = async () => {
      world.backend.fault = ({ operation, name }) =>
        operation === 'put' && name.startsWith('leases/') ? { error: fail('STORE_NOT_ALLOWED', { message: 'read only now' }) } : undefined;
      await fake.clock.advance(11 * 60_000);
    };
    const record = await prove();
    expect([record.ok, record.inconclusive]).toEqual([false, expect.stringMatching(/the lease on b1 could not be renewed in time/)]);
    expect(backups.runningCopies.size).toBe(0);
    expect(await fake.files.list('/scratch')).toEqual([]);
  });

  it('one renewal that fails is no trouble yet', async () => {
    let cut = async (): Promise<void> => undefined;
    const { world, fake, prove } = await setUp({ at: async (phase) => void (phase === 'restore' && (await cut())) });
    cut = async () => {
      let left = 1;
      world.backend.fault = ({ operation, name }) => {
        if (left === 0 || operation !== 'put' || !name.startsWith('leases/')) return undefined;
        left -= 1;
        return { error: fail('STORE_NOT_ALLOWED') };
      };
      for (let minute = 0; minute < 20; minute += 1) await fake.clock.advance(60_000);
    };
    expect((await prove()).reached).toBe('P4');
  });

  it('[S4-50] whose copy can not be removed says where it lies', async () => {
    const { fake, prove } = await setUp();
    const files = { ...fake.files, remove: () => Promise.reject(fail('SYSTEM_REFUSED', { message: 'the disk is read only' })) };
    const record = await prove({ ...fake, files });
    expect([record.ok, record.leftBehind]).toEqual([true, expect.stringMatching(/^\/scratch\/proof-\S+: the disk is read only$/)]);
    expect(fake.logLines.some(({ event }) => event === 'proof.left-behind')).toBe(true);
  });

  it('[S4-50] whose copy can not be stopped says so: that says nothing of the backup', async () => {
    const { fake, prove } = await setUp({
      at: (phase) => {
        if (phase === 'stop') throw fail('TIMED_OUT', { message: 'it does not stop' });
      },
    });
    const record = await prove();
    expect([record.ok, record.leftBehind]).toEqual([true, expect.stringMatching(/copy-0 may still run: it does not stop$/)]);
    expect(await fake.files.list('/scratch')).toEqual([]);
  });

  it('whose record can not be written says so, and releases its lease', async () => {
    const { world, fake, prove } = await setUp();
    world.backend.fault = ({ operation, name }) =>
      operation === 'put' && name.startsWith('proofs/') ? { error: fail('STORE_FULL', { message: 'no room' }) } : undefined;
    await expect(prove()).rejects.toThrow('no room');
    world.backend.fault = () => undefined;
    const [entry] = (await world.repository.readCatalogue()).entries;
    expect([entry?.leases, entry?.proofs]).toEqual([[], []]);
    expect(await fake.files.list('/scratch')).toEqual([]);
  });

  it('of a backup that is gone is refused', async () => {
    const { world, prove } = await setUp();
    const [entry] = (await world.repository.readCatalogue()).entries;
    await world.repository.removeBackup(entry as NonNullable<typeof entry>);
    await expect(prove()).rejects.toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });
});
