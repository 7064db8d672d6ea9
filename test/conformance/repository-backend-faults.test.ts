/** What a bucket's store does when the network or the service fails: bounded time, the right error, no half object, and going on by itself where that is safe. */
import { PutObjectLegalHoldCommand, type S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { RepositoryBackend } from '../../src/contracts/repository-backend.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import type { S3Settings } from '../../src/repositories/s3/s3-connection.ts';
import { S3Store } from '../../src/repositories/s3/s3-store.ts';
import { type FaultyProxy, startFaultyProxy } from '../systems/faulty-proxy.ts';
import { type ObjectStoreServer, plainS3Client } from '../systems/object-store.ts';
import { freePort, releasePort } from '../systems/ports.ts';
import { describeSystem } from '../systems/requirement.ts';
import { startVersitygw } from '../systems/versitygw.ts';
import { codeOf, namesOf, noise } from './repository-backend.ts';
import { s3Settings, testTimings } from './repository-backend-s3.ts';

const host = nodeHost({ logTo: 'silent' });
const tries = testTimings.pausesMs.length + 1;

async function errorOf(work: Promise<unknown>): Promise<HoldfastError> {
  const error = await work.then(
    () => new Error('there was no error'),
    (thrown: unknown) => thrown,
  );
  expect(error).toHaveProperty('code');
  return error as HoldfastError;
}

describeSystem('versitygw', 'a bucket behind a network that fails', () => {
  let server: ObjectStoreServer;
  let proxy: FaultyProxy;
  let client: S3Client;
  let store: RepositoryBackend;
  let count = 0;
  const name = () => `object-${count}`;
  const opened: RepositoryBackend[] = [];
  const open = (more: Partial<S3Settings> = {}, bucket = 'faults'): RepositoryBackend => {
    const settings = s3Settings({ ...server, endpoint: proxy.endpoint }, bucket, more);
    const one = new S3Store(settings, host, testTimings);
    opened.push(one);
    return one;
  };
  const direct = () => new S3Store(s3Settings(server, 'faults'), host);

  beforeAll(async () => {
    server = await startVersitygw();
    proxy = await startFaultyProxy(server.endpoint);
    client = plainS3Client(server);
    await server.makeBucket('faults');
    await server.makeBucket('versions', { lock: true });
  });
  beforeEach(() => {
    count += 1;
    store = open();
    proxy.takeSeen();
  });
  afterEach(async () => {
    proxy.heal();
    for (const each of opened.splice(0)) await each.close();
  });
  afterAll(async () => {
    client?.destroy();
    await proxy?.stop();
    await server?.stop();
  });

  describe('put', () => {
    const content = noise(300_000);

    it('goes on by itself after "slow down", and after a connection that was cut before the request arrived', async () => {
      proxy.order({ kind: 'status', status: 503, code: 'SlowDown' }, { times: 2 });
      proxy.order({ kind: 'cut-request' });
      expect(await store.put(name(), content)).toBe('created');
      expect(Buffer.from(await store.get(name())).equals(content)).toBe(true);
    });

    it('knows its own object again when the answer was lost: created, not "exists"', async () => {
      proxy.order({ kind: 'lose-answer' });
      expect(await store.put(name(), content)).toBe('created');
    });

    it("knows somebody else's object when the answer was lost: exists, and unchanged", async () => {
      const other = direct();
      await other.put(name(), noise(10));
      proxy.order({ kind: 'lose-answer' });
      expect(await store.put(name(), content)).toBe('exists');
      expect(await other.get(name())).toHaveLength(10);
      await other.close();
    });

    it('finds out what became of it when no try was answered', async () => {
      proxy.order({ kind: 'lose-answer' }, { times: tries, method: 'PUT' });
      expect(await store.put(name(), content)).toBe('created');
    });

    it('says that the outcome is not known when nothing can be found out', async () => {
      proxy.order({ kind: 'lose-answer' }, { times: 100 });
      const error = await errorOf(store.put(name(), content));
      expect([error.code, error.kind]).toEqual(['STORE_OUTCOME_UNKNOWN', 'unknown-outcome']);
      proxy.heal();
      expect((await store.head(name()))?.sizeBytes).toBe(content.length);
    });

    it('is refused for good after a bounded number of tries, and nothing is there', async () => {
      proxy.order({ kind: 'status', status: 503, code: 'SlowDown' }, { times: 100, method: 'PUT' });
      const error = await errorOf(store.put(name(), content));
      expect(error.code).toBe('STORE_OUTCOME_UNKNOWN');
      expect(proxy.takeSeen().filter((line) => line.startsWith('PUT'))).toHaveLength(tries);
      expect(await store.head(name())).toBeUndefined();
    });

    it('is retried where the service says that two puts collided', async () => {
      proxy.order({ kind: 'status', status: 409, code: 'ConditionalRequestConflict' });
      expect(await store.put(name(), content)).toBe('created');
    });

    it('ends in bounded time when nothing ever comes back', async () => {
      proxy.order({ kind: 'hang' }, { times: 100 });
      const startedMs = performance.now();
      const error = await errorOf(store.put(name(), content));
      expect(error.code).toBe('STORE_OUTCOME_UNKNOWN');
      expect(performance.now() - startedMs).toBeLessThan(2 * tries * (testTimings.silenceMs + 500));
    }, 60_000);

    it('ends at once when the caller gives up', async () => {
      proxy.order({ kind: 'hang' }, { times: 100 });
      const giveUp = new AbortController();
      setTimeout(() => giveUp.abort(new Error('given up')), 100);
      const startedMs = performance.now();
      await expect(store.put(name(), content, { signal: giveUp.signal })).rejects.toThrow('given up');
      expect(performance.now() - startedMs).toBeLessThan(1_000);
    });

    it('says that the disk of the service is full', async () => {
      proxy.order({ kind: 'status', status: 507, code: 'XMinioStorageFull' });
      expect(await codeOf(store.put(name(), content))).toBe('STORE_FULL');
    });

    it('takes an object away again that the service did not encrypt with the key that was asked for', async () => {
      const wishing = open({ storeKey: 'alias/holdfast' });
      expect(await codeOf(wishing.put(name(), content))).toBe('STORE_NO_KEY_SERVICE');
      expect(await store.head(name())).toBeUndefined();
    });
  });

  describe('get', () => {
    const content = noise(300_000, 3);

    it('never hands on a part of an object: it is read again', async () => {
      await store.put(name(), content);
      proxy.order({ kind: 'cut-answer', afterBytes: 100_000 }, { times: 2 });
      expect(Buffer.from(await store.get(name())).equals(content)).toBe(true);
      expect(proxy.takeSeen().filter((line) => line.startsWith('GET'))).toHaveLength(3);
    });

    it('is unreachable when it is cut each time, and when it hangs', async () => {
      await store.put(name(), content);
      proxy.order({ kind: 'cut-answer', afterBytes: 100_000 }, { times: tries });
      expect(await codeOf(store.get(name()))).toBe('STORE_UNREACHABLE');
      proxy.order({ kind: 'hang' }, { times: tries });
      expect(await codeOf(store.get(name()))).toBe('STORE_UNREACHABLE');
      expect(Buffer.from(await store.get(name())).equals(content)).toBe(true);
    });
  });

  it('lists on after a page that was refused', async () => {
    await store.put(`${name()}/a`, noise(1));
    proxy.order({ kind: 'status', status: 500, code: 'InternalError' });
    expect(await namesOf(store.list(`${name()}/`))).toEqual([`${name()}/a`]);
  });

  it('removes again what may have been removed already', async () => {
    await store.put(name(), noise(1));
    proxy.order({ kind: 'lose-answer' }, { method: 'DELETE' });
    await store.remove(name());
    expect(await store.head(name())).toBeUndefined();
  });

  it('has an error of its own for each thing that a person must mend', async () => {
    const told = async (more: Partial<S3Settings>, bucket?: string) => {
      const error = await errorOf(open(more, bucket).put('x', noise(1)));
      return { code: error.code, kind: error.kind, message: error.message, hint: error.hint };
    };
    expect(await told({}, 'no-such-bucket')).toMatchObject({ code: 'STORE_MISSING_PLACE', kind: 'invalid' });
    const wrongSecret = await told({ secretAccessKey: new Secret('not-the-right-secret', 'test') });
    expect(wrongSecret).toMatchObject({ code: 'STORE_NOT_ALLOWED', hint: expect.stringContaining('secret-access-key') });
    expect(JSON.stringify(wrongSecret)).not.toContain('not-the-right-secret');

    expect(await told({ accessKeyId: new Secret('nobody', 'test') })).toMatchObject({
      code: 'STORE_NOT_ALLOWED',
      hint: expect.stringContaining('access-key-id'),
    });
    const absent = open({}, 'no-such-bucket');
    expect(await codeOf(absent.head('x'))).toBe('STORE_MISSING_PLACE');
    expect(await codeOf(absent.get('x'))).toBe('STORE_MISSING_PLACE');
    expect(await codeOf(namesOf(absent.list('')))).toBe('STORE_MISSING_PLACE');
    proxy.order({ kind: 'status', status: 403, code: 'AccessDenied' });
    expect(await told({})).toMatchObject({ code: 'STORE_NOT_ALLOWED', kind: 'refused' });
    proxy.order({ kind: 'status', status: 403, code: 'RequestTimeTooSkewed' });
    expect(await told({})).toMatchObject({ code: 'STORE_NOT_ALLOWED', hint: expect.stringContaining('clock') });
    proxy.order({ kind: 'status', status: 301, code: 'PermanentRedirect' });
    expect(await told({})).toMatchObject({ code: 'STORE_MISSING_PLACE', hint: expect.stringContaining('region') });
    proxy.order({ kind: 'status', status: 400, code: 'KMS.DisabledException' });
    expect(await told({})).toMatchObject({ code: 'STORE_NO_KEY_SERVICE' });
  });

  it('is unreachable where nothing listens, where no name is known, and where something else answers', async () => {
    const port = await freePort();
    const nowhere = open({ endpoint: `http://127.0.0.1:${port}` });
    const refused = await errorOf(nowhere.put('x', noise(1)));
    releasePort(port);
    expect([refused.code, refused.kind]).toEqual(['STORE_UNREACHABLE', 'transient']);
    expect(await codeOf(open({ endpoint: 'http://no-such-host.invalid' }).head('x'))).toBe('STORE_UNREACHABLE');
    proxy.order({ kind: 'web-page' }, { times: 100 });
    // A network that answers in the service's place must not look like an empty repository, nor like a finished put.
    expect(await codeOf(namesOf(store.list('')))).toBe('STORE_UNREACHABLE');
    expect(await codeOf(store.head('x'))).toBe('STORE_UNREACHABLE');
    expect(await codeOf(store.get('x'))).toBe('STORE_UNREACHABLE');
    expect(await codeOf(store.put('x', noise(1)))).toBe('STORE_OUTCOME_UNKNOWN');
  });

  it('[S5-16] tells of each object whether its copy in another region exists', async () => {
    await store.put(name(), noise(1));
    expect((await store.head(name()))?.replication).toBeUndefined();
    const said = async (status: string) => {
      proxy.order({ kind: 'headers', headers: { 'x-amz-replication-status': status } }, { method: 'HEAD' });
      return (await store.head(name()))?.replication;
    };
    expect(await said('PENDING')).toBe('pending');
    expect(await said('COMPLETED')).toBe('done');
    expect(await said('FAILED')).toBe('failed');
    expect(await said('REPLICA')).toBe('done');
  });

  describe('in a bucket that keeps versions', () => {
    it('removes all versions and the marks that hide them: a hidden object is not a removed one', async () => {
      const versioned = open({}, 'versions');
      await versioned.put('twice', noise(1));
      await versioned.remove('twice');
      await versioned.put('twice', noise(2));
      const { DeleteObjectCommand, ListObjectVersionsCommand } = await import('@aws-sdk/client-s3');
      await client.send(new DeleteObjectCommand({ Bucket: 'versions', Key: 'twice' }));
      expect(await versioned.head('twice')).toBeUndefined();
      await versioned.remove('twice');
      const left = await client.send(new ListObjectVersionsCommand({ Bucket: 'versions', Prefix: 'twice' }));
      expect([...(left.Versions ?? []), ...(left.DeleteMarkers ?? [])]).toEqual([]);
    });

    it('keeps what is under a legal hold', async () => {
      const versioned = open({}, 'versions');
      await versioned.put('held', noise(1));
      await client.send(new PutObjectLegalHoldCommand({ Bucket: 'versions', Key: 'held', LegalHold: { Status: 'ON' } }));
      expect(await codeOf(versioned.remove('held'))).toBe('STORE_LOCKED');
      expect(await versioned.get('held')).toHaveLength(1);
    });
  });
});
