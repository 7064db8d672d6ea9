import { describe, expect, it } from 'vitest';
import { failFirst } from '../../test/fakes/memory-backend.ts';
import {
  makeWorld,
  never,
  randomBytes,
  readParts,
  startMs,
  testFacts,
  testPieceBytes,
  writeBackup,
} from '../../test/fakes/repository-world.ts';
import { fail } from '../base/errors.ts';
import type { ProofRecord } from './records.ts';

const request = { component: 'db', backupId: 'b1', what: 'base', signal: never };
const text = new TextEncoder().encode('a line of text\n'.repeat(500));

describe('a backup being written', () => {
  it('does not exist until it is committed, and leaves nothing when it is abandoned', async () => {
    const { repository, backend } = await makeWorld({ encrypted: true });
    const before = backend.names();
    const writing = await repository.beginBackup(request);
    const part = writing.sink.openPart('part');
    await part.write(text);
    await part.end();
    expect(writing.progress.plainBytes).toBe(text.length);
    expect(writing.progress.storedBytes).toBeGreaterThan(0);
    expect(await repository.findBackup('db', 'b1')).toBeUndefined();
    await expect(repository.openBackup('db', 'b1')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await repository.readCatalogue()).entries).toEqual([]);
    await writing.abandon();
    await writing.abandon();
    expect(backend.names()).toEqual(before);
    await expect(writing.commit(testFacts())).rejects.toMatchObject({ code: 'BACKUP_INCOMPLETE' });
  });

  it('is refused with a part that was not ended, a name that can not be, and an id that is taken', async () => {
    const { repository } = await makeWorld();
    const writing = await repository.beginBackup(request);
    const part = writing.sink.openPart('part');
    await part.write(text);
    await expect(writing.commit(testFacts())).rejects.toMatchObject({
      code: 'BACKUP_INCOMPLETE',
      message: expect.stringContaining('part'),
    });
    for (const name of ['', 'a\nb', 'x'.repeat(600), 'part']) expect(() => writing.sink.openPart(name)).toThrow();
    await part.end();
    await expect(part.write(text)).rejects.toThrow();
    await writing.commit(testFacts());
    await expect(repository.beginBackup(request)).rejects.toMatchObject({ code: 'BACKUP_INCOMPLETE' });
  });

  it('a store that gets full in the middle fails it, and what was stored is removed', async () => {
    const { repository, backend } = await makeWorld();
    const before = backend.names();
    backend.capacityBytes = 6_000;
    const writing = await repository.beginBackup(request);
    const part = writing.sink.openPart('part', { compressed: true });
    const writeAll = async () => {
      for (let chunk = 0; chunk < 40; chunk += 1) await part.write(randomBytes(500, chunk));
      await part.end();
    };
    await expect(writeAll()).rejects.toMatchObject({ code: 'STORE_FULL' });
    await expect(writing.commit(testFacts())).rejects.toMatchObject({ code: 'STORE_FULL' });
    await writing.abandon();
    expect(backend.names()).toEqual(before);
  });

  it('goes on through a store that does not answer for a while, and gives up where it never does', async () => {
    const world = await makeWorld({ encrypted: true });
    const isPut = ({ operation }: { readonly operation: string }) => operation === 'put';
    // Three in all: should one put meet all of them, it has a try left.
    const faults = [failFirst(1, isPut, () => fail('STORE_UNREACHABLE')), failFirst(2, isPut, () => fail('STORE_OUTCOME_UNKNOWN'), true)];
    world.backend.fault = (call) => faults[0]?.(call) ?? faults[1]?.(call);
    await writeBackup(world.repository, { text, random: randomBytes(4_000) });
    expect(await readParts(await world.repository.openBackup('db', 'b1'))).toEqual({ text, random: randomBytes(4_000) });
    world.backend.fault = failFirst(1_000, isPut, () => fail('STORE_UNREACHABLE'));
    await expect(writeBackup(world.repository, { text }, { backupId: 'b2' })).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  });

  it('is stopped by its signal', async () => {
    const { repository } = await makeWorld();
    const stop = new AbortController();
    const writing = await repository.beginBackup({ ...request, signal: stop.signal });
    const part = writing.sink.openPart('part');
    await part.write(text);
    stop.abort(fail('INTERRUPTED'));
    await expect(part.write(text)).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await expect(writing.commit(testFacts())).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await writing.abandon();
  });

  it('holds no more than a few pieces, however slow the store and however many parts', async () => {
    const { repository, backend } = await makeWorld();
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    backend.onPut = () => gate;
    const writing = await repository.beginBackup(request);
    const parts = Array.from({ length: 6 }, (_, index) => writing.sink.openPart(`part ${index}`, { compressed: true }));
    let written = 0;
    const all = parts.map(async (part, index) => {
      for (let chunk = 0; chunk < 20; chunk += 1) {
        await part.write(randomBytes(testPieceBytes, index * 100 + chunk));
        written += 1;
      }
      await part.end();
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(written).toBeLessThanOrEqual(4);
    expect(backend.putsUnderWayMax).toBe(4);
    release();
    await Promise.all(all);
    await writing.commit(testFacts());
    expect(backend.putsUnderWayMax).toBe(4);
  });

  it('a part that keeps its buffer can write it anew each time', async () => {
    const { repository } = await makeWorld();
    const writing = await repository.beginBackup(request);
    const part = writing.sink.openPart('part');
    const expected: Uint8Array[] = [];
    for (let chunk = 0; chunk < 30; chunk += 1) {
      const bytes = randomBytes(333, chunk);
      expected.push(bytes);
      await part.write(bytes);
    }
    await part.end();
    await writing.commit(testFacts());
    expect(await readParts(await repository.openBackup('db', 'b1'))).toEqual({ part: new Uint8Array(Buffer.concat(expected)) });
  });

  it('bytes that a driver writes without waiting do not overtake each other', async () => {
    const { repository, backend } = await makeWorld({ encrypted: true });
    backend.onPut = async () => await new Promise((resolve) => setTimeout(resolve, 1));
    const writing = await repository.beginBackup(request);
    const part = writing.sink.openPart('part', { compressed: true });
    const chunks = Array.from({ length: 12 }, (_, chunk) => randomBytes(testPieceBytes * 1.5, chunk));
    const writes = chunks.map((bytes) => part.write(bytes));
    const ended = part.end();
    await Promise.all([...writes, ended]);
    await writing.commit(testFacts());
    expect(await readParts(await repository.openBackup('db', 'b1'))).toEqual({ part: new Uint8Array(Buffer.concat(chunks)) });
  });

  it('of two that commit one id, one is told, and abandoning does not touch the other', async () => {
    const { repository, reopen } = await makeWorld();
    const [one, two] = [await repository.beginBackup(request), await (await reopen()).beginBackup(request)];
    for (const [writing, content] of [
      [one, text],
      [two, randomBytes(2_000)],
    ] as const) {
      const part = writing.sink.openPart('part');
      await part.write(content);
      await part.end();
    }
    await one.commit(testFacts());
    await expect(two.commit(testFacts())).rejects.toMatchObject({ code: 'BACKUP_INCOMPLETE' });
    await two.abandon();
    expect(await readParts(await repository.openBackup('db', 'b1'))).toEqual({ part: text });
  });
});

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

describe('the catalogue', () => {
  it('[X-05] is in the order of the instants that backups come back to, with proofs, tombstones and leases, from the store alone', async () => {
    const world = await makeWorld({ encrypted: true });
    const { repository } = world;
    await writeBackup(repository, { text }, { backupId: 'z', facts: testFacts({ consistentAtMs: startMs - 500 }) });
    await writeBackup(repository, { text }, { backupId: 'a', facts: testFacts({ consistentAtMs: startMs }) });
    await writeBackup(repository, { text }, { backupId: 'm', component: 'other', facts: testFacts({ consistentAtMs: startMs - 900 }) });
    await repository.writeProof(proof({ proofId: 'p2', backupId: 'a', atMs: startMs + 2, ok: false, reached: 'none' }));
    await repository.writeProof(proof({ proofId: 'p1', backupId: 'a', atMs: startMs + 1 }));
    await repository.writeProof(proof({ proofId: 'p3', backupId: 'a', atMs: startMs + 3, ok: false, sabotage: 'a byte was flipped' }));
    const lease = await repository.takeLease({ component: 'db', backupId: 'a', holder: 'drill', what: 'restore', ttlMs: 1_000 });
    const again = await world.reopen();
    const catalogue = await again.readCatalogue();
    expect(catalogue.entries.map(({ backup }) => backup.backupId)).toEqual(['m', 'z', 'a']);
    expect(catalogue.entries[2]?.proofs.map(({ proofId }) => proofId)).toEqual(['p1', 'p2']);
    expect(catalogue.sabotaged.map(({ proofId }) => proofId)).toEqual(['p3']);
    expect(catalogue.entries[2]?.leases).toMatchObject([{ holder: 'drill', untilMs: startMs + 1_000 }]);
    expect((await again.readCatalogue('other')).entries.map(({ backup }) => backup.backupId)).toEqual(['m']);
    world.nowMs += 999;
    await lease.renew();
    world.nowMs += 999;
    expect((await again.readCatalogue('db')).entries[1]?.leases).toHaveLength(1);
    world.nowMs += 2;
    expect((await again.readCatalogue('db')).entries[1]?.leases).toEqual([]);
    await lease.renew();
    expect((await again.readCatalogue('db')).entries[1]?.leases).toHaveLength(1);
    await lease.release();
    expect(world.backend.names('leases/')).toEqual([]);
  });

  it('lists few objects of a backup with many pieces', async () => {
    const { repository, backend } = await makeWorld();
    for (const backupId of ['b1', 'b2', 'b3']) await writeBackup(repository, { part: randomBytes(60_000) }, { backupId });
    backend.calls.length = 0;
    expect((await repository.readCatalogue()).entries).toHaveLength(3);
    expect(backend.calls.length).toBeLessThan(20);
  });

  it('ends where the store does not answer, instead of showing half', async () => {
    const { repository, backend } = await makeWorld();
    await writeBackup(repository, { text });
    backend.fault = failFirst(
      1_000,
      ({ operation }) => operation === 'get',
      () => fail('STORE_UNREACHABLE'),
    );
    await expect(repository.readCatalogue()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  });
});

describe('copies of a backup in another region', () => {
  it('[X-06] are there once the store says so of every object, whatever it says of the manifest', async () => {
    const { repository, backend } = await makeWorld({ encrypted: true });
    const record = await writeBackup(repository, { random: randomBytes(5_000), text });
    expect(record.digest).toMatch(/^[0-9a-f]{64}$/);
    const names = backend.names('backups/db/b1/');
    expect(await repository.readCopies('db', 'b1', never)).toMatchObject({ objects: names.length, done: 0, none: names.length });
    for (const name of names) Object.assign(backend.objects.get(name) ?? {}, { replication: 'done' });
    expect(await repository.readCopies('db', 'b1', never)).toMatchObject({ objects: names.length, done: names.length });
    Object.assign(backend.objects.get(names.at(-1) as string) ?? {}, { replication: 'pending' });
    Object.assign(backend.objects.get(names.at(-2) as string) ?? {}, { replication: 'failed' });
    expect(await repository.readCopies('db', 'b1', never)).toMatchObject({ done: names.length - 2, pending: 1, failed: 1 });
  });
});

describe('the store of a repository', () => {
  it('is tried anew by check, and what was found last is what a new process obeys', async () => {
    const capabilities = { lock: false };
    const world = await makeWorld({ capabilities });
    expect(world.repository.capabilities.lock).toBe(false);
    capabilities.lock = true;
    world.nowMs += 10;
    expect((await world.repository.check(never)).lock).toBe(true);
    expect((await world.reopen()).capabilities.lock).toBe(true);
    capabilities.lock = false;
    for (let look = 0; look < 20; look += 1) {
      world.nowMs += 1_000;
      await world.repository.check(never);
    }
    expect(world.backend.names('capabilities/')).toHaveLength(5);
    expect((await world.reopen()).capabilities.lock).toBe(false);
  });
});
