/**
 * Whether a copy of an object exists in another region, as the service says of the object itself. Where the bucket replicates and the service says nothing of an object, no rule covers
 * it: that object is not replicated, which is something else than a bucket without replication.
 */
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { HoldfastError } from '../../base/errors.ts';
import type { ObjectFacts } from '../../contracts/repository-backend.ts';
import type { Host } from '../../host/host.ts';
import type { S3Connection } from './s3-connection.ts';

const byStatus: Readonly<Record<string, NonNullable<ObjectFacts['replication']>>> = {
  COMPLETE: 'done',
  COMPLETED: 'done',
  // This very object is the copy.
  REPLICA: 'done',
  PENDING: 'pending',
  FAILED: 'failed',
};

export class ReplicationFacts {
  readonly #connection: S3Connection;
  readonly #host: Host;
  /** Asked once: a rule that is added later is seen by the next process. */
  #bucketReplicates: boolean | undefined;

  constructor(connection: S3Connection, host: Host) {
    this.#connection = connection;
    this.#host = host;
  }

  async of(found: HeadObjectCommandOutput, signal: AbortSignal | undefined): Promise<ObjectFacts['replication']> {
    if (found.ReplicationStatus !== undefined) return byStatus[found.ReplicationStatus];
    this.#bucketReplicates ??= await this.#readRules(signal);
    return this.#bucketReplicates ? 'not-eligible' : undefined;
  }

  async #readRules(signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const answer = await this.#connection.request('look at the rules of replication', signal, ({ sdk, client, options }) =>
        client.send(new sdk.GetBucketReplicationCommand({ Bucket: this.#connection.bucket }), options),
      );
      return (answer.ReplicationConfiguration?.Rules ?? []).some(({ Status }) => Status === 'Enabled');
    } catch (error) {
      // There are none, the service has no such thing, or we may not look: then nothing is claimed of replication.
      if (!(error instanceof HoldfastError) || error.kind === 'transient') throw error;
      this.#host.log.debug('replication-unknown', { bucket: this.#connection.bucket, because: error.message });
      return false;
    }
  }
}
