/**
 * Removes the logs before a given one from the archive of a history. History files stay: without them nobody knows how the timelines hang together.
 *
 * Invariant: a log goes only if both its name and its place in the log are before the given one's, so logs of a later timeline that a backup may need are left.
 */
import { archivePrefix, parseLogObject } from './object-names.ts';
import type { ObjectStore } from './put-object.ts';
import { RemovalCount, type Removed, removeObject } from './remove-objects.ts';

const segmentName = /^([0-9A-F]{8})([0-9A-F]{16})(?:\.|$)/;

export async function removeArchiveBefore(store: ObjectStore, component: string, identity: string, first: string): Promise<Removed> {
  const prefix = archivePrefix(component, identity);
  const count = new RemovalCount();
  for await (const object of store.backend.list(prefix)) {
    const { name } = parseLogObject(object.name.slice(prefix.length));
    if (isBefore(name, first)) await removeObject(store, object, count);
  }
  return count.result();
}

export function isBefore(name: string, first: string): boolean {
  if (name.endsWith('.history')) return false;
  const place = segmentName.exec(name)?.[2];
  const firstPlace = segmentName.exec(first)?.[2];
  if (place !== undefined && firstPlace !== undefined) return place < firstPlace && name < first;
  return place === undefined && firstPlace === undefined && name < first;
}
