/** One bucket and one KMS key, read only but for a few bytes that the key is asked to encrypt. The only importer of the SDKs, which are loaded by the first call. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { S3Client } from '@aws-sdk/client-s3';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import { type AwsAccess, clientAccess } from '../aws-api/access-options.ts';
import { awsFailure } from '../aws-api/aws-failure.ts';
import { NetRequestHandler } from '../aws-api/net-request-handler.ts';

export interface BucketAccess extends AwsAccess {
  readonly bucket: string;
  readonly region: string;
  readonly kmsEndpoint: string | undefined;
}

export interface ListedObject {
  readonly key: string;
  readonly modifiedMs: number;
}

export interface ObjectState {
  /** As the service has it: COMPLETED, PENDING, FAILED, REPLICA; undefined where no rule covers the object. */
  readonly replication: string | undefined;
  readonly versionId: string | undefined;
}

export interface LifecycleRule {
  readonly prefix: string;
  readonly expiresDays: number | undefined;
  readonly olderVersionsDays: number | undefined;
}

export interface BucketSettings {
  readonly versioning: boolean;
  /** Prefixes that an enabled rule replicates. */
  readonly replicatedPrefixes: readonly string[];
  readonly lock: { readonly mode: string; readonly days: number } | undefined;
  readonly lifecycle: readonly LifecycleRule[];
  readonly kmsKey: string | undefined;
}

const pageSize = 1_000;
const pagesMax = 10;
const probeText = 'holdfast looks whether this key can be used';

export class Bucket {
  readonly #host: Host;
  readonly #access: BucketAccess;
  readonly #timeoutMs: number;
  #s3: Promise<{ readonly sdk: typeof import('@aws-sdk/client-s3'); readonly client: S3Client }> | undefined;
  #kms: Promise<{ readonly sdk: typeof import('@aws-sdk/client-kms'); readonly client: KMSClient }> | undefined;

  constructor(host: Host, access: BucketAccess, timeoutMs: number) {
    this.#host = host;
    this.#access = access;
    this.#timeoutMs = timeoutMs;
  }

  get name(): string {
    return `s3://${this.#access.bucket}`;
  }

