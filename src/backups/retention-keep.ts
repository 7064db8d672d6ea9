/**
 * Why each backup of one group is kept, by the policy alone. Pure; a backup without a reason may go.
 */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import type { CatalogueEntry } from './records.ts';
import { openCalendar } from './retention-calendar.ts';
import { isProven, type RetentionGroup } from './retention-groups.ts';
import { type RetentionPolicy, retentionTiers } from './retention-policy.ts';

type Note = (entry: CatalogueEntry, reason: string) => void;

/** What somebody else holds: whatever the policy says. */
function keepHeld(group: RetentionGroup, nowMs: number, note: Note): void {
  for (const entry of group.entries) {
    // A lease counts a little longer than it says: its holder's clock may be behind ours.
    const lease = entry.leases.find(({ untilMs }) => untilMs + group.policy.skewMaxMs > nowMs);
    if (lease) note(entry, `${lease.holder} holds it for ${lease.what}`);
    if (entry.lockedUntilMs !== undefined && entry.lockedUntilMs > nowMs)
      note(entry, `the store keeps it locked until ${formatInstant(entry.lockedUntilMs)}`);
  }
}

function keepTiers(proven: readonly CatalogueEntry[], policy: RetentionPolicy, note: Note): void {
  if (retentionTiers.every((tier) => (policy[tier] ?? 0) === 0)) return;
  const readCalendar = openCalendar(policy.timezone);
  const seen = new Map(retentionTiers.map((tier) => [tier, new Set<string>()]));
  for (const entry of proven.toReversed()) {
    const buckets = readCalendar(entry.backup.facts.consistentAtMs);
    for (const tier of retentionTiers) {
      const taken = seen.get(tier) as Set<string>;
      const wanted = policy[tier] ?? 0;
      if (taken.size >= wanted || taken.has(buckets[tier])) continue;
      taken.add(buckets[tier]);
      note(entry, `${tier} ${taken.size} of ${wanted}`);
    }
  }
}

/** The window of any instant begins at the newest proven backup before it; where there is none, at the oldest proven one. */
function keepWindow(proven: readonly CatalogueEntry[], windowMs: number, nowMs: number, note: Note): void {
  const fromMs = nowMs - windowMs;
  const anchor = proven.findLast((entry) => entry.backup.facts.consistentAtMs <= fromMs) ?? proven[0];
  if (anchor) note(anchor, `the window of ${formatDuration(windowMs)} begins with it`);
}

function keepUnproven(group: RetentionGroup, newestProvenMs: number | undefined, nowMs: number, note: Note): void {
  const { policy } = group;
  const forMs = Math.max(policy.unprovenForMs, policy.keepForMs ?? 0);
  for (const entry of group.entries) {
    if (entry.tombstone || isProven(entry, policy)) continue;
    const atMs = entry.backup.facts.consistentAtMs;
    if (newestProvenMs === undefined || newestProvenMs <= atMs) note(entry, 'not proven yet, and no newer one is');
    else if (nowMs - atMs <= forMs) note(entry, `not proven yet: it has ${formatDuration(forMs)} for that`);
  }
}

export function findReasonsToKeep(group: RetentionGroup, nowMs: number): Map<CatalogueEntry, string[]> {
  const reasons = new Map<CatalogueEntry, string[]>();
  const note: Note = (entry, reason) => {
    const known = reasons.get(entry);
    if (known) known.push(reason);
    else reasons.set(entry, [reason]);
  };
  const { policy } = group;
  const everProven = group.entries.filter((entry) => isProven(entry, policy));
  const proven = everProven.filter((entry) => !entry.tombstone);
  // Also where it has a tombstone: a backup that became the newest proven one, because others failed since, is not let go.
  for (const newest of new Set([everProven.at(-1), proven.at(-1)])) if (newest) note(newest, 'the newest proven one');
  keepHeld(group, nowMs, note);
  const counted = policy.proven ?? 0;
  if (counted > 0)
    for (const [index, entry] of proven.slice(-counted).toReversed().entries()) note(entry, `proven ${index + 1} of ${counted}`);
  if (policy.keepForMs !== undefined)
    for (const entry of proven)
      if (nowMs - entry.backup.facts.consistentAtMs <= policy.keepForMs) note(entry, `younger than ${formatDuration(policy.keepForMs)}`);
  keepTiers(proven, policy, note);
  if (policy.windowMs !== undefined) keepWindow(proven, policy.windowMs, nowMs, note);
  keepUnproven(group, proven.at(-1)?.backup.facts.consistentAtMs, nowMs, note);
  return reasons;
}
