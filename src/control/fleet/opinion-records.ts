/**
 * What each controller leaves in the state for the others: its votes, and what keeps each region from taking over. One record per region that has a controller.
 *
 * Invariant: a record counts only while its author holds the presence lease of its region under the token that the record names. So it is written when it changes, and never merely
 * because time has passed; and it is void as soon as its author is gone.
 */
import type { StateStore } from '../../contracts/state-store.ts';
import type { RegionState } from '../../watch/verdict.ts';

export const opinionPrefix = 'opinions/';
export const opinionKey = (region: string): string => `${opinionPrefix}${region}`;
/** Who is there: the lease of a region's controller. */
export const presenceLease = (region: string): string => `controllers/${region}`;
/** Who decides, writes canaries and runs schedules. */
export const leadLease = 'serve';

export interface OpinionVote {
  readonly says: RegionState;
  readonly because: readonly string[];
  readonly contradictedBy?: readonly string[];
}

export interface OpinionRecord {
  readonly region: string;
  readonly controller: string;
  /** Of the presence lease that it was said under. */
  readonly token: number;
  readonly version: string;
  readonly specDigest: string;
  /** By the wall clock of its author: for people only. */
  readonly startedAtMs: number;
  readonly atMs: number;
  /** By region. */
  readonly votes: Readonly<Record<string, OpinionVote>>;
  /** By region: what keeps it from taking over. */
  readonly faults: Readonly<Record<string, readonly string[]>>;
}

export async function readOpinions(store: StateStore): Promise<ReadonlyMap<string, OpinionRecord>> {
  const entries = await store.range(opinionPrefix);
  return new Map(entries.map((entry) => [entry.key.slice(opinionPrefix.length), entry.value as unknown as OpinionRecord]));
}

/** Versions that may vote together: of one major version, and before the first one of one minor. */
export function versionSeries(version: string): string {
  const [major = '', minor = ''] = version.split('.');
  return major === '0' ? `0.${minor}` : major;
}

/** Why a record of another controller has no weight with one of this spec and version; undefined where it has. */
export function strangeness(
  record: Pick<OpinionRecord, 'specDigest' | 'version'>,
  own: { readonly specDigest: string; readonly version: string },
): string | undefined {
  if (record.specDigest !== own.specDigest)
    return `it works from another spec (${record.specDigest.slice(0, 8)}, here ${own.specDigest.slice(0, 8)})`;
  if (versionSeries(record.version) !== versionSeries(own.version)) return `it is version ${record.version}, here is ${own.version}`;
  return undefined;
}
