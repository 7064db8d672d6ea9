/**
 * Removes what a creation left that died before its end: key slots and capabilities of an id that no repository has; and what a probe of the store left.
 *
 * Invariant: what is of this repository, what is young (somebody may be making a repository here at this moment: exactly one of two succeeds) and what can't be read stays.
 */
import { HoldfastError } from '../base/errors.ts';
import { capabilitiesPrefix, keysPrefix } from './object-names.ts';
import { getObject } from './put-object.ts';
import { type RemovalCount, removeObject } from './remove-objects.ts';
import { parseJsonObject } from './repository-format.ts';
import type { RepositoryParts } from './repository-parts.ts';

/** Where a backend tries what its store can do (src/contracts/repository-backend.ts). */
const probePrefix = 'probe/';

export async function sweepDeadCreations({ store, facts }: RepositoryParts, beforeMs: number, count: RemovalCount): Promise<void> {
  for (const prefix of [keysPrefix, capabilitiesPrefix])
    for await (const object of store.backend.list(prefix)) {
      if (object.modifiedMs >= beforeMs) continue;
      const repository = repositoryOf(await getObject(store, object.name), object.name);
      if (repository !== undefined && repository !== facts.id) await removeObject(store, object, count);
    }
  for await (const object of store.backend.list(probePrefix)) if (object.modifiedMs < beforeMs) await removeObject(store, object, count);
}

/** Undefined where it does not say so: then it is not for a sweep to judge. */
function repositoryOf(content: Uint8Array, name: string): string | undefined {
  try {
    const { repository } = parseJsonObject(content, name);
    return typeof repository === 'string' ? repository : undefined;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'REPOSITORY_DAMAGED') return undefined;
    throw error;
  }
}
