/**
 * Which part of an archived log is needed. Pure.
 *
 * Invariant: of each history stays what every backup needs that still has its objects, those that wait under a tombstone included, and everything from the backup on at which the window
 * of any instant begins. Without such a window, everything stays from the oldest backup on. Timeline history files always stay. Segments are compared by name within one history: a later
 * timeline sorts after an earlier one, so nothing that a backup on an earlier one needs is cut.
 */
import { formatInstant } from '../base/instants.ts';
import type { ArchiveExtent } from './archive-extent.ts';
import type { CatalogueEntry } from './records.ts';
import { inOrder, isProven } from './retention-groups.ts';
import type { RetentionPolicy } from './retention-policy.ts';

export type { ArchiveExtent } from './archive-extent.ts';

/** The clock of a lease's holder may be behind ours. */
const heldSkewMs = 5 * 60_000;

export interface ArchiveCut {
  readonly component: string;
  readonly identity: string;
  /** The last segment that stays before it; absent: nothing stays before it. */
  readonly after?: string;
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

interface NeededRange {
  readonly id: string;
  readonly first: string;
  /** Undefined: to the end. */
  readonly last: string | undefined;
}

/** In order of their beginnings. */
function findNeeded(users: readonly CatalogueEntry[], input: CutInput): readonly NeededRange[] {
  const windowFrom = findWindowStart(users, input);
  return users
    .flatMap((entry): NeededRange[] => {
      const { archive } = entry.backup.facts;
      if (archive === undefined) return [];
      const { first, last } = archive;
      // Somebody works with it, and may be on the way to any point behind it.
      const isHeld = entry.leases.some(({ untilMs }) => untilMs + heldSkewMs > input.nowMs);
      return [{ id: entry.backup.backupId, first, last: windowFrom === undefined || isHeld || first >= windowFrom ? undefined : last }];
    })
    .toSorted((left, right) => (left.first < right.first ? -1 : 1));
}

/**
 * The segment from which on everything stays: that with which the backup begins from which the oldest instant of the window is reached. Undefined where the spec does not say of every
 * kind that uses the log how long any instant is kept, or where nothing is proven that the window could begin with.
 */
function findWindowStart(users: readonly CatalogueEntry[], { policyOf, nowMs }: CutInput): string | undefined {
  let start: string | undefined;
  for (const entries of Map.groupBy(users, ({ backup }) => backup.what).values()) {
    const { component, what } = (entries[0] as CatalogueEntry).backup;
    const policy = policyOf(component, what);
    const logged = inOrder(entries).filter(({ backup }) => backup.facts.archive !== undefined);
    if (logged.length === 0) continue;
    if (policy?.windowMs === undefined) return undefined;
    const fromMs = nowMs - policy.windowMs;
    const usable = logged.filter((entry) => entry.tombstone === undefined && isProven(entry, policy));
    const anchor = usable.findLast(({ backup }) => backup.facts.consistentAtMs <= fromMs) ?? usable[0];
    if (anchor === undefined) return undefined;
    const { first } = anchor.backup.facts.archive as { readonly first: string };
    if (start === undefined || first < start) start = first;
  }
  return start;
}

/** What lies between two ranges that are needed, and in neither. */
function cutBetween({ component, identity }: ArchiveExtent, needed: readonly NeededRange[]): readonly ArchiveCut[] {
  const cuts: ArchiveCut[] = [];
  let reached: NeededRange | undefined;
  for (const range of needed) {
    if (reached?.last !== undefined && range.first > reached.last)
      cuts.push({
        component,
        identity,
        after: reached.last,
        before: range.first,
        because: `${reached.id} needs it up to there and ${range.id} from there on, and the window of any instant begins later`,
      });
    if (reached === undefined || (reached.last !== undefined && (range.last === undefined || range.last > reached.last))) reached = range;
  }
  return cuts;
}

export function computeArchiveCuts(input: CutInput): { readonly cuts: readonly ArchiveCut[]; readonly warnings: readonly string[] } {
  const cuts: ArchiveCut[] = [];
  const warnings: string[] = [];
  for (const archive of input.archives) {
    const { component, identity } = archive;
    if (input.blocked.has(component)) continue;
    const users = input.staying.filter(({ backup }) => backup.component === component && backup.facts.identity === identity);
    const needed = findNeeded(users, input);
    const [oldest] = needed;
    if (oldest) {
      if (archive.oldest < oldest.first)
        cuts.push({ component, identity, before: oldest.first, because: `${oldest.id} is the oldest that needs it` });
      cuts.push(...cutBetween(archive, needed));
      continue;
    }
    const abandoned = users.length === 0 ? cutAbandoned(archive, input) : undefined;
    if (abandoned && archive.oldest < abandoned.before) cuts.push(abandoned);
    else if (!abandoned)
      warnings.push(`${component}: the log of ${identity} (from ${archive.oldest} on) is needed by no backup yet, and stays`);
  }
  return { cuts, warnings };
}
