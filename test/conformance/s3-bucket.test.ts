/** Buckets in two regions: replication by what is said of each object (a stand-in), settings and keys on moto, and a server of another make. */
import { CreateKeyCommand, DisableKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketReplicationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/s3-bucket/driver.ts';
import { type FaultyHttp, startFaultyHttp } from '../systems/faulty-http.ts';
import { startMoto } from '../systems/moto.ts';
import { type ObjectStoreAccess, type ObjectStoreServer, plainS3Client } from '../systems/object-store.ts';
import { type ReplicatingBucket, startReplicatingBucket } from '../systems/replicating-bucket.ts';
import { describeSystem } from '../systems/requirement.ts';
import { startVersitygw } from '../systems/versitygw.ts';
import { realHost } from './dns-route-subjects.ts';
import { openRouteSite } from './open-route-site.ts';
import { newJournal, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(10_000);
const messagesOf = (reading: { readonly faults?: readonly { readonly message: string }[] }) =>
  (reading.faults ?? []).map(({ message }) => message).join('\n');

function openBucketSite(
  access: ObjectStoreAccess,
  buckets: { readonly east: string; readonly west: string },
  more: object = {},
  keys: object = {},
): Site {
  const site = {
    endpoint: access.endpoint,
    region: access.region,
    'access-key-id': new Secret(access.accessKeyId, 'env:A'),
    'secret-access-key': new Secret(access.secretAccessKey, 'env:B'),
    ...keys,
  };
  return openRouteSite(driver, {
    host: realHost,
    region: 'east',
    probeTimeoutMs: 5_000,
    options: more,
    sites: { east: { bucket: buckets.east, ...site }, west: { bucket: buckets.west, receives: true, ...site } },
  });
}

describeSystem('moto', 'a bucket in each region (stand-in)', () => {
  let moto: ObjectStoreServer;
  let front: ReplicatingBucket;
  let s3: S3Client;
  let access: ObjectStoreAccess;
  let buckets: { east: string; west: string };
  let number = 0;
  beforeAll(async () => {
    moto = await startMoto();
    front = await startReplicatingBucket(moto.endpoint);
    s3 = plainS3Client(moto);
    access = { endpoint: front.endpoint, region: moto.region, accessKeyId: moto.accessKeyId, secretAccessKey: moto.secretAccessKey };
  });
  afterAll(async () => {
    s3?.destroy();
    await front?.stop();
    await moto?.stop();
  });
  beforeEach(async () => {
    number += 1;
    buckets = { east: `documents-east-${number}`, west: `documents-west-${number}` };
    for (const Bucket of [buckets.east, buckets.west]) {
      await moto.makeBucket(Bucket);
      await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }));
    }
  });
  const replicate = () =>
    s3.send(
      new PutBucketReplicationCommand({
        Bucket: buckets.east,
        ReplicationConfiguration: {
          Role: 'arn:aws:iam::123456789012:role/replication',
          Rules: [{ Status: 'Enabled', Prefix: '', Destination: { Bucket: `arn:aws:s3:::${buckets.west}` } }],
        },
      }),
    );
  const put = async (key: string, state?: 'PENDING' | 'COMPLETED' | 'FAILED') => {
    await s3.send(new PutObjectCommand({ Bucket: buckets.east, Key: key, Body: key }));
    if (state !== undefined) front.states.set(`${buckets.east}/${key}`, state);
    if (state === 'COMPLETED') front.copies.add(`${buckets.west}/${key}`);
  };

  it('[S5-16] [E5-06] counts objects as replicated by their own word, each of them', async () => {
    await replicate();
    for (const key of ['a', 'b', 'c']) await put(key, 'COMPLETED');
    const site = openBucketSite(access, buckets);
    const reading = await site.observe(probe());
    expect(reading).toMatchObject({
      health: 'up',
      facts: { looked: 3, replicated: 3 },
      metrics: { bucket_replication_pending_objects: 0 },
    });
    expect(messagesOf(reading)).toBe('');
    expect(await site.verbs.check?.inspect({}, stepContext(realHost, newJournal()))).toMatchObject({ state: 'done' });
  });

  it.each([
    ['PENDING', 'd is not replicated after 0 ms'],
    ['FAILED', 'd is FAILED in replication'],
    [undefined, 'd is covered by no rule'],
  ] as const)('[S5-16] [S5-12] does not take an object for safe that is %s', async (state, message) => {
    await replicate();
    await put('c', 'COMPLETED');
    await put('d', state);
    const site = openBucketSite(access, buckets, { 'replicated-within': '0ms' });
    const reading = await site.observe(probe());
    expect(messagesOf(reading)).toContain(message);
    expect(await site.verbs.check?.inspect({}, stepContext(realHost, newJournal()))).toMatchObject({
      state: 'pending',
      why: expect.stringContaining(message),
    });
  });

  it('gives a new object the time that the spec allows, and tells how old it is', async () => {
    await replicate();
    await put('young', 'PENDING');
    const reading = await openBucketSite(access, buckets, { 'replicated-within': '15m' }).observe(probe());
    expect(messagesOf(reading)).toBe('');
    expect(reading.metrics).toMatchObject({ bucket_replication_pending_objects: 1 });
  });

  it('asks the other bucket for the very version, and says when the copy is not there', async () => {
    await replicate();
    await put('gone', 'COMPLETED');
    front.copies.delete(`${buckets.west}/gone`);
    expect(messagesOf(await openBucketSite(access, buckets).observe(probe()))).toContain(`not found: gone in s3://${buckets.west}`);
  });

  it('looks at the newest only, under the prefix only', async () => {
    await replicate();
    await put('elsewhere');
    for (const key of ['in/1', 'in/2', 'in/3']) await put(key, 'COMPLETED');
    const reading = await openBucketSite(access, buckets, { prefix: 'in/', sample: 2 }).observe(probe());
    expect(reading.facts).toMatchObject({ looked: 2, replicated: 2 });
  });

  it('says that no rule replicates, and that nothing was looked at is no proof', async () => {
    const reading = await openBucketSite(access, buckets).observe(probe());
    expect(messagesOf(reading)).toContain(`no enabled rule replicates s3://${buckets.east}/`);
    expect(reading.facts).toMatchObject({ looked: 0, replicated: 0 });
  });

  it('[S5-12] names versions, lock and lifecycle that are not as they should be', async () => {
    await replicate();
    await s3.send(new PutBucketVersioningCommand({ Bucket: buckets.east, VersioningConfiguration: { Status: 'Suspended' } }));
    await s3.send(
      new PutBucketLifecycleConfigurationCommand({
        Bucket: buckets.east,
        LifecycleConfiguration: { Rules: [{ ID: 'short', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Days: 7 } }] },
      }),
    );
    const options = { lock: { mode: 'governance', 'at-least': '30d' }, 'kept-at-least': '30d' };
    const messages = messagesOf(await openBucketSite(access, buckets, options).observe(probe()));
    expect(messages).toContain('keeps no versions');
    expect(messages).toContain('locks no objects by default, instead of governance for 30 d');
    expect(messages).toContain('removes objects under "" after 7 d, before 30 d');
  });

  it('takes a lock that is as long as wanted, and not one that is shorter', async () => {
    await moto.makeBucket(`locked-${number}`, { lock: true });
    const Bucket = `locked-${number}`;
    const lockFor = (Days: number) =>
      s3.send(
        new PutObjectLockConfigurationCommand({
          Bucket,
          ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days } } },
        }),
      );
    const options = { lock: { mode: 'governance', 'at-least': '30d' } };
    await lockFor(30);
    const look = async () => messagesOf(await openBucketSite(access, { east: Bucket, west: buckets.west }, options).observe(probe()));
    expect(await look()).not.toContain('locks');
    await lockFor(7);
    expect(await look()).toContain('locks in mode governance for 7 d, instead of governance for 30 d');
  });

  it('[S4-64] [E4-18] [E5-06] uses the key in its region, and says when it can not', async () => {
    await replicate();
    const kms = new KMSClient({ ...moto, credentials: moto });
    try {
      const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
      const key = KeyMetadata?.KeyId as string;
      const encrypt = { ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' as const, KMSMasterKeyID: key } };
      const configuration = { ServerSideEncryptionConfiguration: { Rules: [encrypt] } };
      const look = async () => messagesOf(await openBucketSite(access, buckets, {}, { 'kms-key': key }).observe(probe()));
      expect(await look()).toContain(`and not with ${key}`);
      await s3.send(new PutBucketEncryptionCommand({ Bucket: buckets.east, ...configuration }));
      expect(await look()).toBe('');
      await kms.send(new DisableKeyCommand({ KeyId: key }));
      expect(await look()).toContain(`the key ${key} is Disabled`);
      expect(messagesOf(await openBucketSite(access, buckets, {}, { 'kms-key': 'alias/none' }).observe(probe()))).toContain(
        "can't be used",
      );
    } finally {
      kms.destroy();
    }
  });

  it('says of a bucket that is not there that it is not there', async () => {
    const reading = await openBucketSite(access, { east: 'no-such-bucket', west: buckets.west }).observe(probe());
    expect(reading).toMatchObject({ health: 'down', evidence: { kind: 'wrong-answer', detail: 's3://no-such-bucket does not exist' } });
  });
});

