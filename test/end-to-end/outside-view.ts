/**
 * How the platform looks from outside, without asking Holdfast: what each server says of itself, what runs, what lies on disk. Two such looks give the effects of what
 * happened between them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type RegionName, regionNames } from '../../examples/demo/region.ts';
import type { TwoRegions } from '../../examples/demo/two-regions.ts';

export interface OutsideView {
  readonly database: Readonly<Record<RegionName, string>>;
  readonly systemIdentifiers: readonly string[];
  /** The number of the primary's timeline: one more for each promotion. */
  readonly timeline: number;
  /** `sync`, `quorum`, `async`: what the primary says of each standby. */
  readonly standbys: readonly string[];
  readonly epochRows: readonly string[];
  readonly cache: Readonly<Record<RegionName, string>>;
  readonly cacheHistory: string;
  readonly cacheHistoryBefore: string;
  readonly answer: readonly string[];
  /** One more for each change of the zone. */
  readonly serial: number;
  readonly services: Readonly<Record<RegionName, readonly number[]>>;
  /** Directories that were made beside the database's own: what was put aside, and what was left lying. */
  readonly keptAside: readonly string[];
}

async function perRegion<T>(look: (region: RegionName) => Promise<T>): Promise<Record<RegionName, T>> {
  const [east, west] = await Promise.all(regionNames.map(look));
  return { [regionNames[0]]: east, [regionNames[1]]: west } as Record<RegionName, T>;
}

interface DatabaseLook {
  readonly standby: boolean;
  readonly identifier: string;
  readonly timeline: number;
  readonly standbys: readonly string[];
  readonly epochs: readonly string[];
}

const databaseText = `SELECT pg_is_in_recovery() AS standby, (SELECT system_identifier::text FROM pg_control_system()) AS identifier,
  CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
  (SELECT coalesce(array_agg(sync_state || ' ' || state ORDER BY application_name), '{}') FROM pg_stat_replication WHERE application_name LIKE 'orders%') AS standbys,
  to_regclass('holdfast.epoch') IS NOT NULL AS has_epochs`;

async function lookAtDatabase(platform: TwoRegions, region: RegionName): Promise<DatabaseLook | undefined> {
  const { database } = platform.regions[region];
  try {
    const [row] = await database.query(databaseText, { database: 'orders', timeoutMs: 3_000 });
    if (!row) return undefined;
    const epochs = row.has_epochs
      ? await database.query('SELECT component, region, epoch::text FROM holdfast.epoch ORDER BY component', { database: 'orders' })
      : [];
    return {
      standby: row.standby === true,
      identifier: String(row.identifier),
      timeline: Number(row.timeline),
      standbys: row.standbys as string[],
      epochs: epochs.map((each) => `${each.component} ${each.region} ${each.epoch}`),
    };
  } catch {
    return undefined; // it does not answer: that is how it looks from outside
  }
}

async function lookAtCache(platform: TwoRegions, region: RegionName): Promise<ReadonlyMap<string, string> | undefined> {
  const { cache } = platform.regions[region];
  try {
    const text = await cache?.command('INFO', 'replication');
    if (text === undefined) return undefined;
    return new Map(
      text
        .split('\n')
        .map((line) => line.trim().split(':') as [string, string])
        .filter((pair) => pair.length === 2),
    );
  } catch {
    return undefined; // it does not answer
  }
}

function cacheText(info: ReadonlyMap<string, string> | undefined): string {
  if (!info) return 'gone';
  if (info.get('role') === 'slave') return `replica, link ${info.get('master_link_status')}`;
  return `master with ${info.get('connected_slaves')} replicas`;
}

/** Every process of the orders service in a region of this very platform. */
export function servicesOf(platform: TwoRegions, region: RegionName): number[] {
  const { database } = platform.regions[region];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('orders-app.ts')) return false;
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
        return environment.some(
          (line) => line.startsWith('ORDERS_DATABASE_URL=') && line.includes(`${database.address}:${database.port}/`),
        );
      } catch {
        return false; // it ended meanwhile
      }
    });
}

function keptAside(platform: TwoRegions): string[] {
  return regionNames.flatMap((region) => {
    const { dir, dataDirectory } = platform.regions[region].database;
    const data = dataDirectory.slice(dir.length + 1);
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name.startsWith(data) && entry.name !== data)
      .map((entry) => `${region} ${entry.name}`);
  });
}

/** @param active whose word counts where two servers take themselves for the primary: one that came back does until it is made to follow */
export async function lookFromOutside(platform: TwoRegions, active: RegionName): Promise<OutsideView> {
  const { dns } = platform;
  const [databases, caches, answer, serial] = await Promise.all([
    perRegion((region) => lookAtDatabase(platform, region)),
    perRegion((region) => lookAtCache(platform, region)),
    dns?.query(platform.recordName, 'A') ?? [],
    dns?.serial() ?? 0,
  ]);
  const primary = databases[active]?.standby === false ? databases[active] : undefined;
  const master = caches[active]?.get('role') === 'master' ? caches[active] : undefined;
  return {
    database: await perRegion(async (region) => {
      const look = databases[region];
      return look === undefined ? 'gone' : look.standby ? 'standby' : 'primary';
    }),
    systemIdentifiers: [...new Set(Object.values(databases).flatMap((each) => each?.identifier ?? []))],
    timeline: primary?.timeline ?? 0,
    standbys: primary?.standbys ?? [],
    epochRows: primary?.epochs ?? [],
    cache: await perRegion(async (region) => cacheText(caches[region])),
    cacheHistory: master?.get('master_replid') ?? '',
    cacheHistoryBefore: master?.get('master_replid2') ?? '',
    answer,
    serial,
    services: await perRegion(async (region) => servicesOf(platform, region)),
    keptAside: keptAside(platform),
  };
}
