/**
 * Finds the backups of a repository from the names of its objects alone. A backup of many pieces costs no more than one of few: once its manifest was seen (or passed), the listing
 * jumps over the rest of its prefix. Reads only.
 */
import { backupsPrefix, decodeName } from './object-names.ts';
import type { ObjectStore } from './put-object.ts';

export interface FoundPrefix {
  readonly component: string;
  readonly backupId: string;
  /** Without one it is no backup: an attempt that is under way, or that never committed. */
  readonly hasManifest: boolean;
}

/** Names below a backup's prefix are `chapters/...`, `manifest`, `pieces/...`: in this order. */
export async function* listBackups(store: ObjectStore, componentPrefix = backupsPrefix): AsyncGenerator<FoundPrefix> {
  let after: string | undefined;
  for (;;) {
    const first = await firstAfter(store, componentPrefix, after);
    if (first === undefined) return;
    const [, component, backupId] = first.split('/') as [string, string, string];
    const prefix = `${backupsPrefix}${component}/${backupId}/`;
    const manifest = `${prefix}manifest`;
    const hasManifest = first === manifest || (await store.backend.head(manifest)) !== undefined;
    yield { component: decodeName(component), backupId: decodeName(backupId), hasManifest };
    // Every name of the prefix comes before this one: no name has a character after `z`.
    after = `${prefix}zzzz`;
  }
}

async function firstAfter(store: ObjectStore, prefix: string, after: string | undefined): Promise<string | undefined> {
  for await (const object of store.backend.list(prefix, after === undefined ? {} : { after })) return object.name;
  return undefined;
}
