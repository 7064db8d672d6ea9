/**
 * What a spec says of keeping backups, and where what it says can't be kept. Pure.
 *
 * A count, a span of time and calendar tiers may be given together: each keeps what it keeps, and what nothing keeps may go.
 */
import { formatDuration } from '../base/durations.ts';
import type { ProofLevel } from '../contracts/backup.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

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

/** What else the spec says of the same component, where it says it. */
export interface RetentionSurroundings {
  /** For people: `orders-db base`. */
  readonly subject: string;
  /** Between two backups; undefined for a continuous one. */
  readonly everyMs?: number;
  /** How long a backup takes: what is written meanwhile is in none. */
  readonly tookMs?: number;
  /** Between two proofs; undefined: never proven. */
  readonly proveEveryMs?: number;
  readonly rpoMs?: number;
  /** Whether the log is archived continuously besides. */
  readonly archived: boolean;
  /** For how long the store itself refuses to remove anything. */
  readonly lockMs?: number;
}

const tierMs: Readonly<Record<RetentionTier, number>> = {
  hourly: hourMs,
  daily: dayMs,
  weekly: 7 * dayMs,
  monthly: 30 * dayMs,
  yearly: 365 * dayMs,
};

/** The oldest age that the policy keeps anything at, if all goes as it is scheduled. */
function computeReachMs(policy: RetentionPolicy, proofsApartMs: number): number {
  const tiers = retentionTiers.map((tier) => (policy[tier] ?? 0) * Math.max(tierMs[tier], proofsApartMs));
  return Math.max(policy.keepForMs ?? 0, (policy.proven ?? 0) * proofsApartMs, ...tiers);
}

function objectiveContradictions(around: RetentionSurroundings): string[] {
  const { subject, everyMs, rpoMs, tookMs = 0 } = around;
  if (rpoMs === undefined || everyMs === undefined || around.archived || everyMs + tookMs <= rpoMs) return [];
  const between = tookMs === 0 ? formatDuration(everyMs) : `${formatDuration(everyMs)} and ${formatDuration(tookMs)} to take it`;
  return [
    `${subject}: a backup every ${between} can't keep a loss below ${formatDuration(rpoMs)}: back up more often, or archive continuously`,
  ];
}

function proofContradictions(policy: RetentionPolicy, around: RetentionSurroundings): string[] {
  const { subject, everyMs, proveEveryMs } = around;
  if (proveEveryMs === undefined) return [`${subject}: nothing proves it, and only proven backups count: none will ever be removed`];
  const found: string[] = [];
  for (const tier of retentionTiers) {
    const wanted = policy[tier] ?? 0;
    if (wanted < 2 || proveEveryMs <= tierMs[tier]) continue;
    found.push(
      `${subject}: ${tier}: ${wanted} keeps one for each ${formatDuration(tierMs[tier])} only where one is proven so often, and proofs are ${formatDuration(proveEveryMs)} apart`,
    );
  }
  if (policy.keepForMs !== undefined && policy.keepForMs < proveEveryMs)
    found.push(
      `${subject}: it is kept for ${formatDuration(policy.keepForMs)} and proven every ${formatDuration(proveEveryMs)}: at most the newest proven one stays`,
    );
  if (everyMs !== undefined && policy.keepForMs !== undefined && policy.keepForMs < everyMs)
    found.push(`${subject}: it is kept for ${formatDuration(policy.keepForMs)} and taken every ${formatDuration(everyMs)}`);
  return found;
}

/** What the spec promises and its own numbers can't keep. Empty where it is in harmony. */
export function listContradictions(policy: RetentionPolicy, around: RetentionSurroundings): readonly string[] {
  const { subject } = around;
  const found = [...objectiveContradictions(around), ...proofContradictions(policy, around)];
  const apartMs = Math.max(around.everyMs ?? 0, around.proveEveryMs ?? 0);
  const reachMs = computeReachMs(policy, apartMs);
  if (reachMs === 0) found.push(`${subject}: nothing says what is kept: only the newest proven one would be`);
  // A count of backups is no span of time: seven hourly ones are seven hours.
  if (policy.windowMs !== undefined && apartMs > 0 && reachMs > 0 && reachMs < policy.windowMs)
    found.push(
      `${subject}: what is kept reaches back ${formatDuration(reachMs)}, and the log ${formatDuration(policy.windowMs)}: a log is of use only from the oldest kept backup on, so one more is kept before the window`,
    );
  if (around.lockMs !== undefined && reachMs > 0 && around.lockMs > reachMs + policy.graceMs)
    found.push(
      `${subject}: the store locks everything for ${formatDuration(around.lockMs)}, longer than the ${formatDuration(reachMs)} that are kept: the lock decides`,
    );
  if (policy.graceMs < dayMs)
    found.push(`${subject}: ${formatDuration(policy.graceMs)} between tombstone and removal may be shorter than a restore takes`);
  return found;
}
