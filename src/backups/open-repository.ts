/**
 * Opens a repository that is there. Reads only; nothing is made where something is missing.
 *
 * Invariant: an encrypted repository is opened by a key that it has, or not at all. A repository that says it is not encrypted is refused to whoever brings a key: it may have been put
 * there so that the next backup is readable.
 */
import { fail } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { KeyVault } from '../contracts/key-vault.ts';
import { readCapabilities } from './capability-records.ts';
import { RepositoryKeys } from './key-ladder.ts';
import { openKeys } from './key-slots.ts';
import { openKeysByVault } from './key-vault-slot.ts';
import { repositoryObject } from './object-names.ts';
import { findObject, type ObjectStore } from './put-object.ts';
import { Repository } from './repository.ts';
import { parseRepositoryFacts, type RepositoryFacts } from './repository-format.ts';
import type { RepositoryPlace } from './repository-place.ts';

export interface OpenRequest extends RepositoryPlace {
  /** A passphrase or a recovery key. */
  readonly secret?: Secret;
  /** Instead of a secret. The repository closes it. */
  readonly keyVault?: KeyVault;
  /** Opens an encrypted repository for what needs no key: the catalogue, and the stored digests. Everything else is then KEY_MISSING. */
  readonly withoutKey?: boolean;
}

export async function openRepository(request: OpenRequest): Promise<Repository> {
  const { backend, host, platform } = request;
  const store: ObjectStore = { backend, host, ...(request.lockMs === undefined ? {} : { lockMs: request.lockMs }) };
  const content = await findObject(store, repositoryObject);
  if (content === undefined)
    throw fail('REPOSITORY_MISSING', { message: `there is no repository in ${backend.name}`, subject: backend.name });
  const facts = parseRepositoryFacts(content, platform, backend.name);
  const keys = await openLadder(store, facts, request);
  const capabilities = await readCapabilities(store, facts.id);
  if (capabilities === undefined)
    throw fail('REPOSITORY_DAMAGED', {
      message: `${backend.name} does not say what its store can do`,
      hint: 'The objects under capabilities/ are missing: bring them back from a copy.',
      subject: backend.name,
    });
  const pieceBytes = request.pieceBytes === undefined ? {} : { pieceBytes: request.pieceBytes };
  const keyVault = request.keyVault === undefined ? {} : { keyVault: request.keyVault };
  return new Repository({ store, facts, keys, ...keyVault, ...pieceBytes }, capabilities);
}

async function openLadder(
  store: ObjectStore,
  facts: RepositoryFacts,
  { secret, keyVault, withoutKey }: Pick<OpenRequest, 'secret' | 'keyVault' | 'withoutKey'>,
): Promise<RepositoryKeys | undefined> {
  if (facts.suite === 'plain') {
    if (secret === undefined && keyVault === undefined) return undefined;
    throw fail('KEY_WRONG', {
      message: `a key was given, but the repository in ${store.backend.name} is not encrypted`,
      hint: 'Find out who changed it, or take "encryption" out of the spec.',
      subject: store.backend.name,
    });
  }
  if (secret !== undefined) return new RepositoryKeys(facts.id, await openKeys(store, facts.id, secret));
  if (withoutKey) return undefined;
  if (keyVault !== undefined) return new RepositoryKeys(facts.id, await openKeysByVault(store, facts.id, keyVault));
  throw fail('KEY_MISSING', {
    message: `the repository in ${store.backend.name} is encrypted, and no key was given`,
    subject: store.backend.name,
  });
}
