/**
 * One look at one region of the cluster, by the hands of its site.
 *
 * Invariant: `up` needs a status that was read whole, a majority of the coordinators, and processes of this very region; for the active region an available database as well. What could
 * not be asked is unknown, and tells no numbers.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Evidence, Reading, ReplicationReading, Role } from '../../contracts/observation.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { findReadinessFaults } from './readiness.ts';
import { hasProcesses, hasSatellites, hindranceOf } from './regions.ts';
import { type FdbSite, positionOf, readCluster } from './site.ts';
import { type ClusterView, serves } from './status.ts';

/** In the words of those who run such clusters; each is of the newest look of one site. */
export const metrics = {
  fdb_database_available: '1 where the database takes commits, as it is seen from this region',
  fdb_replication_lag_seconds: 'How far the other region is behind the active one; absent where there is no second copy',
  fdb_coordinators_connected: 'How many coordinators are reached from this region',
  fdb_coordinators: 'How many coordinators the cluster has',
  fdb_quorum_reachable: '1 where a majority of the coordinators is reached from this region',
  fdb_full_replication: '1 where all data have all the copies that are configured',
  fdb_backup_restorable_lag_seconds: 'How far the newest version that the backup could restore is behind',
} as const;

export async function observe(site: FdbSite, signal: AbortSignal): Promise<Reading> {
  let view: ClusterView;
  try {
    view = await readCluster(site, site.client, { timeoutMs: site.context.probeTimeoutMs, signal });
  } catch (error) {
    return readingOf(evidenceOfFailure(error));
  }
  const role = roleOf(view, site);
  const position = positionOf(view, site.dcid);
  return {
    ...readingOf(evidenceOf(view, site)),
    role,
    ...(role === 'primary' ? { writable: serves(view) && view.locked !== true } : {}),
    ...(position === undefined ? {} : { position }),
    ...(view.connection === undefined ? {} : { identity: view.connection.split('@')[0] as string }),
    replication: replicationOf(view, site, role),
    faults: findReadinessFaults(view, site),
    facts: factsOf(view),
    metrics: metricsOf(view, site),
  };
}

function evidenceOfFailure(error: unknown): Evidence {
  if (!(error instanceof HoldfastError)) {
    if (error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError'))
      return { kind: 'timeout', detail: 'no status before the look was ended' };
    throw error;
  }
  if (error.kind === 'bug') throw error;
  const kind =
    error.code === 'TIMED_OUT' || error.code === 'INTERRUPTED'
      ? 'timeout'
      : error.code === 'HANDS_UNREACHABLE'
        ? 'unreachable'
        : error.code === 'HANDS_KEY_REJECTED'
          ? 'not-allowed'
          : 'error';
  return { kind, detail: error.message };
}

function evidenceOf(view: ClusterView, site: FdbSite): Evidence {
  const { dcid } = site;
  if (view.quorum !== true) {
    const reached = view.coordinators.filter(({ reachable }) => reachable).length;
    return { kind: 'unreachable', detail: `${reached} of ${view.coordinators.length} coordinators are reached: no majority` };
  }
  if (view.processes === undefined || view.activeDc === undefined)
    return { kind: 'error', detail: 'the status leaves out the processes or the active region' };
  if (!hasProcesses(view, dcid)) return { kind: 'wrong-answer', detail: `no process of ${dcid} reports to the cluster` };
  if (view.activeDc === dcid && !serves(view))
    return { kind: 'wrong-answer', detail: `the database is not available (${view.recovery ?? 'its recovery state is not told'})` };
  const where = view.activeDc === dcid ? 'it serves here' : `it serves in ${view.activeDc}`;
  return { kind: 'answered', detail: `${where}; ${view.processes.get(dcid)} processes of ${dcid} report` };
}

function roleOf(view: ClusterView, { dcid }: FdbSite): Role {
  if (view.activeDc === undefined) return 'unknown';
  return view.activeDc === dcid ? 'primary' : 'standby';
}

function replicationOf(view: ClusterView, { dcid, other, context }: FdbSite, role: Role): ReplicationReading {
  const limitMs = context.options['lag-limit'];
  if (role === 'standby') {
    const whole = hindranceOf(view, dcid, limitMs) === undefined;
    const link = whole ? 'up' : view.available && view.usableRegions !== 2 ? 'down' : view.available ? 'unknown' : 'down';
    return { upstream: { link, region: other.region } };
  }
  if (role !== 'primary' || view.usableRegions !== 2) return { standbys: [], synchronous: false };
  // Without satellites a commit is acknowledged before the other region has it.
  const synchronous = hasSatellites(view, dcid);
  const follows = hindranceOf(view, other.dcid, limitMs) === undefined;
  return {
    synchronous,
    standbys: [
      {
        member: other.region,
        link: follows ? 'up' : hasProcesses(view, other.dcid) ? 'unknown' : 'down',
        inSync: synchronous && follows,
        ...(view.lagSeconds === undefined ? {} : { lagMs: Math.round(view.lagSeconds * 1_000) }),
      },
    ],
  };
}

function factsOf(view: ClusterView): JsonObject {
  return {
    connection: view.connection,
    generation: view.generation,
    activeDc: view.activeDc,
    recovery: view.recovery,
    usableRegions: view.usableRegions,
    fullReplication: view.fullReplication,
    lagSeconds: view.usableRegions === 2 ? view.lagSeconds : undefined,
    lagVersions: view.usableRegions === 2 ? view.lagVersions : undefined,
    ...(view.locked === true ? { lockUid: view.lockUid } : {}),
  };
}

function metricsOf(view: ClusterView, { context }: FdbSite): Readonly<Record<string, number>> {
  const tag = context.options['backup-behind']?.tag;
  const behind = tag === undefined ? undefined : view.backups?.[tag]?.last_restorable_seconds_behind;
  const told: Record<keyof typeof metrics, number | undefined> = {
    fdb_database_available: view.available ? 1 : 0,
    // With one region the cluster tells a lag of 0, which is no copy's.
    fdb_replication_lag_seconds: view.usableRegions === 2 && view.available ? view.lagSeconds : undefined,
    fdb_coordinators_connected: view.coordinators.length === 0 ? undefined : view.coordinators.filter(({ reachable }) => reachable).length,
    fdb_coordinators: view.coordinators.length === 0 ? undefined : view.coordinators.length,
    fdb_quorum_reachable: view.quorum === undefined ? undefined : Number(view.quorum),
    fdb_full_replication: view.fullReplication === undefined ? undefined : Number(view.fullReplication),
    fdb_backup_restorable_lag_seconds: behind,
  };
  return Object.fromEntries(Object.entries(told).filter((each): each is [string, number] => each[1] !== undefined));
}
