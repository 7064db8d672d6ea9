/**
 * To which instant each component could be brought back now, from the state alone: asked at every decision, when the repository may be out of reach. Never later than what the repository
 * holds for certain, but perhaps earlier: a backup by hand that another state knows of is not in it.
 */
import type { JsonObject } from '../../base/json.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import { putRecord } from '../../watch/watch-records.ts';
import { readArchiverRecords } from './archiver-records.ts';

const prefix = 'recovery-points/';

interface RecoveryPointRecord extends JsonObject {
  readonly atMs: number;
  readonly backupId: string;
  readonly repository: string;
}

/** After the backup was committed. A death before leaves the older one, which is true too. */
export async function rememberRecoveryPoint(store: StateStore, component: string, point: RecoveryPointRecord): Promise<void> {
  await store.commit([putRecord(`${prefix}${component}`, point)]);
}

export async function readRecoveryInstants(store: StateStore): Promise<ReadonlyMap<string, number>> {
  const [points, archives] = await Promise.all([store.range(prefix), readArchiverRecords(store)]);
  const instants = new Map(points.map(({ key, value }) => [key.slice(prefix.length), (value as RecoveryPointRecord).atMs]));
  for (const { component, archivedAtMs } of archives.values()) {
    const own = instants.get(component);
    // A log without a backup before it leads nowhere.
    if (own !== undefined && archivedAtMs !== undefined) instants.set(component, Math.max(own, archivedAtMs));
  }
  return instants;
}
