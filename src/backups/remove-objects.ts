/**
 * Removes objects of backups. The manifest goes first: from then on there is no backup, whatever dies before the rest is gone; the next sweep takes that.
 *
 * Invariant: while a manifest is there, no piece of it is removed. A manifest under the store's lock keeps everything of its backup.
 */
import { HoldfastError } from '../base/errors.ts';
import { backupPrefix, manifestObject } from './object-names.ts';
import type { ObjectStore } from './put-object.ts';

export interface Removed {
  readonly objects: number;
  readonly bytes: number;
  /** Objects that stay because the store keeps them locked. */
  readonly locked: number;
}

export class RemovalCount {
  objects = 0;
  bytes = 0;
  locked = 0;

  add(other: Removed): void {
    this.objects += other.objects;
    this.bytes += other.bytes;
    this.locked += other.locked;
  }

  result(): Removed {
    return { objects: this.objects, bytes: this.bytes, locked: this.locked };
  }
}

export async function removeObject(
  store: ObjectStore,
  object: { readonly name: string; readonly sizeBytes: number },
  count: RemovalCount,
): Promise<boolean> {
  try {
    await store.backend.remove(object.name);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'STORE_LOCKED') throw error;
    count.locked += 1;
    store.host.log.info('repository.locked', { object: object.name });
    return false;
  }
  count.objects += 1;
  count.bytes += object.sizeBytes;
  return true;
}

export async function removeBackupObjects(store: ObjectStore, component: string, backupId: string): Promise<Removed> {
  const count = new RemovalCount();
  const manifest = await store.backend.head(manifestObject(component, backupId));
  if (manifest !== undefined) {
    if (!(await removeObject(store, manifest, count))) return count.result();
    await store.backend.barrier();
  }
  await removeBelow(store, backupPrefix(component, backupId), count);
  return count.result();
}

export async function removeBelow(store: ObjectStore, prefix: string, count: RemovalCount): Promise<void> {
  for await (const object of store.backend.list(prefix)) await removeObject(store, object, count);
}
