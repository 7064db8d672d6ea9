/**
 * From where on an archived log is needed. Pure.
 *
 * Invariant: of each history everything stays from the oldest backup on that still has its objects, those that wait under a tombstone included; timeline history files always
 * stay. Segments are compared by name within one history: a later timeline sorts after an earlier one, so nothing that a backup on an earlier one needs is cut.
 */
import { formatInstant } from '../base/instants.ts';
import type { CatalogueEntry } from './records.ts';
import type { RetentionPolicy } from './retention-policy.ts';

/** What an archive holds of one history. */
export interface ArchiveExtent {
  readonly component: string;
  readonly identity: string;
  readonly oldest: string;
  readonly newest: string;
  /** When its newest segment arrived. */
  readonly newestAtMs: number;
}

export interface ArchiveCut {
  readonly component: string;
  readonly identity: string;
  /** The first segment that stays. */
  readonly before: string;
  readonly because: string;
}

interface CutInput {
  /** Backups that have their objects after the plan was carried out. */
  readonly staying: readonly CatalogueEntry[];
  readonly archives: readonly ArchiveExtent[];
  policyOf(component: string, what: string): RetentionPolicy | undefined;
  readonly nowMs: number;
  /** Components of which nothing goes. */
  readonly blocked: ReadonlySet<string>;
}

/** A history that no backup belongs to any more: it is of no use once it has been silent for long and another one has taken its place. */
function cutAbandoned(archive: ArchiveExtent, input: CutInput): ArchiveCut | undefined {
  const later = input.staying.find(
    ({ backup }) =>
      backup.component === archive.component &&
      backup.facts.consistentAtMs > archive.newestAtMs &&
      backup.facts.identity !== archive.identity,
  );
  const policy = later && input.policyOf(archive.component, later.backup.what);
  if (!policy || input.nowMs - archive.newestAtMs <= policy.unprovenForMs + policy.graceMs) return undefined;
  return {
    component: archive.component,
    identity: archive.identity,
    before: archive.newest,
    because: `no backup of that history is left, and its last segment came at ${formatInstant(archive.newestAtMs)}`,
  };
}

export function computeArchiveCuts(input: CutInput): { readonly cuts: readonly ArchiveCut[]; readonly warnings: readonly string[] } {
  const cuts: ArchiveCut[] = [];
  const warnings: string[] = [];
  for (const archive of input.archives) {
    const { component, identity } = archive;
    if (input.blocked.has(component)) continue;
    const users = input.staying.filter(({ backup }) => backup.component === component && backup.facts.identity === identity);
    const needed = users.flatMap(({ backup }) =>
      backup.facts.archive ? [{ first: backup.facts.archive.first, id: backup.backupId }] : [],
    );
    const oldest = needed.toSorted((left, right) => (left.first < right.first ? -1 : 1))[0];
    if (oldest) {
      if (archive.oldest < oldest.first)
        cuts.push({ component, identity, before: oldest.first, because: `${oldest.id} is the oldest that needs it` });
      continue;
    }
    const abandoned = users.length === 0 ? cutAbandoned(archive, input) : undefined;
    if (abandoned && archive.oldest < abandoned.before) cuts.push(abandoned);
    else if (!abandoned)
      warnings.push(`${component}: the log of ${identity} (from ${archive.oldest} on) is needed by no backup yet, and stays`);
  }
  return { cuts, warnings };
}
