/**
 * AWS KMS as the service that opens a repository's key: the only importer of its SDK, which is loaded by the first request.
 * https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
 *
 * Invariant: what the service refuses, what it does not answer, and what is another key are three errors. Every request has a limit; one that may pass is tried a bounded number of times.
 */
import type { KMSClient } from '@aws-sdk/client-kms';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { KeyVault, WrappedByService } from '../../contracts/key-vault.ts';
import type { Host } from '../../host/host.ts';
import { type ClientAccessSettings, clientAccess } from './client-access.ts';

export interface KmsSettings extends ClientAccessSettings {
  /** Id, ARN or alias. */
  readonly key: string;
}

const requestMs = 10_000;
const pausesMs = [200, 1_000];
/** It answers, and what it was given is not for this key, or was altered. */
const otherKey = new Set(['IncorrectKeyException', 'InvalidCiphertextException', 'KeyMismatchException']);
const passing = new Set([
  'ThrottlingException',
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'LimitExceededException',
]);

type Sdk = typeof import('@aws-sdk/client-kms');

export class AwsKms implements KeyVault {
  readonly name: string;
  readonly #settings: KmsSettings;
  readonly #host: Host;
  #opening: Promise<{ readonly sdk: Sdk; readonly client: KMSClient }> | undefined;

  constructor(settings: KmsSettings, host: Host) {
    this.#settings = settings;
    this.#host = host;
    this.name = `AWS KMS ${settings.key}${settings.region === undefined ? '' : ` in ${settings.region}`}`;
  }

  async wrap(key: Uint8Array, context: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<WrappedByService> {
    const answer = await this.#request(signal, ({ sdk, client, options }) =>
      client.send(new sdk.EncryptCommand({ KeyId: this.#settings.key, Plaintext: key, EncryptionContext: { ...context } }), options),
    );
    if (answer.CiphertextBlob === undefined || answer.KeyId === undefined)
      throw this.#unreachable('what answers there is not AWS KMS', undefined);
    return { keyId: answer.KeyId, ciphertext: answer.CiphertextBlob };
  }

  async unwrap(wrapped: WrappedByService, context: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.#decrypt(this.#settings.key, wrapped, context, signal);
    } catch (error) {
      // The service says of a key that may not be used, and of one that never locked this, the same. The key that did lock it tells the two apart.
      if (!(error instanceof HoldfastError) || error.code !== 'KEY_SERVICE_REFUSED') throw error;
      await this.#decrypt(wrapped.keyId, wrapped, context, signal).catch(() => {
        throw error;
      });
      throw this.#otherKey(`it was locked with ${wrapped.keyId}`, error);
    }
  }

  async #decrypt(
    key: string,
    { ciphertext }: WrappedByService,
    context: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const answer = await this.#request(signal, ({ sdk, client, options }) =>
      client.send(new sdk.DecryptCommand({ KeyId: key, CiphertextBlob: ciphertext, EncryptionContext: { ...context } }), options),
    );
    if (answer.Plaintext === undefined) throw this.#unreachable('what answers there is not AWS KMS', undefined);
    return answer.Plaintext;
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined) (await opening).client.destroy();
  }

  async #request<T>(
    signal: AbortSignal | undefined,
    work: (call: { readonly sdk: Sdk; readonly client: KMSClient; readonly options: { readonly abortSignal: AbortSignal } }) => Promise<T>,
  ): Promise<T> {
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.#attempt(signal, work);
      } catch (error) {
        const isPassing = error instanceof HoldfastError && error.code === 'KEY_SERVICE_UNREACHABLE';
        if (!isPassing || tried >= pausesMs.length) throw error;
        await this.#host.clock.sleep((pausesMs[tried] as number) * (0.75 + this.#host.random.next() / 2), signal);
      }
    }
  }

  async #attempt<T>(
    signal: AbortSignal | undefined,
    work: (call: { readonly sdk: Sdk; readonly client: KMSClient; readonly options: { readonly abortSignal: AbortSignal } }) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    this.#opening ??= this.#load();
    const { sdk, client } = await this.#opening;
    const limit = new AbortController();
    const cancel = this.#host.clock.after(requestMs, () => limit.abort());
    try {
      return await work({
        sdk,
        client,
        options: { abortSignal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]) },
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw limit.signal.aborted ? this.#unreachable(`no answer within ${requestMs} ms`, error) : this.#meaning(error);
    } finally {
      cancel();
    }
  }

  /** By its name and status, never by its words. */
  #meaning(error: unknown): HoldfastError {
    const { name, message, $metadata } = error as { name?: string; message?: string; $metadata?: { httpStatusCode?: number } };
    const status = $metadata?.httpStatusCode;
    const words = `${name ?? 'an error'}${message ? `: ${message}` : ''}`;
    if (name !== undefined && otherKey.has(name)) return this.#otherKey(words, error);
    if (status === undefined || status >= 500 || (name !== undefined && passing.has(name))) return this.#unreachable(words, error);
    return fail('KEY_SERVICE_REFUSED', { message: `${this.name} refuses: ${words}`, subject: this.#settings.key, cause: error });
  }

  #otherKey(why: string, cause: unknown): HoldfastError {
    return fail('KEY_WRONG', {
      message: `${this.name} answers, and it is not the key that the repository was locked with (${why})`,
      hint: 'Name the key of this repository; holdfast repository show lists its key slots. The recovery key opens it too.',
      subject: this.#settings.key,
      cause,
    });
  }

  #unreachable(why: string, cause: unknown): HoldfastError {
    return fail('KEY_SERVICE_UNREACHABLE', { message: `${this.name} does not answer: ${why}`, subject: this.#settings.key, cause });
  }

  async #load(): Promise<{ readonly sdk: Sdk; readonly client: KMSClient }> {
    const sdk = await import('@aws-sdk/client-kms');
    const client = new sdk.KMSClient({
      ...clientAccess(this.#settings),
      maxAttempts: 1,
      requestHandler: { connectionTimeout: 5_000, requestTimeout: requestMs, throwOnRequestTimeout: true },
    });
    return { sdk, client };
  }
}
