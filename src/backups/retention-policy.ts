/**
 * What a spec says of keeping backups, as numbers. Pure. Where it contradicts itself is said when the spec is read.
 *
 * A count, a span of time and calendar tiers may be given together: each keeps what it keeps, and what nothing keeps may go.
 */
import type { ProofLevel } from '../contracts/backup.ts';

const dayMs = 86_400_000;

export const retentionTiers = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type RetentionTier = (typeof retentionTiers)[number];

export interface RetentionPolicy extends Readonly<Partial<Record<RetentionTier, number>>> {
  /** At least so many of the newest proven ones. */
  readonly proven?: number;
  /** Every proven one that is no older than this. */
  readonly keepForMs?: number;
  /** How far back every instant must stay within reach: the newest proven one before that window is kept too, since the window begins there. */
  readonly windowMs?: number;
  /** Where days begin: an IANA name. */
  readonly timezone: string;
  /** From this level on a backup counts as proven. */
  readonly provenFrom: ProofLevel;
  /** An unproven one stays so long at the least; then it goes once there is a newer proven one. */
  readonly unprovenForMs: number;
  /** Between the tombstone and the removal: longer than the longest backup or restore. */
  readonly graceMs: number;
  /** A plan that takes away more than this share of a component's backups is refused. */
  readonly deleteShareMax: number;
  /** The clock may be so far ahead of the last run, or of the newest record. */
  readonly leapMaxMs: number;
  /** The clock may be so far behind the newest record, for they come from several machines. */
  readonly skewMaxMs: number;
}

export const retentionDefaults = {
  timezone: 'UTC',
  provenFrom: 'P2',
  unprovenForMs: 7 * dayMs,
  graceMs: dayMs,
  deleteShareMax: 0.5,
  leapMaxMs: 7 * dayMs,
  skewMaxMs: 5 * 60_000,
} as const satisfies Partial<RetentionPolicy>;
