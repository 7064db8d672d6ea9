/** One look at a bucket: does it answer, do its objects reach the other region, and would they survive there: versions, lock, lifecycle, the key that opens them. */
import { formatDuration } from '../../base/durations.ts';
import { asHoldfastError, HoldfastError } from '../../base/errors.ts';
import type { EvidenceKind, Reading } from '../../contracts/observation.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import type { Host } from '../../host/host.ts';
import type { Bucket, BucketSettings } from './client.ts';
import type { ComponentOptions, SiteOptions } from './options.ts';
import { type ReplicationSample, sampleReplication } from './replication-sample.ts';

export interface BucketParts {
  readonly host: Host;
  readonly bucket: Bucket;
  readonly copies: readonly Bucket[];
  readonly options: ComponentOptions;
  readonly site: SiteOptions;
}

export type Fault = NonNullable<Reading['faults']>[number];

const dayMs = 86_400_000;

export const gauges = {
  bucket_replication_pending_objects: 'Of the newest objects of a bucket, how many are not replicated yet',
  bucket_replication_failed_objects: 'Of the newest objects of a bucket, how many were not replicated and will not be',
  bucket_replication_oldest_pending_seconds: 'Age of the oldest among the newest objects of a bucket that is not replicated yet',
};

export class BucketObserver {
  readonly #parts: BucketParts;
  #last: { readonly reading: Reading; readonly atMs: number } | undefined;

  constructor(parts: BucketParts) {
    this.#parts = parts;
  }

