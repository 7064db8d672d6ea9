/**
 * What `status json` says, field by field. https://apple.github.io/foundationdb/mr-status.html
 *
 * Invariant: any field may be missing at any time, and a missing one is never taken for a good one. Its words for people are not looked at.
 */
import { z } from 'zod';
import { fail } from '../../base/errors.ts';

const datacenter = z.looseObject({ id: z.string(), priority: z.number(), satellite: z.number().optional() });
const region = z.looseObject({
  datacenters: z.array(datacenter),
  satellite_redundancy_mode: z.string().optional(),
});

const process = z.looseObject({
  locality: z.looseObject({ dcid: z.string().nullish() }).optional(),
  roles: z.array(z.looseObject({ role: z.string(), data_version: z.number().optional() })).optional(),
});

const backupTag = z.looseObject({
  running_backup: z.boolean().optional(),
  running_backup_is_restorable: z.boolean().optional(),
  last_restorable_version: z.number().optional(),
  last_restorable_seconds_behind: z.number().optional(),
});

const schema = z.looseObject({
  client: z.looseObject({
    coordinators: z
      .looseObject({
        coordinators: z.array(z.looseObject({ address: z.string(), reachable: z.boolean() })).optional(),
        quorum_reachable: z.boolean().optional(),
      })
      .optional(),
    database_status: z.looseObject({ available: z.boolean().optional(), healthy: z.boolean().optional() }).optional(),
  }),
  cluster: z
    .looseObject({
      active_primary_dc: z.string().optional(),
      connection_string: z.string().optional(),
      configuration: z.looseObject({ usable_regions: z.number().optional(), regions: z.array(region).optional() }).optional(),
      data: z.looseObject({ state: z.looseObject({ name: z.string().optional(), healthy: z.boolean().optional() }).optional() }).optional(),
      database_available: z.boolean().optional(),
      database_lock_state: z.looseObject({ locked: z.boolean().optional(), lock_uid: z.string().optional() }).optional(),
      datacenter_lag: z.looseObject({ seconds: z.number().optional(), versions: z.number().optional() }).optional(),
      full_replication: z.boolean().optional(),
      generation: z.number().optional(),
      layers: z.looseObject({ backup: z.looseObject({ tags: z.record(z.string(), backupTag).optional() }).optional() }).optional(),
      processes: z.record(z.string(), process).optional(),
      recovery_state: z.looseObject({ name: z.string().optional() }).optional(),
    })
    .optional(),
});

export type RegionConfiguration = z.output<typeof region>;
export type BackupTag = z.output<typeof backupTag>;

/** Plain facts; `undefined` where the cluster did not say. */
export interface ClusterView {
  /** DESCRIPTION:ID@coordinators: changes with the coordinators. */
  readonly connection: string | undefined;
  readonly generation: number | undefined;
  readonly available: boolean;
  readonly quorum: boolean | undefined;
  readonly coordinators: readonly { readonly address: string; readonly reachable: boolean }[];
  readonly activeDc: string | undefined;
  readonly recovery: string | undefined;
  readonly usableRegions: number | undefined;
  readonly regions: readonly RegionConfiguration[] | undefined;
  readonly fullReplication: boolean | undefined;
  readonly dataHealthy: boolean | undefined;
  readonly lagSeconds: number | undefined;
  readonly lagVersions: number | undefined;
  readonly lockUid: string | undefined;
  readonly locked: boolean | undefined;
  /** How many processes each data centre has that report. Undefined: it did not say. */
  readonly processes: ReadonlyMap<string, number> | undefined;
  /** The newest version that a data centre holds. */
  readonly versions: ReadonlyMap<string, number>;
  readonly backups: Readonly<Record<string, BackupTag>> | undefined;
}

/** In these the database takes commits; what follows is the copying behind it. */
const servingStates = new Set(['accepting_commits', 'all_logs_recruited', 'storage_recovered', 'fully_recovered']);

export const serves = (view: ClusterView): boolean => view.available && view.recovery !== undefined && servingStates.has(view.recovery);

/** SYSTEM_WRONG_ANSWER for what is no status. */
export function parseStatus(printed: string): ClusterView {
  let value: unknown;
  try {
    value = JSON.parse(printed);
  } catch (cause) {
    throw fail('SYSTEM_WRONG_ANSWER', { message: 'fdbcli printed what is no whole JSON where a status should be', cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw fail('SYSTEM_WRONG_ANSWER', {
      message: `the status has an unknown shape: ${issue?.path.join('.')}: ${issue?.message}`,
      hint: 'Is fdbcli of the version of the cluster?',
    });
  }
  return viewOf(parsed.data);
}

function viewOf({ client, cluster = {} }: z.output<typeof schema>): ClusterView {
  const processes = cluster.processes && new Map<string, number>();
  const versions = new Map<string, number>();
  for (const { locality, roles = [] } of Object.values(cluster.processes ?? {})) {
    const dcid = locality?.dcid;
    if (dcid === undefined || dcid === null) continue;
    processes?.set(dcid, (processes.get(dcid) ?? 0) + 1);
    for (const role of roles) versions.set(dcid, Math.max(versions.get(dcid) ?? 0, role.data_version ?? 0));
  }
  return {
    connection: cluster.connection_string,
    generation: cluster.generation,
    // Both must say so: the client's word alone may be of another cluster than the rest.
    available: client.database_status?.available === true && cluster.database_available === true,
    quorum: client.coordinators?.quorum_reachable,
    coordinators: client.coordinators?.coordinators ?? [],
    activeDc: cluster.active_primary_dc,
    recovery: cluster.recovery_state?.name,
    usableRegions: cluster.configuration?.usable_regions,
    regions: cluster.configuration?.regions,
    fullReplication: cluster.full_replication,
    dataHealthy: cluster.data?.state?.healthy,
    lagSeconds: cluster.datacenter_lag?.seconds,
    lagVersions: cluster.datacenter_lag?.versions,
    locked: cluster.database_lock_state?.locked,
    lockUid: cluster.database_lock_state?.lock_uid,
    processes,
    versions,
    backups: cluster.layers?.backup?.tags,
  };
}
