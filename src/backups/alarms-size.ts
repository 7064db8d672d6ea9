/**
 * Whether the newest backup is of another size than those of the week before. Pure.
 *
 * One odd backup is no alarm yet: it has to have stood for an hour, and every one since has to be as odd.
 */
import type { CatalogueEntry } from './records.ts';

const hourMs = 3_600_000;
const weekMs = 7 * 24 * hourMs;
export const sizeDeviationMax = 0.3;
/** Of fewer than these there is no mean to speak of. */
const leastBefore = 3;

export interface SizeAnomaly {
  readonly backupId: string;
  /** Of the newest to the mean. */
  readonly ratio: number;
}

/** Increments are compared with increments: a full one among them is no wonder. */
const isIncrement = (entry: CatalogueEntry): boolean => (entry.backup.facts.needs ?? []).length > 0;

/** Undefined where it is as it should be, or nothing tells. */
function findOddRatio(entry: CatalogueEntry, entries: readonly CatalogueEntry[]): number | undefined {
  const { endedAtMs } = entry.backup;
  const before = entries.filter(
    (other) =>
      other.backup.endedAtMs < endedAtMs && endedAtMs - other.backup.endedAtMs <= weekMs && isIncrement(other) === isIncrement(entry),
  );
  const mean = before.reduce((sum, { backup }) => sum + backup.storedBytes, 0) / before.length;
  if (before.length < leastBefore || mean === 0) return undefined;
  const size = entry.backup.storedBytes;
  return Math.abs(size - mean) > sizeDeviationMax * mean ? size / mean : undefined;
}

/** `entries` are of one component and one `what`. */
export function computeSizeAnomaly(entries: readonly CatalogueEntry[], nowMs: number): SizeAnomaly | undefined {
  const ordered = entries.toSorted((left, right) => left.backup.endedAtMs - right.backup.endedAtMs);
  const newest = ordered.at(-1);
  // All that were the newest at some moment of the last hour.
  const standing = ordered.findLastIndex(({ backup }) => backup.endedAtMs <= nowMs - hourMs);
  if (!newest || standing < 0) return undefined;
  const ratio = findOddRatio(newest, ordered);
  const stood = ordered.slice(standing).every((entry) => findOddRatio(entry, ordered) !== undefined);
  return ratio === undefined || !stood ? undefined : { backupId: newest.backup.backupId, ratio };
}