  /** The newest objects under a prefix. The service lists by name only: beyond 10,000 of them some are not seen, and `whole` is false. */
  async newest(
    prefix: string,
    count: number,
    signal: AbortSignal,
  ): Promise<{ readonly objects: readonly ListedObject[]; readonly whole: boolean }> {
    let objects: ListedObject[] = [];
    let token: string | undefined;
    for (let page = 0; page < pagesMax; page += 1) {
      const input = {
        Bucket: this.#access.bucket,
        Prefix: prefix,
        MaxKeys: pageSize,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      };
      const answer = await this.#call('list', signal, ({ sdk, client }, options) =>
        client.send(new sdk.ListObjectsV2Command(input), options),
      );
      // A foreign page is read as a listing of nothing.
      if (answer.Name === undefined && answer.KeyCount === undefined)
        throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.name}: what answered does not answer as S3 does` });
      const listed = (answer.Contents ?? []).flatMap(({ Key, LastModified }) =>
        Key === undefined || LastModified === undefined ? [] : [{ key: Key, modifiedMs: LastModified.getTime() }],
      );
      objects = [...objects, ...listed].sort((a, b) => b.modifiedMs - a.modifiedMs).slice(0, count);
      token = answer.NextContinuationToken;
      if (token === undefined) return { objects, whole: true };
    }
    return { objects, whole: false };
  }

  /** Undefined where there is no such object, or no such version of it. */
  async head(key: string, versionId: string | undefined, signal: AbortSignal): Promise<ObjectState | undefined> {
    try {
      const input = { Bucket: this.#access.bucket, Key: key, ...(versionId === undefined ? {} : { VersionId: versionId }) };
      const answer = await this.#call(`look at ${key}`, signal, ({ sdk, client }, options) =>
        client.send(new sdk.HeadObjectCommand(input), options),
      );
      return { replication: answer.ReplicationStatus, versionId: answer.VersionId };
    } catch (error) {
      if (error instanceof HoldfastError && (error.details.status === 404 || error.details.service === 'NotFound')) return undefined;
      throw error;
    }
  }

  async readSettings(signal: AbortSignal): Promise<BucketSettings> {
    const bucket = { Bucket: this.#access.bucket };
    const [versioning, replication, lock, lifecycle, encryption] = await Promise.all([
      this.#call('read the versioning', signal, ({ sdk, client }, options) =>
        client.send(new sdk.GetBucketVersioningCommand(bucket), options),
      ),
      this.#optional('read the replication', signal, ({ sdk, client }, options) =>
        client.send(new sdk.GetBucketReplicationCommand(bucket), options),
      ),
      this.#optional('read the lock', signal, ({ sdk, client }, options) =>
        client.send(new sdk.GetObjectLockConfigurationCommand(bucket), options),
      ),
      this.#optional('read the lifecycle', signal, ({ sdk, client }, options) =>
        client.send(new sdk.GetBucketLifecycleConfigurationCommand(bucket), options),
      ),
      this.#optional('read the encryption', signal, ({ sdk, client }, options) =>
        client.send(new sdk.GetBucketEncryptionCommand(bucket), options),
      ),
    ]);
    const retention = lock?.ObjectLockConfiguration?.Rule?.DefaultRetention;
    const days = retention?.Days ?? (retention?.Years ?? 0) * 365;
    return {
      versioning: versioning.Status === 'Enabled',
      replicatedPrefixes: (replication?.ReplicationConfiguration?.Rules ?? [])
        .filter(({ Status }) => Status === 'Enabled')
        .map((rule) => rule.Filter?.Prefix ?? rule.Filter?.And?.Prefix ?? rule.Prefix ?? ''),
      lock: retention?.Mode === undefined ? undefined : { mode: retention.Mode.toLowerCase(), days },
      lifecycle: (lifecycle?.Rules ?? [])
        .filter(({ Status }) => Status === 'Enabled')
        .map((rule) => ({
          prefix: rule.Filter?.Prefix ?? rule.Filter?.And?.Prefix ?? rule.Prefix ?? '',
          expiresDays: rule.Expiration?.Days,
          olderVersionsDays: rule.NoncurrentVersionExpiration?.NoncurrentDays,
        })),
      kmsKey: encryption?.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault?.KMSMasterKeyID,
    };
  }

  /** The key's ARN, once it has encrypted and decrypted something for us. */
  async tryKey(keyId: string, signal: AbortSignal): Promise<string> {
    this.#kms ??= this.#loadKms();
    const { sdk, client } = await this.#kms;
    const options = { abortSignal: signal };
    try {
      const { KeyMetadata } = await client.send(new sdk.DescribeKeyCommand({ KeyId: keyId }), options);
      if (KeyMetadata?.KeyState !== 'Enabled' || KeyMetadata.Arn === undefined)
        throw fail('SYSTEM_REFUSED', { message: `the key ${keyId} is ${KeyMetadata?.KeyState ?? 'not described'}` });
      const { CiphertextBlob } = await client.send(new sdk.EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from(probeText) }), options);
      const { Plaintext } = await client.send(new sdk.DecryptCommand({ KeyId: keyId, CiphertextBlob }), options);
      if (Plaintext === undefined || Buffer.from(Plaintext).toString() !== probeText)
        throw fail('SYSTEM_WRONG_ANSWER', { message: `the key ${keyId} decrypts to something else than it encrypted` });
      return KeyMetadata.Arn;
    } catch (error) {
      throw awsFailure(error, { doing: `use the key ${keyId}`, changes: false });
    }
  }

  async close(): Promise<void> {
    const [s3, kms] = [this.#s3, this.#kms];
    this.#s3 = undefined;
    this.#kms = undefined;
    if (s3 !== undefined) (await s3).client.destroy();
    if (kms !== undefined) (await kms).client.destroy();
  }

  async #call<T>(
    doing: string,
    signal: AbortSignal,
    work: (open: { sdk: typeof import('@aws-sdk/client-s3'); client: S3Client }, options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    if (signal.aborted) throw fail('INTERRUPTED', { message: `${doing}: interrupted before it was asked for` });
    this.#s3 ??= this.#loadS3();
    const open = await this.#s3;
    try {
      return await work(open, { abortSignal: signal });
    } catch (error) {
      throw awsFailure(error, { doing: `${doing} in ${this.name}`, changes: false });
    }
  }

  /** Undefined where the bucket has no such setting, which the service answers by 404, or the service has none, which it answers by 501. */
  async #optional<T>(
    doing: string,
    signal: AbortSignal,
    work: (open: { sdk: typeof import('@aws-sdk/client-s3'); client: S3Client }, options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await this.#call(doing, signal, work);
    } catch (error) {
      const { status, service } = error instanceof HoldfastError ? error.details : {};
      const missing = (status === 404 && service !== 'NoSuchBucket') || status === 501;
      if (missing) return undefined;
      throw error;
    }
  }

  async #loadS3() {
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client({
      ...clientAccess(this.#access, this.#access.region),
      ...(this.#access.endpoint === undefined ? {} : { forcePathStyle: true }),
      maxAttempts: 1,
      requestHandler: new NetRequestHandler(this.#host.net, () => this.#timeoutMs) as never,
    });
    return { sdk, client };
  }

  async #loadKms() {
    const sdk = await import('@aws-sdk/client-kms');
    const { endpoint, kmsEndpoint = endpoint, region } = this.#access;
    const client = new sdk.KMSClient({
      ...clientAccess({ ...this.#access, endpoint: kmsEndpoint }, region),
      maxAttempts: 1,
      requestHandler: new NetRequestHandler(this.#host.net, () => this.#timeoutMs) as never,
    });
    return { sdk, client };
  }
}