describeSystem('versitygw', 'a bucket on a server that knows no replication', () => {
  let store: ObjectStoreServer;
  beforeAll(async () => {
    store = await startVersitygw();
    await store.makeBucket('documents-east', { lock: true });
    await store.makeBucket('documents-west', { lock: true });
  });
  afterAll(() => store?.stop());

  it('answers, and nothing is claimed of copies', async () => {
    const reading = await openBucketSite(store, { east: 'documents-east', west: 'documents-west' }).observe(probe());
    expect(reading).toMatchObject({ health: 'up' });
    expect(messagesOf(reading)).toContain('no enabled rule replicates');
  });

  it('lets nobody in with a wrong secret, which says nothing of its health', async () => {
    const wrong = { ...store, secretAccessKey: 'not-the-secret' };
    const reading = await openBucketSite(wrong, { east: 'documents-east', west: 'documents-west' }).observe(probe());
    expect(reading).toMatchObject({ health: 'unknown', evidence: { kind: 'not-allowed' } });
    expect(JSON.stringify(reading)).not.toContain('not-the-secret');
  });
});

describe('answers that are not those of S3 (stand-in)', () => {
  let server: FaultyHttp;
  beforeAll(async () => {
    server = await startFaultyHttp('server-error');
  });
  afterAll(() => server?.stop());
  it.each([
    ['too-many-requests', 'unknown', 'error'],
    ['server-error', 'unknown', 'error'],
    ['web-page', 'unknown', 'error'],
    ['empty-body', 'unknown', 'error'],
    ['half-json', 'unknown', 'error'],
    ['cut-off', 'down', 'connection-lost'],
  ] as const)('%s is %s', async (answer, health, kind) => {
    server.become(answer);
    const access = { endpoint: server.url, region: 'us-east-1', accessKeyId: 'A', secretAccessKey: 'secret-of-the-test' };
    const reading = await openBucketSite(access, { east: 'one', west: 'two' }).observe(probe());
    expect(reading).toMatchObject({ health, evidence: { kind } });
    expect(JSON.stringify(reading)).not.toContain('secret-of-the-test');
  });
});

describe('buckets: what a spec may not say', () => {
  const access = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', accessKeyId: 'A', secretAccessKey: 'B' };
  it('one bucket for two regions', () => {
    expect(() => openBucketSite(access, { east: 'one', west: 'one' })).toThrow('is the bucket of east as well');
  });
});
