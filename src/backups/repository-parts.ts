/** What the modules of an open repository share. */
import type { KeyVault } from '../contracts/key-vault.ts';
import type { RepositoryKeys } from './key-ladder.ts';
import type { ObjectStore } from './put-object.ts';
import type { RepositoryFacts } from './repository-format.ts';

export interface RepositoryParts {
  readonly store: ObjectStore;
  readonly facts: RepositoryFacts;
  /** Undefined where nothing is encrypted, and where an encrypted repository was opened without its key. */
  readonly keys: RepositoryKeys | undefined;
  /** Of a key management service: asked again whether it still opens the repository, and closed with it. */
  readonly keyVault?: KeyVault;
  /** Another size of pieces than the usual one, for tests. */
  readonly pieceBytes?: number;
}
