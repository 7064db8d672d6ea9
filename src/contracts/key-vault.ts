/**
 * A key management service that wraps and unwraps small keys by a key that never leaves it. What it is given to bind (`context`) has to be given again, word for word, to unwrap.
 */
export interface WrappedByService {
  /** The service's own name of the key, in full: which one it was has to be known when the alias leads elsewhere. */
  readonly keyId: string;
  readonly ciphertext: Uint8Array;
}

export interface KeyVault {
  /** For people: `AWS KMS alias/holdfast in us-west-2`. */
  readonly name: string;
  /** Errors: KEY_SERVICE_UNREACHABLE, KEY_SERVICE_REFUSED. */
  wrap(key: Uint8Array, context: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<WrappedByService>;
  /** The same errors, and KEY_WRONG: the service answers, and it is not the key by which it was wrapped. */
  unwrap(wrapped: WrappedByService, context: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
}
