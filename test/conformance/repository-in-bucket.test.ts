/** A whole repository in a bucket: what the core makes of the store, and what becomes of it when the network fails and when the bucket locks. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import type { Repository } from '../../src/backups/repository.ts';
import { Secret } from '../../src/base/secret.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { S3Store } from '../../src/repositories/s3/s3-store.ts';
import { readParts, testFacts, writeBackup } from '../fakes/repository-world.ts';
import { type FaultyProxy, startFaultyProxy } from '../systems/faulty-proxy.ts';
import type { ObjectStoreServer } from '../systems/object-store.ts';
import { describeSystem } from '../systems/requirement.ts';
import { startVersitygw } from '../systems/versitygw.ts';
import { codeOf, namesOf, noise } from './repository-backend.ts';
import { s3Settings, testTimings } from './repository-backend-s3.ts';

const host = nodeHost({ logTo: 'silent' });
const pieceBytes = 256 * 1024;
const never = new AbortController().signal;

describeSystem('versitygw', 'a repository in a bucket', () => {
  let server: ObjectStoreServer;
  let proxy: FaultyProxy;
  beforeAll(async () => {
    server = await startVersitygw();
    proxy = await startFaultyProxy(server.endpoint);
  });
  afterAll(async () => {
    await proxy?.stop();
    await server?.stop();
  });

  const placeIn = (bucket: string, more: { readonly lockMs?: number } = {}) => ({
    backend: new S3Store(s3Settings({ ...server, endpoint: proxy.endpoint }, bucket, { prefix: 'orders/' }), host, testTimings),
    host,
    platform: 'orders',
    pieceBytes,
    ...more,
  });
  async function make(bucket: string, lockMs?: number): Promise<{ repository: Repository; key: Secret }> {
    await server.makeBucket(bucket, { lock: lockMs !== undefined });
    let key = '';
    const repository = await createRepository({
      ...placeIn(bucket, lockMs === undefined ? {} : { lockMs }),
      encryption: {},
      confirmRecoveryKey: async (shown) => {
        key = shown;
        return shown;
      },
    });
    return { repository, key: new Secret(key, 'test') };
  }
  const parts = { 'base.tar': noise(1_500_000, 5), 'small.conf': noise(100, 6), empty: new Uint8Array(0) };
  const wanted = Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, new Uint8Array(bytes)]));

  it('[S4-39] [X-05] backs up and restores through a network that loses answers, cuts connections and asks to slow down', async () => {
    const { repository, key } = await make('shaky');
    proxy.order({ kind: 'status', status: 503, code: 'SlowDown' }, { times: 2, method: 'PUT' });
    proxy.order({ kind: 'lose-answer' }, { times: 2, method: 'PUT' });
    proxy.order({ kind: 'cut-request' }, { times: 2, method: 'PUT' });
    await writeBackup(repository, parts, { backupId: 'b1', facts: testFacts() });
    proxy.heal();
    await repository.close();
    const again = await openRepository({ ...placeIn('shaky'), secret: key });
    proxy.order({ kind: 'cut-answer', afterBytes: 50_000 }, { times: 3, method: 'GET' });
    expect(await readParts(await again.openBackup('db', 'b1'))).toEqual(wanted);
    expect(await again.verifyPieces('db', 'b1', never, () => undefined)).toEqual([]);
    proxy.heal();
    await again.close();
  });

  it('is no backup when the store is gone for good in the middle, and the next attempt goes on', async () => {
    const { repository, key } = await make('gone');
    const writing = await repository.beginBackup({ component: 'db', backupId: 'b1', what: 'base', signal: never });
    const part = writing.sink.openPart('base.tar', { compressed: true });
    await part.write(noise(600_000, 8));
    proxy.order({ kind: 'status', status: 403, code: 'AccessDenied' }, { times: 10_000 });
    const end = (async () => {
      await part.write(noise(600_000, 9));
      await part.end();
      await writing.commit(testFacts());
    })();
    expect(await codeOf(end)).toBe('STORE_NOT_ALLOWED');
    proxy.heal();
    await repository.close();
    const again = await openRepository({ ...placeIn('gone'), secret: key });
    expect((await again.readCatalogue()).entries).toEqual([]);
    await writeBackup(again, parts, { backupId: 'b1', facts: testFacts() });
    expect(await readParts(await again.openBackup('db', 'b1'))).toEqual(wanted);
    await again.close();
  });

  it('keeps what the bucket locks: a backup can not be removed before its time, by us neither', async () => {
    const { repository } = await make('locked', 3_600_000);
    expect(repository.capabilities.lock).toBe(true);
    await writeBackup(repository, { part: noise(1_000) }, { backupId: 'b1', facts: testFacts() });
    const [entry] = (await repository.readCatalogue()).entries;
    expect(entry?.lockedUntilMs ?? 0).toBeGreaterThan(Date.now() + 3_000_000);
    const removed = await repository.removeBackup(entry as NonNullable<typeof entry>);
    expect(removed).toMatchObject({ objects: 0 });
    expect(removed.locked).toBeGreaterThan(0);
    expect(await readParts(await repository.openBackup('db', 'b1'))).toEqual({ part: new Uint8Array(noise(1_000)) });
    await repository.close();
  });

  it('is not made in a bucket that can not lock where the spec asks for it', async () => {
    await server.makeBucket('lockless');
    const backend = placeIn('lockless').backend;
    const making = createRepository({
      ...placeIn('lockless', { lockMs: 3_600_000 }),
      encryption: {},
      confirmRecoveryKey: async (key) => key,
    });
    expect(await codeOf(making)).toBe('STORE_NO_LOCK');
    expect(await namesOf(backend.list(''))).toEqual([]);
    await backend.close();
  });
});
