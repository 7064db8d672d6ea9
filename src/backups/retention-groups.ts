/** What retention decides over: the backups that one policy is about, in order. Pure. */
import { proofLevels } from '../contracts/backup.ts';
import type { ArchiveExtent } from './archive-extent.ts';
import { type Catalogue, type CatalogueEntry, provenLevel } from './records.ts';
import type { RetentionPolicy } from './retention-policy.ts';

export interface RetentionInput {
  readonly catalogue: Pick<Catalogue, 'entries' | 'unreadable'>;
  /** Undefined: the spec says nothing of it, so all of it is kept. */
  policyOf(component: string, what: string): RetentionPolicy | undefined;
  readonly nowMs: number;
  /** When retention last ran, by its clock. */
  readonly previousNowMs?: number;
  readonly archives?: readonly ArchiveExtent[];
  /** Trouble that is known elsewhere: a failing schedule, an archive that has stopped. Nothing of that component goes. */
  readonly frozen?: readonly { readonly component: string; readonly why: string }[];
}

/** `component what`: what one policy is about. */
export interface RetentionGroup {
  readonly component: string;
  readonly what: string;
  readonly policy: RetentionPolicy;
  /** Oldest first, by the instant that they come back to; those with a tombstone too. */
  readonly entries: readonly CatalogueEntry[];
}

export function isProven(entry: CatalogueEntry, policy: RetentionPolicy): boolean {
  const level = provenLevel(entry);
  return level !== 'none' && proofLevels.indexOf(level) >= proofLevels.indexOf(policy.provenFrom);
}

export function inOrder(entries: readonly CatalogueEntry[]): readonly CatalogueEntry[] {
  return entries.toSorted(
    (left, right) =>
      left.backup.facts.consistentAtMs - right.backup.facts.consistentAtMs ||
      left.backup.endedAtMs - right.backup.endedAtMs ||
      (left.backup.backupId < right.backup.backupId ? -1 : 1),
  );
}

export function formGroups(input: RetentionInput): { groups: RetentionGroup[]; without: CatalogueEntry[] } {
  const byKey = Map.groupBy(input.catalogue.entries, ({ backup }) => `${backup.component}\n${backup.what}`);
  const groups: RetentionGroup[] = [];
  const without: CatalogueEntry[] = [];
  for (const entries of byKey.values()) {
    const { component, what } = (entries[0] as CatalogueEntry).backup;
    const policy = input.policyOf(component, what);
    if (policy) groups.push({ component, what, policy, entries: inOrder(entries) });
    else without.push(...entries);
  }
  return { groups, without };
}
