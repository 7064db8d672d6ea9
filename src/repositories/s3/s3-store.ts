/**
 * Objects in a bucket.
 *
 * Invariant: `created` is answered to one put only, and only once the object is there under the lock and the key that were asked for. A put that got no answer is found out about by a
 * mark that each put leaves on its object: the object with our mark was made by us, any other by somebody else. A put is durable when it is answered. Dying here leaves a put done or
 * not done.
 */
import { createHash } from 'node:crypto';
import type { HeadObjectCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { assert } from '../../base/assert.ts';
import { fail } from '../../base/errors.ts';
import { dateOf } from '../../base/instants.ts';
import {
  assertObjectName,
  type BackendCapabilities,
  isObjectName,
  type ObjectFacts,
  objectMaxBytes,
  type RepositoryBackend,
  type StoredObject,
} from '../../contracts/repository-backend.ts';
import type { Host } from '../../host/host.ts';
import { probeS3 } from './probe-s3.ts';
import { removeObject } from './remove-object.ts';
import { ReplicationFacts } from './replication-facts.ts';
import {
  isTransient,
  requireServiceAnswer,
  S3Connection,
  S3Refusal,
  type S3Settings,
  type S3Timings,
  usualTimings,
} from './s3-connection.ts';

/** Which put made an object: `x-amz-meta-holdfast-put`. */
const markKey = 'holdfast-put';
const kmsEncryptions = ['aws:kms', 'aws:kms:dsse'];

interface PutOptions {
  readonly lockUntilMs?: number;
  readonly signal?: AbortSignal;
}

export class S3Store implements RepositoryBackend {
  readonly name: string;
  readonly #connection: S3Connection;
  readonly #settings: S3Settings;
  readonly #host: Host;
  readonly #replication: ReplicationFacts;
  /** The bucket was seen: a missing object is then just that. */
  #bucketSeen = false;
  /** The service was seen to keep a lock that it was asked for, and not only to take the header. */
  #lockSeen = false;

  constructor(settings: S3Settings, host: Host, timings: S3Timings = usualTimings) {
    this.#settings = settings;
    this.#host = host;
    this.#connection = new S3Connection(settings, host, timings);
    this.#replication = new ReplicationFacts(this.#connection, host);
    this.name = this.#connection.label;
  }

  async put(name: string, content: Uint8Array, options: PutOptions = {}): Promise<'created' | 'exists'> {
    assertObjectName(name);
    assert(content.length <= objectMaxBytes, `object ${name} is at most ${objectMaxBytes} bytes long`);
    const mark = Buffer.from(this.#host.random.bytes(12)).toString('hex');
    const md5 = createHash('md5').update(content).digest('base64');
    const outcome = await this.#putUntilKnown(name, content, mark, md5, options);
    if (outcome === 'created') await this.#requireLock(name, options);
    return outcome;
  }

  async #putUntilKnown(name: string, content: Uint8Array, mark: string, md5: string, options: PutOptions): Promise<'created' | 'exists'> {
    let mayBeThere = false;
    for (let tried = 0; ; tried += 1) {
      try {
        await this.#putOnce(name, content, mark, md5, options);
        this.#bucketSeen = true;
        return 'created';
      } catch (error) {
        if (!(error instanceof S3Refusal)) throw error;
        const { failure } = error;
        if (failure.status === 412) return mayBeThere ? this.#whoseIs(name, mark, options.signal) : 'exists';
        if (!isTransient(failure)) {
          // There are services that make the object and then find that they can't lock it.
          if (failure.error.code === 'STORE_NO_LOCK' && (await this.#whoseIs(name, mark, options.signal)) === 'created')
            await this.remove(name, options.signal);
          throw failure.error;
        }
        mayBeThere ||= !failure.untouched;
        if (tried >= this.#connection.timings.pausesMs.length) {
          if (!mayBeThere) throw failure.error;
          return this.#whatBecameOf(name, mark, failure.error.message, options.signal);
        }
        await this.#connection.pause(tried, options.signal);
      }
    }
  }

  async #putOnce(name: string, content: Uint8Array, mark: string, md5: string, options: PutOptions): Promise<void> {
    const { storeKey, lockMode } = this.#settings;
    const answer = await this.#connection.attempt(`put ${name}`, options.signal, async ({ sdk, client, options: limits }) => {
      const given = await client.send(
        new sdk.PutObjectCommand({
          ...this.#at(name),
          Body: content,
          ContentLength: content.length,
          ContentMD5: md5,
          IfNoneMatch: '*',
          Metadata: { [markKey]: mark },
          ...(storeKey === undefined ? {} : { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: storeKey }),
          ...(options.lockUntilMs === undefined
            ? {}
            : {
                ObjectLockMode: lockMode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
                ObjectLockRetainUntilDate: dateOf(options.lockUntilMs),
              }),
        }),
        limits,
      );
      requireServiceAnswer(given.ETag);
      return given;
    });
    if (storeKey === undefined || kmsEncryptions.includes(answer.ServerSideEncryption ?? '')) return;
    await this.remove(name, options.signal);
    throw fail('STORE_NO_KEY_SERVICE', {
      message: `the service took ${name} without encrypting it with ${storeKey}; the object was removed again`,
      subject: this.name,
    });
  }

  /** There is an object, and a try of ours may have made it. */
  async #whoseIs(name: string, mark: string, signal: AbortSignal | undefined): Promise<'created' | 'exists'> {
    const found = await this.#headObject(name, signal);
    return found?.Metadata?.[markKey] === mark ? 'created' : 'exists';
  }

  /** No try was answered. One that is still on its way may make the object later: so "not there" is not known. */
  async #whatBecameOf(name: string, mark: string, message: string, signal: AbortSignal | undefined): Promise<'created' | 'exists'> {
    let found: HeadObjectCommandOutput | undefined;
    try {
      found = await this.#headObject(name, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw fail('STORE_OUTCOME_UNKNOWN', { message, subject: this.name, cause: error });
    }
    if (found === undefined) throw fail('STORE_OUTCOME_UNKNOWN', { message: `${message}; it is not there so far`, subject: this.name });
    return found.Metadata?.[markKey] === mark ? 'created' : 'exists';
  }

  /** Some services take the headers of a lock and forget them. Looked at once: what was kept then is kept later. */
  async #requireLock(name: string, { lockUntilMs, signal }: PutOptions): Promise<void> {
    if (lockUntilMs === undefined || this.#lockSeen) return;
    const found = await this.#headObject(name, signal);
    // Kept to the second by some.
    if ((found?.ObjectLockRetainUntilDate?.getTime() ?? 0) >= lockUntilMs - 1_000) {
      this.#lockSeen = true;
      return;
    }
    await this.remove(name, signal);
    throw fail('STORE_NO_LOCK', {
      message: `the service took ${name} and forgot its lock; the object was removed again`,
      subject: this.name,
    });
  }

  async get(
    name: string,
    options: { readonly from?: number; readonly to?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    assertObjectName(name);
    const { from = 0, to, signal } = options;
    const isRange = from > 0 || to !== undefined;
    if (to !== undefined && to <= from) {
      if ((await this.head(name, signal)) === undefined) throw this.#noObject(name);
      return new Uint8Array(0);
    }
    const range = isRange ? { Range: `bytes=${from}-${to === undefined ? '' : to - 1}` } : {};
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.#connection.attempt(`get ${name}`, signal, async ({ sdk, client, options: limits }) => {
          const answer = await client.send(new sdk.GetObjectCommand({ ...this.#at(name), ...range }), limits);
          requireServiceAnswer(answer.ETag);
          const promised = answer.ContentLength ?? 0;
          if (promised > objectMaxBytes)
            throw fail('REPOSITORY_DAMAGED', {
              message: `${name} is ${promised} bytes long: no object of ours is so large`,
              subject: this.name,
            });
          const content = (await answer.Body?.transformToByteArray()) ?? new Uint8Array(0);
          if (content.length !== promised) throw new Error(`${content.length} of ${promised} bytes came`);
          return content;
        });
      } catch (error) {
        if (!(error instanceof S3Refusal)) throw error;
        // The range begins at or after the end.
        if (error.failure.status === 416) return new Uint8Array(0);
        if (error.failure.error.code === 'STORE_NO_OBJECT') throw await this.#missing(name, signal);
        if (!isTransient(error.failure) || tried >= this.#connection.timings.pausesMs.length) throw error.failure.error;
        await this.#connection.pause(tried, signal);
      }
    }
  }

  async head(name: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    assertObjectName(name);
    const found = await this.#headObject(name, signal);
    if (found === undefined) {
      await this.#requireBucket(signal);
      return undefined;
    }
    const replication = await this.#replication.of(found, signal);
    const lockedUntilMs = found.ObjectLockRetainUntilDate?.getTime();
    return {
      name,
      sizeBytes: found.ContentLength ?? 0,
      modifiedMs: found.LastModified?.getTime() ?? 0,
      ...(lockedUntilMs === undefined ? {} : { lockedUntilMs }),
      ...(replication === undefined ? {} : { replication }),
      ...(found.SSEKMSKeyId === undefined ? {} : { storeKey: found.SSEKMSKeyId }),
    };
  }

  /** Undefined also where there is no bucket: a head has no words to tell the two apart. */
  async #headObject(name: string, signal: AbortSignal | undefined): Promise<HeadObjectCommandOutput | undefined> {
    try {
      const found = await this.#connection.request(`look at ${name}`, signal, async ({ sdk, client, options }) => {
        const answer = await client.send(new sdk.HeadObjectCommand(this.#at(name)), options);
        requireServiceAnswer(answer.ETag);
        return answer;
      });
      this.#bucketSeen = true;
      return found;
    } catch (error) {
      if ((error as { code?: string }).code === 'STORE_NO_OBJECT') return undefined;
      throw error;
    }
  }

  async *list(prefix: string, options: { readonly after?: string; readonly signal?: AbortSignal } = {}): AsyncIterable<StoredObject> {
    const own = this.#settings.prefix;
    let last = options.after ?? '';
    let token: string | undefined;
    do {
      const page = await this.#listPage(
        `${own}${prefix}`,
        token === undefined ? { StartAfter: `${own}${last}` } : { ContinuationToken: token },
        options.signal,
      );
      this.#bucketSeen = true;
      for (const { Key: key = '', Size: sizeBytes = 0, LastModified: modified } of page.Contents ?? []) {
        const name = key.slice(own.length);
        // Marks of folders, and what somebody else put there.
        if (!isObjectName(name)) continue;
        if (name <= last)
          throw fail('STORE_UNSOUND', {
            message: `the service lists ${name} after ${last}: what comes in no order can not be relied on`,
            subject: this.name,
          });
        last = name;
        yield { name, sizeBytes, modifiedMs: modified?.getTime() ?? 0 };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  #listPage(
    prefix: string,
    from: { readonly StartAfter?: string; readonly ContinuationToken?: string },
    signal: AbortSignal | undefined,
  ): Promise<ListObjectsV2CommandOutput> {
    return this.#connection.request(`list ${prefix}`, signal, async ({ sdk, client, options }) => {
      const { StartAfter, ...more } = from;
      const page = await client.send(
        new sdk.ListObjectsV2Command({ Bucket: this.#settings.bucket, Prefix: prefix, ...more, ...(StartAfter ? { StartAfter } : {}) }),
        options,
      );
      requireServiceAnswer(page.Name ?? page.KeyCount);
      return page;
    });
  }

  async remove(name: string, signal?: AbortSignal): Promise<void> {
    assertObjectName(name);
    await removeObject(this.#connection, this.#at(name).Key, this.#host.clock.nowMs(), signal);
  }

  async barrier(): Promise<void> {
    // A service answers a put once it is durable.
  }

  probe(signal: AbortSignal): Promise<BackendCapabilities> {
    return probeS3(this, this.#connection, this.#settings, this.#host, signal);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #at(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#settings.bucket, Key: `${this.#settings.prefix}${name}` };
  }

  #noObject(name: string) {
    return fail('STORE_NO_OBJECT', { message: `${name} is not there`, subject: this.name });
  }

  async #missing(name: string, signal: AbortSignal | undefined) {
    await this.#requireBucket(signal);
    return this.#noObject(name);
  }

  async #requireBucket(signal: AbortSignal | undefined): Promise<void> {
    if (this.#bucketSeen) return;
    // A listing, because a head has no words for what is wrong.
    for await (const _ of this.list('', signal === undefined ? {} : { signal })) break;
  }
}
