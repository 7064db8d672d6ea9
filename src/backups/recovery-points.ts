/**
 * From when to when each component can be brought back. Pure.
 *
 * A window opens at the instant of a backup and reaches as far as the log goes on without a hole. A hole that somebody acknowledged is still a hole: nothing comes back across it.
 * Where the instant at a hole is not known, the window ends at the last instant that is certain.
 */
import type { ProofLevel } from '../contracts/backup.ts';
import { chainLength } from './chain.ts';
import { type Catalogue, type CatalogueEntry, type GapRecord, provenLevel } from './records.ts';
import type { ArchiveExtent } from './retention-archives.ts';

export interface RecoveryWindow {
  readonly component: string;
  readonly identity: string;
  /** Every instant from `fromMs` to `toMs`; equal where only the backup's own instant can be reached. */
  readonly fromMs: number;
  readonly toMs: number;
  /** The backups that it can be reached from, oldest first. */
  readonly backups: readonly { readonly backupId: string; readonly atMs: number; readonly level: ProofLevel | 'none' }[];
  /** The first instant that can be reached from a proven backup; undefined: none. */
  readonly provenFromMs?: number;
  /** Why it goes no further. */
  readonly endsAt: 'newest of the log' | 'no log' | 'gap';
  /** The hole that it ends at. */
  readonly gap?: GapRecord;
}

/** The first hole at or after the segment from which the backup needs the log. A hole before it does not concern the backup. */
function findGap(entry: CatalogueEntry, gaps: readonly GapRecord[]): GapRecord | undefined {
  const archive = entry.backup.facts.archive;
  if (!archive) return undefined;
  return gaps
    .filter((gap) => gap.component === entry.backup.component && gap.identity === entry.backup.facts.identity && gap.to >= archive.first)
    .toSorted((left, right) => (left.from < right.from ? -1 : 1))[0];
}

interface Reach {
  readonly entry: CatalogueEntry;
  /** Undefined: the hole is in what the backup itself needs, so nothing comes back from it. */
  readonly toMs: number | undefined;
  readonly endsAt: RecoveryWindow['endsAt'];
  readonly gap?: GapRecord;
}

function computeReach(
  entry: CatalogueEntry,
  entries: readonly CatalogueEntry[],
  gaps: readonly GapRecord[],
  archive: ArchiveExtent | undefined,
): Reach {
  const { facts, component } = entry.backup;
  const ownMs = facts.consistentAtMs;
  if (!facts.archive || !archive) return { entry, toMs: ownMs, endsAt: 'no log' };
  const gap = findGap(entry, gaps);
  if (!gap) return { entry, toMs: Math.max(ownMs, archive.newestAtMs), endsAt: 'newest of the log' };
  if (gap.from <= facts.archive.last) return { entry, toMs: undefined, endsAt: 'gap', gap };
  // Other backups that were whole before the hole tell instants that the log leads to for certain.
  const certain = entries
    .filter(({ backup }) => backup.component === component && backup.facts.identity === facts.identity)
    .filter(({ backup }) => backup.facts.archive !== undefined && backup.facts.archive.last < gap.from)
    .map(({ backup }) => backup.facts.consistentAtMs);
  return { entry, toMs: Math.max(ownMs, ...certain), endsAt: 'gap', gap };
}

function startWindow({ entry, toMs, endsAt, gap }: Reach & { toMs: number }): RecoveryWindow {
  const { component, backupId, facts } = entry.backup;
  const level = provenLevel(entry);
  return {
    component,
    identity: facts.identity,
    fromMs: facts.consistentAtMs,
    toMs,
    backups: [{ backupId, atMs: facts.consistentAtMs, level }],
    ...(level === 'none' ? {} : { provenFromMs: facts.consistentAtMs }),
    endsAt,
    ...(gap ? { gap } : {}),
  };
}

/** Windows that touch and end alike are one. */
function joinWindows(windows: readonly RecoveryWindow[]): readonly RecoveryWindow[] {
  const joined: RecoveryWindow[] = [];
  for (const window of windows) {
    const last = joined.findLast(({ component, identity }) => component === window.component && identity === window.identity);
    const sameEnd = last !== undefined && last.endsAt === window.endsAt && last.gap === window.gap && window.endsAt !== 'no log';
    if (!last || !sameEnd || window.fromMs > last.toMs) {
      joined.push(window);
      continue;
    }
    const provenFromMs = last.provenFromMs ?? window.provenFromMs;
    joined[joined.indexOf(last)] = {
      ...last,
      toMs: Math.max(last.toMs, window.toMs),
      backups: [...last.backups, ...window.backups],
      ...(provenFromMs === undefined ? {} : { provenFromMs }),
    };
  }
  return joined;
}

export interface RecoveryWindows {
  /** In order of their beginnings. */
  readonly windows: readonly RecoveryWindow[];
  /** Backups that nothing comes back from, because the log that they need has a hole, or a backup that they build on is not there. */
  readonly broken: readonly { readonly backupId: string; readonly component: string; readonly gap?: GapRecord }[];
}

export function computeRecoveryWindows(
  catalogue: Pick<Catalogue, 'entries' | 'gaps'>,
  archives: readonly ArchiveExtent[],
): RecoveryWindows {
  const entries = catalogue.entries
    .filter((entry) => !entry.tombstone)
    .toSorted((left, right) => left.backup.facts.consistentAtMs - right.backup.facts.consistentAtMs);
  const windows: RecoveryWindow[] = [];
  const broken: { backupId: string; component: string; gap?: GapRecord }[] = [];
  for (const entry of entries) {
    const { component, backupId, facts } = entry.backup;
    if (chainLength(catalogue.entries, entry) === undefined) {
      broken.push({ backupId, component });
      continue;
    }
    const archive = archives.find((each) => each.component === component && each.identity === facts.identity);
    const reach = computeReach(entry, entries, catalogue.gaps, archive);
    if (reach.toMs === undefined) broken.push({ backupId, component, gap: reach.gap as GapRecord });
    else windows.push(startWindow({ ...reach, toMs: reach.toMs }));
  }
  return { windows: joinWindows(windows), broken };
}

/** The newest instant that the component can be brought back to; undefined: none. */
export function findNewestRecoverableMs(windows: readonly RecoveryWindow[], component: string): number | undefined {
  const own = windows.filter((window) => window.component === component);
  return own.length === 0 ? undefined : Math.max(...own.map(({ toMs }) => toMs));
}
