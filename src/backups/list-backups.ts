/**
 * Finds the prefixes of backups, and of attempts that never became one, from the names of objects alone. A backup of many pieces costs no more than one of few: the listing jumps over
 * the rest of its prefix. Whether there is a manifest is for the caller to ask. Reads only.
 */
import { backupsPrefix, decodeName } from './object-names.ts';
import type { ObjectStore } from './put-object.ts';

export interface FoundPrefix {
  readonly component: string;
  readonly backupId: string;
}

export async function* listBackups(store: ObjectStore, componentPrefix = backupsPrefix): AsyncGenerator<FoundPrefix> {
  let after: string | undefined;
  for (;;) {
    const first = await firstAfter(store, componentPrefix, after);
    if (first === undefined) return;
    const [, component, backupId] = first.split('/') as [string, string, string];
    const prefix = `${backupsPrefix}${component}/${backupId}/`;
    yield { component: decodeName(component), backupId: decodeName(backupId) };
    // Every name of the prefix comes before this one: no name has a character after `z`.
    after = `${prefix}zzzz`;
  }
}

async function firstAfter(store: ObjectStore, prefix: string, after: string | undefined): Promise<string | undefined> {
  for await (const object of store.backend.list(prefix, after === undefined ? {} : { after })) return object.name;
  return undefined;
}