  async observe(signal: AbortSignal): Promise<Reading> {
    const { host, options } = this.#parts;
    const nowMs = host.clock.monotonicMs();
    if (this.#last !== undefined && nowMs - this.#last.atMs < options['look-every']) return this.#last.reading;
    this.#last = undefined;
    const reading = await lookAtBucket(this.#parts, signal);
    if (reading.health === 'up') this.#last = { reading, atMs: nowMs };
    return reading;
  }
}

export async function lookAtBucket(parts: BucketParts, signal: AbortSignal): Promise<Reading> {
  const { host, bucket, copies, options, site } = parts;
  try {
    const nowMs = host.clock.nowMs();
    const sampling = {
      prefix: options.prefix,
      count: options.sample,
      allowedMs: options['replicated-within'],
      nowMs,
      receives: site.receives,
      copies,
    };
    const [sample, settings] = await Promise.all([sampleReplication(bucket, sampling, signal), bucket.readSettings(signal)]);
    const faults = [
      ...replicationFaults(parts, sample, settings),
      ...settingFaults(parts, settings),
      ...(await keyFaults(parts, settings, signal)),
    ];
    return {
      ...readingOf({
        kind: 'answered',
        detail: `${bucket.name}: ${sample.replicated} of the ${sample.looked} newest objects are replicated`,
      }),
      faults,
      facts: {
        looked: sample.looked,
        replicated: sample.replicated,
        pending: sample.pending,
        failed: sample.failed.length,
        whole: sample.whole,
      },
      ...(site.receives
        ? {}
        : {
            metrics: {
              bucket_replication_pending_objects: sample.pending,
              bucket_replication_failed_objects: sample.failed.length,
              bucket_replication_oldest_pending_seconds: sample.oldestPendingMs / 1_000,
            },
          }),
    };
  } catch (thrown) {
    return readingOfFailure(bucket, thrown);
  }
}

function readingOfFailure(bucket: Bucket, thrown: unknown): Reading {
  const error = asHoldfastError(thrown);
  if (error.kind === 'bug' || error.kind === 'invalid') throw error;
  if (error.details.service === 'NoSuchBucket') return readingOf({ kind: 'wrong-answer', detail: `${bucket.name} does not exist` });
  const kind = evidenceKinds[error.code];
  return readingOf(kind === undefined ? evidenceOfNetError(error, bucket.name) : { kind, detail: error.message });
}

const evidenceKinds: Readonly<Partial<Record<HoldfastError['code'], EvidenceKind>>> = {
  SYSTEM_WRONG_CREDENTIALS: 'not-allowed',
  SYSTEM_REFUSED: 'not-allowed',
  SYSTEM_NOT_SERVING: 'error',
  SYSTEM_WRONG_ANSWER: 'error',
};

function replicationFaults({ bucket, options, site }: BucketParts, sample: ReplicationSample, settings: BucketSettings): readonly Fault[] {
  const faults: Fault[] = [];
  const covered = settings.replicatedPrefixes.some((prefix) => options.prefix.startsWith(prefix));
  if (!site.receives && !covered)
    faults.push(
      problem(
        `no enabled rule replicates ${bucket.name}/${options.prefix}`,
        'Add a replication rule whose prefix covers it. Objects that are there already are not replicated by a new rule: use S3 Batch Replication for them.',
      ),
    );
  if (sample.late.length > 0)
    faults.push(
      problem(
        `${some(sample.late)} not replicated after ${formatDuration(options['replicated-within'])}`,
        'While the other region is down, objects stay PENDING. What is not there is lost with this region.',
      ),
    );
  if (sample.failed.length > 0)
    faults.push(
      problem(
        `${some(sample.failed)} FAILED in replication`,
        'The service does not try again: see role and key of the rule, then use S3 Batch Replication.',
      ),
    );
  if (covered && sample.uncovered.length > 0)
    faults.push(
      problem(
        `${some(sample.uncovered)} covered by no rule of replication`,
        'Written before the rule, or encrypted with a key that the rule leaves out: use S3 Batch Replication.',
      ),
    );
  if (sample.missing.length > 0)
    faults.push(
      problem(
        `said to be replicated, and not found: ${sample.missing.join(', ')}`,
        'Somebody removed the copy, or the spec names another bucket.',
      ),
    );
  if (!sample.whole)
    faults.push({
      severity: 'warning',
      message: `${bucket.name}/${options.prefix} holds more than 10,000 objects: the newest among the others were not seen`,
      hint: 'Set prefix to where new objects go, such as this month.',
    });
  return faults;
}

function settingFaults({ bucket, options }: BucketParts, settings: BucketSettings): readonly Fault[] {
  const faults: Fault[] = [];
  if (options.versioning && !settings.versioning)
    faults.push(
      problem(
        `${bucket.name} keeps no versions`,
        'Switch versioning on: replication needs it, and an object written over is else gone for good.',
      ),
    );
  const { lock } = options;
  if (lock !== undefined && (settings.lock?.mode !== lock.mode || settings.lock.days * dayMs < lock['at-least'])) {
    const found =
      settings.lock === undefined ? 'locks no objects by default' : `locks in mode ${settings.lock.mode} for ${settings.lock.days} d`;
    faults.push(
      problem(
        `${bucket.name} ${found}, instead of ${lock.mode} for ${formatDuration(lock['at-least'])}`,
        'Set the default retention of its Object Lock.',
      ),
    );
  }
  const keptMs = options['kept-at-least'];
  for (const rule of keptMs === undefined ? [] : settings.lifecycle) {
    const meets = rule.prefix.startsWith(options.prefix) || options.prefix.startsWith(rule.prefix);
    const days = Math.min(rule.expiresDays ?? Number.POSITIVE_INFINITY, rule.olderVersionsDays ?? Number.POSITIVE_INFINITY);
    if (meets && days * dayMs < (keptMs as number))
      faults.push(
        problem(
          `a lifecycle rule of ${bucket.name} removes objects under "${rule.prefix}" after ${days} d, before ${formatDuration(keptMs as number)}`,
          'Lengthen the rule, or change kept-at-least.',
        ),
      );
  }
  return faults;
}

/** In this region: what a region far away can open is lost with it. */
async function keyFaults({ bucket, site }: BucketParts, settings: BucketSettings, signal: AbortSignal): Promise<readonly Fault[]> {
  const key = site['kms-key'];
  if (key === undefined) return [];
  try {
    const arn = await bucket.tryKey(key, signal);
    const named = settings.kmsKey;
    const isSame = named === key || named === arn || (named !== undefined && arn.endsWith(`/${named}`));
    if (isSame) return [];
    return [
      problem(
        `${bucket.name} encrypts with ${named ?? 'no KMS key'} and not with ${key}`,
        'Set the default encryption of the bucket, and the key for replicas in the rule that fills it.',
      ),
    ];
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
    return [
      problem(
        `the key of ${bucket.name} can't be used: ${error.message}`,
        'Keys belong to one region: without this one, what lies here can not be opened when the other region is gone.',
      ),
    ];
  }
}

function some(keys: readonly string[]): string {
  const shown = keys.slice(0, 3).join(', ');
  return keys.length === 1 ? `${shown} is` : `${keys.length} objects (${shown}${keys.length > 3 ? ', ...' : ''}) are`;
}

function problem(message: string, hint: string): Fault {
  return { severity: 'problem', message, hint };
}
