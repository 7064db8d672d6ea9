/**
 * Puts objects into the store, whatever the network does meanwhile. A put whose outcome is not known is looked at before it is repeated; a store that does not answer is tried a few
 * times. So `created` means that the object holds exactly these bytes, also when an earlier try of ours had made it without our hearing of it.
 */
import { HoldfastError } from '../base/errors.ts';
import type { RepositoryBackend } from '../contracts/repository-backend.ts';
import type { Host } from '../host/host.ts';

const pausesMs = [200, 1_000, 4_000];

export interface ObjectStore {
  readonly backend: RepositoryBackend;
  readonly host: Pick<Host, 'clock' | 'random' | 'log'>;
  /** How long the store itself keeps what belongs to backups and archives. */
  readonly lockMs?: number;
}

export interface PutOptions {
  /** Under the store's lock, where the repository has one. */
  readonly lock?: boolean;
  readonly signal?: AbortSignal;
}

export async function putObject(
  store: ObjectStore,
  name: string,
  content: Uint8Array,
  options: PutOptions = {},
): Promise<'created' | 'exists'> {
  const { backend, host } = store;
  const { signal } = options;
  const until = options.lock === true && store.lockMs !== undefined ? { lockUntilMs: host.clock.nowMs() + store.lockMs } : {};
  let wasSent = false;
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    try {
      const outcome = await backend.put(name, content, { ...until, ...(signal === undefined ? {} : { signal }) });
      if (outcome === 'created' || !wasSent) return outcome;
      return (await holdsExactly(backend, name, content, signal)) ? 'created' : 'exists';
    } catch (error) {
      if (!mayTryAgain(error) || attempt >= pausesMs.length) throw error;
      wasSent = true;
      host.log.warn('repository.put-again', { object: name, attempt: attempt + 1, code: error.code });
      await host.clock.sleep(pausesMs[attempt] as number, signal);
    }
  }
}

/** Reads an object; a store that does not answer is tried a few times. `into`: see the store's `get`. */
export async function getObject(store: ObjectStore, name: string, signal?: AbortSignal, into?: Uint8Array): Promise<Uint8Array> {
  const options = { ...(signal === undefined ? {} : { signal }), ...(into === undefined ? {} : { into }) };
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    try {
      return await store.backend.get(name, options);
    } catch (error) {
      if (!mayTryAgain(error) || attempt >= pausesMs.length) throw error;
      store.host.log.warn('repository.get-again', { object: name, attempt: attempt + 1, code: error.code });
      await store.host.clock.sleep(pausesMs[attempt] as number, signal);
    }
  }
}

/** The object, or undefined where there is none. */
export async function findObject(store: ObjectStore, name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await getObject(store, name, signal);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'STORE_NO_OBJECT') return undefined;
    throw error;
  }
}

export async function holdsExactly(backend: RepositoryBackend, name: string, content: Uint8Array, signal?: AbortSignal): Promise<boolean> {
  const facts = await backend.head(name, signal);
  if (facts === undefined || facts.sizeBytes !== content.length) return false;
  return Buffer.compare(await backend.get(name, signal === undefined ? {} : { signal }), content) === 0;
}

function mayTryAgain(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && (error.code === 'STORE_UNREACHABLE' || error.code === 'STORE_OUTCOME_UNKNOWN');
}
