/**
 * Removes what belongs to no backup: attempts that never committed, records of backups that are gone, parts of logs that have become whole, leases that expired long ago,
 * key slots of a repository whose making died.
 *
 * Invariant: nothing is touched below a prefix that has a manifest, or a lease that has not expired, or anything younger than the age. Dying in it leaves less to do for the next sweep.
 */

import { asHoldfastError } from '../base/errors.ts';
import { listBackups } from './list-backups.ts';
import { archivesPrefix, backupPrefix, decodeName, parseLogObject, type RecordFolder, recordPrefix } from './object-names.ts';
import { readRecord } from './record-objects.ts';
import type { LeaseRecord } from './records.ts';
import { RemovalCount, type Removed, removeObject } from './remove-objects.ts';
import type { RepositoryParts } from './repository-parts.ts';
import { sweepDeadCreations } from './sweep-dead-creations.ts';

export async function sweepOrphans(parts: RepositoryParts, olderThanMs: number, clockSkewMs: number): Promise<Removed> {
  const { store } = parts;
  const count = new RemovalCount();
  // Objects bear the time of the store's clock.
  const beforeMs = store.host.clock.nowMs() + clockSkewMs - olderThanMs;
  await sweepLeases(parts, beforeMs, count);
  const committed = new Set<string>();
  for await (const { component, backupId } of listBackups(store)) {
    const prefix = backupPrefix(component, backupId);
    if ((await store.backend.head(`${prefix}manifest`)) !== undefined || (await isLeased(parts, component, backupId)))
      committed.add(prefix);
    else if (await sweepPrefix(parts, prefix, beforeMs, count)) continue;
    else committed.add(prefix);
  }
  for (const folder of ['proofs', 'tombstones'] as const) await sweepRecords(parts, folder, committed, beforeMs, count);
  await sweepLogParts(parts, beforeMs, count);
  await sweepDeadCreations(parts, beforeMs, count);
  return count.result();
}

/** All of it or nothing: one young object tells that somebody is at work there. */
async function sweepPrefix({ store }: RepositoryParts, prefix: string, beforeMs: number, count: RemovalCount): Promise<boolean> {
  for await (const object of store.backend.list(prefix)) if (object.modifiedMs >= beforeMs) return false;
  // Looked at once more: an attempt may have committed while its objects were listed.
  if ((await store.backend.head(`${prefix}manifest`)) !== undefined) return false;
  for await (const object of store.backend.list(prefix)) await removeObject(store, object, count);
  return true;
}

async function isLeased(parts: RepositoryParts, component: string, backupId: string): Promise<boolean> {
  for await (const { name } of parts.store.backend.list(recordPrefix('leases', component, backupId))) {
    const lease = await findLease(parts, name);
    if (lease !== undefined && lease.untilMs > parts.store.host.clock.nowMs()) return true;
  }
  return false;
}

/** Undefined where it was released or renewed meanwhile; the renewed one is an object of its own. One that can't be read ends the sweep: it may be somebody's. */
async function findLease(parts: RepositoryParts, name: string): Promise<LeaseRecord | undefined> {
  try {
    return (await readRecord(parts, 'leases', name)) as LeaseRecord;
  } catch (error) {
    if (asHoldfastError(error).code === 'STORE_NO_OBJECT') return undefined;
    throw error;
  }
}

async function sweepLeases(parts: RepositoryParts, beforeMs: number, count: RemovalCount): Promise<void> {
  const { store } = parts;
  for await (const object of store.backend.list('leases/')) {
    if (object.modifiedMs >= beforeMs) continue;
    const lease = await findLease(parts, object.name);
    if (lease !== undefined && lease.untilMs < store.host.clock.nowMs()) await removeObject(store, object, count);
  }
}

async function sweepRecords(
  { store }: RepositoryParts,
  folder: RecordFolder,
  committed: ReadonlySet<string>,
  beforeMs: number,
  count: RemovalCount,
): Promise<void> {
  for await (const object of store.backend.list(`${folder}/`)) {
    const [, component, backupId] = object.name.split('/') as [string, string, string];
    const prefix = backupPrefix(decodeName(component), decodeName(backupId));
    if (!committed.has(prefix) && object.modifiedMs < beforeMs) await removeObject(store, object, count);
  }
}

async function sweepLogParts({ store }: RepositoryParts, beforeMs: number, count: RemovalCount): Promise<void> {
  let whole = '';
  for await (const object of store.backend.list(archivesPrefix)) {
    const slash = object.name.lastIndexOf('/') + 1;
    const parsed = parseLogObject(object.name.slice(slash));
    const log = object.name.slice(0, slash) + parsed.name;
    // A log comes before its parts in the order of names.
    if (parsed.kind === 'whole') whole = log;
    else if (parsed.kind === 'part' && object.modifiedMs < beforeMs && (log === whole || (await isWhole(object.name))))
      await removeObject(store, object, count);
  }
  async function isWhole(partName: string): Promise<boolean> {
    return (await store.backend.head(partName.replace(/\.part-[0-9a-f]{12}-[0-9a-f]{12}$/, ''))) !== undefined;
  }
}
