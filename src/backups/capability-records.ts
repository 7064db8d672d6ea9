/** What the store was seen to do: each look is an object of its own, and the newest one is obeyed. */
import { makeId } from '../base/ids.ts';
import type { BackendCapabilities } from '../contracts/repository-backend.ts';
import { capabilitiesPrefix } from './object-names.ts';
import { getObject, type ObjectStore, putObject } from './put-object.ts';
import { checkFormat, encodeJson, formatVersion, parseJsonObject } from './repository-format.ts';

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

/** Undefined where no look of this repository is kept. */
export async function readCapabilities(store: ObjectStore, repositoryId: string): Promise<BackendCapabilities | undefined> {
  let newest: { readonly atMs: number; readonly capabilities: BackendCapabilities } | undefined;
  for await (const { name } of store.backend.list(capabilitiesPrefix)) {
    const value = parseJsonObject(await getObject(store, name), name);
    checkFormat(value, 'capabilities', name);
    const { atMs, repository } = value;
    if (repository !== repositoryId || typeof atMs !== 'number' || atMs < (newest?.atMs ?? 0)) continue;
    newest = { atMs, capabilities: value.capabilities as BackendCapabilities };
  }
  return newest?.capabilities;
}
