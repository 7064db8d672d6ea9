/**
 * What the store was seen to do: each look is an object of its own, and the newest one is obeyed. A few are kept; older ones go when a new one is written.
 *
 * Invariant: there is always at least one, from the creation of the repository on. Dying between writing and removing leaves one more than needed.
 */
import { asHoldfastError } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { BackendCapabilities } from '../contracts/repository-backend.ts';
import { capabilitiesPrefix } from './object-names.ts';
import { getObject, type ObjectStore, putObject } from './put-object.ts';
import { checkFormat, encodeJson, formatVersion, parseJsonObject } from './repository-format.ts';

const looksKept = 5;

export async function writeCapabilities(store: ObjectStore, repositoryId: string, capabilities: BackendCapabilities): Promise<void> {
  const { clock, random } = store.host;
  const atMs = clock.nowMs();
  const object = capabilitiesPrefix + makeId('seen', atMs, () => random.next());
  await putObject(
    store,
    object,
    encodeJson({ holdfast: 'capabilities', format: formatVersion, repository: repositoryId, atMs, capabilities }),
  );
}

/** Looks that are older than the newest few. Whoever may not remove anything leaves them. */
export async function forgetOldCapabilities(store: ObjectStore, repositoryId: string): Promise<void> {
  const old: string[] = [];
  for (const name of (await namesNewestFirst(store)).slice(looksKept))
    if (parseJsonObject(await getObject(store, name), name).repository === repositoryId) old.push(name);
  try {
    for (const name of old) await store.backend.remove(name);
  } catch (error) {
    store.host.log.info('repository.old-looks-left', { why: asHoldfastError(error).message });
  }
}

/** Undefined where no look of this repository is kept. */
export async function readCapabilities(store: ObjectStore, repositoryId: string): Promise<BackendCapabilities | undefined> {
  for (const name of await namesNewestFirst(store)) {
    const value = parseJsonObject(await getObject(store, name), name);
    checkFormat(value, 'capabilities', name);
    if (value.repository === repositoryId) return value.capabilities as BackendCapabilities;
  }
  return undefined;
}

/** Their names begin with their time. */
async function namesNewestFirst(store: ObjectStore): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of store.backend.list(capabilitiesPrefix)) names.push(name);
  return names.sort().reverse();
}
