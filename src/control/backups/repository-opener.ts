/** Opens and makes the repositories of a spec, in the kinds of places that the program has. Nothing is made where one is missing; nothing is changed where one is there. */

import { createRepository } from '../../backups/create-repository.ts';
import { openRepository } from '../../backups/open-repository.ts';
import type { Repository } from '../../backups/repository.ts';
import { fail } from '../../base/errors.ts';
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
    const secret = withoutKey ? undefined : repository.encryption?.secret;
    try {
      const request = {
        host,
        platform,
        ...(repository.lockMs === undefined ? {} : { lockMs: repository.lockMs }),
        ...(secret === undefined ? {} : { secret }),
        withoutKey,
      };
      return {
        repository: await openRepository({ ...request, backend }),
        readArchiveExtents: (component) => readArchiveExtents(backend, component),
        // Whoever opens it over another store closes that one; ours goes on.
        store: { backend, openOver: (other) => openRepository({ ...request, backend: { ...methodsOf(other), close: async () => {} } }) },
      };
    } catch (error) {
      await backend.close();
      throw error;
    }
  }

  /** `confirmRecoveryKey` shows the key and answers what was typed back. */
  async create(repository: RepositorySpec, confirmRecoveryKey: (key: string) => Promise<string>, signal: AbortSignal): Promise<Repository> {
    const { host, platform } = this.#parts;
    const backend = this.#backend(repository);
    const { encryption } = repository;
    try {
      await backend.ensurePlace?.();
      return await createRepository({
        backend,
        host,
        platform,
        ...(repository.lockMs === undefined ? {} : { lockMs: repository.lockMs }),
        ...(encryption === undefined ? {} : { encryption: encryption.kind === 'passphrase' ? { passphrase: encryption.secret } : {} }),
        confirmRecoveryKey,
        signal,
      });
    } catch (error) {
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
