import { HeadObjectCommand, PutBucketReplicationCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { S3Store } from '../../src/repositories/s3/s3-store.ts';
import { startMoto } from '../systems/moto.ts';
import { type ObjectStoreServer, plainS3Client } from '../systems/object-store.ts';
import { describeSystem } from '../systems/requirement.ts';
import { startVersitygw } from '../systems/versitygw.ts';
import { noise, repositoryBackendConformance } from './repository-backend.ts';
import { s3Settings, s3Subject } from './repository-backend-s3.ts';

const host = nodeHost({ logTo: 'silent' });

describeSystem('versitygw', 'buckets on versitygw', () => {
  let server: ObjectStoreServer;
  beforeAll(async () => {
    server = await startVersitygw();
  });
  afterAll(() => server?.stop());
  const running = () => server;

  repositoryBackendConformance('s3 on versitygw', s3Subject(host, running, 'plain', { checksums: true, lock: false, tellsTime: true }));
  repositoryBackendConformance('s3 on versitygw, with Object Lock, below a prefix', {
    ...s3Subject(host, running, 'locking', { checksums: true, lock: true, tellsTime: true }, { prefix: 'orders/' }),
    manyObjects: 40,
  });
});

describeSystem('moto', 'buckets on moto', () => {
  let server: ObjectStoreServer;
  beforeAll(async () => {
    server = await startMoto();
  });
  afterAll(() => server?.stop());
  const running = () => server;

  // moto takes any Content-MD5, as some services do that only look like S3.
  repositoryBackendConformance('s3 on moto', {
    ...s3Subject(host, running, 'plain', { checksums: false, lock: false, tellsTime: true }),
    manyObjects: 1_010,
  });
  repositoryBackendConformance('s3 on moto, with Object Lock, below a prefix', {
    ...s3Subject(host, running, 'locking', { checksums: false, lock: true, tellsTime: true }, { prefix: 'orders/' }),
    manyObjects: 40,
  });

  it('[S4-09] [S5-09] has each object encrypted with the key of the key management service that the spec names', async () => {
    const key = 'arn:aws:kms:us-east-1:123456789012:key/6f1f1d0e-1a2b-4c3d-8e9f-0a1b2c3d4e5f';
    await server.makeBucket('encrypted');
    const store = new S3Store(s3Settings(server, 'encrypted', { storeKey: key }), host);
    const client = plainS3Client(server);
    try {
      expect(await store.put('orders/piece', noise(1_000))).toBe('created');
      const facts = await client.send(new HeadObjectCommand({ Bucket: 'encrypted', Key: 'orders/piece' }));
      expect(facts).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: key, ContentLength: 1_000 });
      expect(await store.head('orders/piece')).toMatchObject({ storeKey: key, sizeBytes: 1_000 });
      expect(Buffer.from(await store.get('orders/piece')).equals(noise(1_000))).toBe(true);
      const plain = new S3Store(s3Settings(server, 'encrypted'), host);
      await plain.put('orders/other', noise(1));
      expect((await plain.head('orders/other'))?.storeKey).toBeUndefined();
      await plain.close();
    } finally {
      client.destroy();
      await store.close();
    }
  });

  it('keeps a lock of the mode that the spec names', async () => {
    await server.makeBucket('modes', { lock: true });
    const client = plainS3Client(server);
    for (const [lockMode, seen] of [
      ['compliance', 'COMPLIANCE'],
      ['governance', 'GOVERNANCE'],
    ] as const) {
      const store = new S3Store(s3Settings(server, 'modes', { lockMode }), host);
      await store.put(lockMode, noise(1), { lockUntilMs: Date.now() + 60_000 });
      expect(await client.send(new HeadObjectCommand({ Bucket: 'modes', Key: lockMode }))).toMatchObject({ ObjectLockMode: seen });
      await store.close();
    }
    client.destroy();
  });

  it('[S5-16] says of an object that no rule of replication covers that it is not replicated', async () => {
    await server.makeBucket('source', { lock: true });
    await server.makeBucket('copy', { lock: true });
    const client = plainS3Client(server);
    await client.send(
      new PutBucketReplicationCommand({
        Bucket: 'source',
        ReplicationConfiguration: {
          Role: 'arn:aws:iam::123456789012:role/replication',
          Rules: [
            { ID: 'all', Status: 'Enabled', Priority: 1, Filter: { Prefix: 'orders/' }, Destination: { Bucket: 'arn:aws:s3:::copy' } },
          ],
        },
      }),
    );
    client.destroy();
    const store = new S3Store(s3Settings(server, 'source'), host);
    await store.put('elsewhere/piece', noise(1));
    expect((await store.head('elsewhere/piece'))?.replication).toBe('not-eligible');
    await store.close();
  });
});
