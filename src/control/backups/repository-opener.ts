/** Opens and makes the repositories of a spec, in the kinds of places that the program has. Nothing is made where one is missing; nothing is changed where one is there. */

import { createRepository } from '../../backups/create-repository.ts';
import { openRepository } from '../../backups/open-repository.ts';
import type { Repository } from '../../backups/repository.ts';
import { fail } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { KeyVault } from '../../contracts/key-vault.ts';
import type { RepositoryBackend, RepositoryCatalog } from '../../contracts/repository-backend.ts';
import type { Host } from '../../host/host.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';
import { readArchiveExtents } from './archive-extents.ts';
import type { OpenedRepository } from './backup-parts.ts';

export interface RepositoryOpenerParts {
  readonly catalog: RepositoryCatalog;
  readonly host: Host;
  readonly platform: string;
}

export class RepositoryOpener {
  readonly #parts: RepositoryOpenerParts;

  constructor(parts: RepositoryOpenerParts) {
    this.#parts = parts;
  }

  async open(repository: RepositorySpec, withoutKey = false): Promise<OpenedRepository & { readonly repository: Repository }> {
    const { host, platform } = this.#parts;
    const backend = this.#backend(repository);
    const { secret, keyVault } = withoutKey ? {} : this.openersOf(repository);
    try {
      const request = {
        host,
        platform,
        ...(repository.lockMs === undefined ? {} : { lockMs: repository.lockMs }),
        ...(secret === undefined ? {} : { secret }),
        ...(keyVault === undefined ? {} : { keyVault }),
        withoutKey,
      };
      return {
        repository: await openRepository({ ...request, backend }),
        readArchiveExtents: (component) => readArchiveExtents(backend, component),
        // Whoever opens it over another store closes that one; ours goes on.
        store: {
          backend,
          openOver: (other) => openRepository({ ...lent(request), backend: { ...methodsOf(other), close: async () => {} } }),
        },
      };
    } catch (error) {
      await keyVault?.close();
      await backend.close();
      throw error;
    }
  }

  /** The key management service that the spec names, and what it says to it. */
  openersOf({ name, driver, options, encryption }: RepositorySpec): { readonly secret?: Secret; readonly keyVault?: KeyVault } {
    if (encryption === undefined) return {};
    if (encryption.kind !== 'key-service') return { secret: encryption.secret };
    const { host, catalog } = this.#parts;
    const keyVault = catalog.get(driver)?.openKeyVault?.(options as never, host, encryption.key);
    if (keyVault === undefined) throw fail('SPEC_INVALID', { subject: name, message: `${driver} has no key management service beside it` });
    return { keyVault };
  }

  /** `confirmRecoveryKey` shows the key and answers what was typed back. */
  async create(repository: RepositorySpec, confirmRecoveryKey: (key: string) => Promise<string>, signal: AbortSignal): Promise<Repository> {
    const { host, platform } = this.#parts;
    const backend = this.#backend(repository);
    const { encryption } = repository;
    const { keyVault } = encryption?.kind === 'key-service' ? this.openersOf(repository) : {};
    const passphrase = encryption?.kind === 'passphrase' ? encryption.secret : undefined;
    try {
      await backend.ensurePlace?.();
      return await createRepository({
        backend,
        host,
        platform,
        ...(repository.lockMs === undefined ? {} : { lockMs: repository.lockMs }),
        ...(encryption === undefined ? {} : { encryption: { ...(keyVault ? { keyVault } : {}), ...(passphrase ? { passphrase } : {}) } }),
        confirmRecoveryKey,
        signal,
      });
    } catch (error) {
      await keyVault?.close();
      await backend.close();
      throw error;
    }
  }

  #backend({ name, driver, options, storeKey }: RepositorySpec): RepositoryBackend {
    const kind = this.#parts.catalog.get(driver);
    if (!kind) throw fail('SPEC_INVALID', { subject: name, message: `there is no kind of repository "${driver}"` });
    return kind.open(options as never, this.#parts.host, storeKey === undefined ? {} : { storeKey });
  }
}

/** A service that somebody else closes. */
const lent = <R extends { readonly keyVault?: KeyVault }>(request: R): R =>
  request.keyVault === undefined
    ? request
    : {
        ...request,
        keyVault: {
          name: request.keyVault.name,
          wrap: (...args: Parameters<KeyVault['wrap']>) => (request.keyVault as KeyVault).wrap(...args),
          unwrap: (...args: Parameters<KeyVault['unwrap']>) => (request.keyVault as KeyVault).unwrap(...args),
          close: async () => {},
        },
      };

/** A store's methods as an object of their own, so that one of them can be another. */
function methodsOf(backend: RepositoryBackend): RepositoryBackend {
  return {
    name: backend.name,
    put: (...args) => backend.put(...args),
    get: (...args) => backend.get(...args),
    head: (...args) => backend.head(...args),
    list: (...args) => backend.list(...args),
    remove: (...args) => backend.remove(...args),
    barrier: () => backend.barrier(),
    probe: (signal) => backend.probe(signal),
    close: () => backend.close(),
  };
}
