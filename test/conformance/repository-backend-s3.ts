/** Subjects of the suite for stores of backups that are buckets on a real server. */
import { Secret } from '../../src/base/secret.ts';
import type { Host } from '../../src/host/host.ts';
import type { S3Settings, S3Timings } from '../../src/repositories/s3/s3-connection.ts';
import { S3Store } from '../../src/repositories/s3/s3-store.ts';
import type { ObjectStoreAccess, ObjectStoreServer } from '../systems/object-store.ts';
import type { BackendSubject } from './repository-backend.ts';

/** Short enough for a test to wait for. */
export const testTimings: S3Timings = { connectMs: 1_000, silenceMs: 1_500, requestMs: 10_000, pausesMs: [20, 50, 100] };

export function s3Settings(access: ObjectStoreAccess, bucket: string, more: Partial<S3Settings> = {}): S3Settings {
  return {
    bucket,
    region: access.region,
    endpoint: access.endpoint,
    prefix: '',
    accessKeyId: new Secret(access.accessKeyId, 'test'),
    secretAccessKey: new Secret(access.secretAccessKey, 'test'),
    sessionToken: undefined,
    lockMode: 'governance',
    storeKey: undefined,
    ...more,
  };
}

export function s3Subject(
  host: Host,
  server: () => ObjectStoreServer,
  bucket: string,
  truth: BackendSubject['truth'],
  more: Partial<S3Settings> = {},
): BackendSubject {
  const open = () => new S3Store(s3Settings(server(), bucket, more), host);
  return {
    open: async () => {
      await server().makeBucket(bucket, { lock: truth.lock });
      return open();
    },
    openAgain: async () => open(),
    truth,
    close: async () => {},
  };
}
