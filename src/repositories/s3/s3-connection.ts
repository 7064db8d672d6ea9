/**
 * The way to an S3 service: the only importer of the SDK, which is loaded by the first request. Every request has a limit on connecting, on silence and on the whole, and is tried a
 * bounded number of times by us, not by the SDK (docs/decisions/s3-client.md says why). Nothing here outlives the process.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { HoldfastError } from '../../base/errors.ts';
import { parseHttpDateMs } from '../../base/instants.ts';
import type { Host } from '../../host/host.ts';
import { type ClientAccessSettings, clientAccess } from './client-access.ts';
import { type S3Failure, s3Failure } from './s3-errors.ts';

export type Sdk = typeof import('@aws-sdk/client-s3');

export interface S3Settings extends ClientAccessSettings {
  readonly bucket: string;
  readonly prefix: string;
  readonly lockMode: 'compliance' | 'governance';
  readonly storeKey: string | undefined;
}

export interface S3Timings {
  readonly connectMs: number;
  /** Nothing came and nothing could be sent for so long. */
  readonly silenceMs: number;
  /** One try, from the connection to the last byte. */
  readonly requestMs: number;
  /** Before each further try; as many tries as pauses, and one. */
  readonly pausesMs: readonly number[];
}

/** A largest object goes through in `requestMs` at 280 KB/s. */
export const usualTimings: S3Timings = { connectMs: 5_000, silenceMs: 20_000, requestMs: 120_000, pausesMs: [150, 600, 2_400] };

const socketsMax = 32;

/** Carries a failure to the place that decides what it means; what leaves the backend is its `error`. */
export class S3Refusal extends Error {
  readonly failure: S3Failure;
  constructor(failure: S3Failure) {
    super(failure.error.message);
    this.failure = failure;
  }
}

/**
 * Something between us and the service may answer in its place, kindly and with status 200: the page of a hotel's network, a proxy's notice. The SDK takes that for an empty answer, and
 * an empty listing would be believed.
 */
export function requireServiceAnswer(mark: unknown): void {
  if (mark === undefined) throw new Error('what answers there does not answer as S3 does');
}

export interface Call {
  readonly sdk: Sdk;
  readonly client: S3Client;
  readonly options: { readonly abortSignal: AbortSignal };
}

export class S3Connection {
  /** For people: `s3://dr-backups/orders/`. */
  readonly label: string;
  readonly bucket: string;
  readonly timings: S3Timings;
  readonly #settings: S3Settings;
  readonly #host: Host;
  #opening: Promise<{ sdk: Sdk; client: S3Client }> | undefined;
  /** What the service's clock said in its last answer. */
  serverDateMs: number | undefined;

  constructor(settings: S3Settings, host: Host, timings: S3Timings) {
    this.#settings = settings;
    this.#host = host;
    this.timings = timings;
    this.bucket = settings.bucket;
    this.label = `s3://${settings.bucket}/${settings.prefix}`;
  }

  /** One try. Throws what the signal carries, or an S3Refusal. */
  async attempt<T>(doing: string, signal: AbortSignal | undefined, work: (call: Call) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const { sdk, client } = await this.#open();
    const limit = new AbortController();
    const cancel = this.#host.clock.after(this.timings.requestMs, () => limit.abort());
    const abortSignal = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
    try {
      return await work({ sdk, client, options: { abortSignal } });
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      signal?.throwIfAborted();
      const thrown = limit.signal.aborted ? new Error(`no answer within ${this.timings.requestMs} ms`) : error;
      throw new S3Refusal(s3Failure(thrown, doing, this.label));
    } finally {
      cancel();
    }
  }

  /** For requests that may be repeated: as `attempt`, but what may pass is tried again; then a HoldfastError is thrown. */
  async request<T>(doing: string, signal: AbortSignal | undefined, work: (call: Call) => Promise<T>): Promise<T> {
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.attempt(doing, signal, work);
      } catch (error) {
        if (!(error instanceof S3Refusal)) throw error;
        if (!isTransient(error.failure) || tried >= this.timings.pausesMs.length) throw error.failure.error;
        await this.pause(tried, signal);
      }
    }
  }

  /** Longer after each try; not the same for all who were refused at the same moment. */
  async pause(tried: number, signal: AbortSignal | undefined): Promise<void> {
    const pauseMs = this.timings.pausesMs[tried] as number;
    await this.#host.clock.sleep(pauseMs * (0.75 + this.#host.random.next() / 2), signal);
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined) (await opening).client.destroy();
  }

  #open(): Promise<{ sdk: Sdk; client: S3Client }> {
    this.#opening ??= this.#load();
    return this.#opening;
  }

  async #load(): Promise<{ sdk: Sdk; client: S3Client }> {
    const sdk = await import('@aws-sdk/client-s3');
    const { endpoint } = this.#settings;
    const agent = { keepAlive: true, maxSockets: socketsMax };
    const client = new sdk.S3Client({
      ...clientAccess(this.#settings),
      ...(endpoint === undefined ? {} : { forcePathStyle: true }),
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: this.timings.connectMs,
        socketTimeout: this.timings.silenceMs,
        requestTimeout: this.timings.requestMs,
        throwOnRequestTimeout: true,
        httpAgent: agent,
        httpsAgent: agent,
      },
    });
    client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { headers } = result.response as { headers?: Readonly<Record<string, string>> };
        const dateMs = parseHttpDateMs(headers?.date);
        if (dateMs !== undefined) this.serverDateMs = dateMs;
        return result;
      },
      { step: 'deserialize', name: 'holdfastServerDate', priority: 'low' },
    );
    return { sdk, client };
  }
}

export function isTransient({ error, serviceCode }: S3Failure): boolean {
  return error.kind === 'transient' || serviceCode === 'OperationAborted' || serviceCode === 'ConditionalRequestConflict';
}
