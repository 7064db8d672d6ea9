/** What the servers have in common that speak S3. */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import type { Running } from './server-process.ts';

export interface ObjectStoreAccess {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface ObjectStoreServer extends Running, ObjectStoreAccess {
  /** `lock`: with Object Lock, which keeps versions too. */
  makeBucket(name: string, options?: { readonly lock?: boolean }): Promise<void>;
}

/** A client of the tests' own, to look at what the backend has done from outside. */
export function plainS3Client({ endpoint, region, accessKeyId, secretAccessKey }: ObjectStoreAccess): S3Client {
  return new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
}

export function makeBucketWith(access: ObjectStoreAccess): ObjectStoreServer['makeBucket'] {
  return async (name, { lock = false } = {}) => {
    const client = plainS3Client(access);
    try {
      await client.send(new CreateBucketCommand({ Bucket: name, ...(lock ? { ObjectLockEnabledForBucket: true } : {}) }));
    } finally {
      client.destroy();
    }
  };
}
