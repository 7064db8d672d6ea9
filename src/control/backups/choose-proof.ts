/** Which backup is proven and up to which point, from what somebody asked for. Pure, apart from the chance that is handed in. */

import { type DrawnProof, drawProof } from '../../backups/proof-targets.ts';
import type { CatalogueEntry } from '../../backups/records.ts';
import type { RecoveryWindow } from '../../backups/recovery-points.ts';
import { fail } from '../../base/errors.ts';
import { formatInstant, parseInstantMs } from '../../base/instants.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';

export interface ProofWish {
  readonly component: string;
  /** Only this one. */
  readonly backupId?: string;
  /** `newest`, `oldest`, `random`, or an instant (ISO 8601). */
  readonly target: string;
}

/** The last moments of a log may not have been recorded whole. */
const endMarginMs = 60_000;

/** `entries` are of one component, oldest first, without those that count as removed. NOT_FOUND where there is nothing to prove. */
export function chooseProof(
  wish: ProofWish,
  entries: readonly CatalogueEntry[],
  windows: readonly RecoveryWindow[],
  chance: () => number,
): DrawnProof {
  const usable = wish.backupId === undefined ? entries : entries.filter(({ backup }) => backup.backupId === wish.backupId);
  const newest = usable.at(-1);
  if (!newest)
    throw fail('NOT_FOUND', {
      subject: wish.component,
      message:
        wish.backupId === undefined
          ? `there is no backup of ${wish.component} yet`
          : `there is no backup ${wish.backupId} of ${wish.component}`,
      hint: wish.backupId === undefined ? `Take one: holdfast backup ${wish.component}` : `holdfast backups ${wish.component} lists them.`,
    });
  if (wish.target === 'newest') return { entry: newest, target: newestTarget(newest, windows, entries.at(-1) === newest) };
  if (wish.target === 'oldest')
    return { entry: usable[0] as CatalogueEntry, target: { target: { kind: 'consistent' }, text: 'oldest kept' } };
  if (wish.target === 'random') return drawProof({ entries: usable, windows, chance }) as DrawnProof;
  return instantTarget(wish.component, parseInstantMs(wish.target), usable, windows);
}

function newestTarget(entry: CatalogueEntry, windows: readonly RecoveryWindow[], isNewest: boolean): DrawnProof['target'] {
  const window = windows.find(({ backups }) => backups.some(({ backupId }) => backupId === entry.backup.backupId));
  if (!isNewest || entry.backup.facts.archive === undefined || window?.endsAt !== 'newest of the log')
    return { target: { kind: 'consistent' }, text: isNewest ? 'newest' : entry.backup.backupId };
  return {
    target: { kind: 'newest' },
    text: 'newest, to the end of the log',
    expected: { atMs: Math.max(window.fromMs, window.toMs - endMarginMs) },
  };
}

function instantTarget(
  component: string,
  atMs: number,
  entries: readonly CatalogueEntry[],
  windows: readonly RecoveryWindow[],
): DrawnProof {
  const entry = findEntryFor(component, { kind: 'time', atMs }, entries, windows);
  return { entry, target: { target: { kind: 'time', atMs }, text: formatInstant(atMs) } };
}

/** The backup that a restore to the target begins from: the newest one before it. RESTORE_TARGET_UNREACHABLE where none leads there. */
export function findEntryFor(
  component: string,
  target: RecoveryTarget,
  entries: readonly CatalogueEntry[],
  windows: readonly RecoveryWindow[],
): CatalogueEntry {
  if (target.kind !== 'time') {
    const newest = entries.at(-1);
    if (newest) return newest;
    throw fail('NOT_FOUND', {
      subject: component,
      message: `there is no backup of ${component} yet`,
      hint: `Take one: holdfast backup ${component}`,
    });
  }
  const window = windows.findLast(({ fromMs, toMs }) => fromMs <= target.atMs && target.atMs <= toMs);
  const from = window?.backups.findLast(({ atMs }) => atMs <= target.atMs);
  const entry = entries.find(({ backup }) => backup.backupId === from?.backupId);
  if (entry) return entry;
  throw fail('RESTORE_TARGET_UNREACHABLE', {
    subject: component,
    message: `no backup of ${component} leads to ${formatInstant(target.atMs)}; within reach ${windows.length === 0 ? 'is nothing' : `are ${describeWindows(windows)}`}`,
  });
}

export function describeWindows(windows: readonly RecoveryWindow[]): string {
  return windows
    .map(({ fromMs, toMs }) => (fromMs === toMs ? formatInstant(fromMs) : `${formatInstant(fromMs)} to ${formatInstant(toMs)}`))
    .join(', ');
}
