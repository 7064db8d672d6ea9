/** Backups that build on others: which one a new one builds on, what a restore reads, and that nothing that is needed goes. */
import { describe, expect, it } from 'vitest';
import { dayMs, entryOf, proofOf } from '../../test/fakes/catalogue.ts';
import { chainLength, chainOf, chooseBasis } from './chain.ts';
import type { CatalogueEntry } from './records.ts';
import { computeRecoveryWindows } from './recovery-points.ts';
import { computeRetention } from './retention.ts';
import { retentionDefaults } from './retention-policy.ts';

const startMs = Date.UTC(2026, 0, 5);
const component = 'orders-db';

/** A base each week, an increment each day, each upon the one before it. */
function weeks(count: number, provenBases: boolean): CatalogueEntry[] {
  const entries: CatalogueEntry[] = [];
  for (let day = 0; day < 7 * count; day += 1) {
    const isBase = day % 7 === 0;
    const backupId = `${isBase ? 'base' : 'increment'}-${day}`;
    const below = entries.at(-1)?.backup.backupId as string;
    const atMs = startMs + day * dayMs;
    const proven = isBase ? provenBases : true;
    entries.push(
      entryOf({
        backupId,
        what: isBase ? 'base' : 'increment',
        atMs,
        ...(isBase ? {} : { needs: [below] }),
        ...(proven ? { proofs: [proofOf(backupId, atMs + 3_600_000)] } : {}),
      }),
    );
  }
  return entries;
}

describe('a chain of backups', () => {
  const entries = weeks(2, true);

  it('a new one builds on the newest that is whole and not too long, whatever the order of names', () => {
    const shuffled = entries.toReversed();
    expect(chooseBasis(shuffled, ['base', 'increment'], 32)?.backup.backupId).toBe('increment-13');
    expect(chooseBasis(shuffled, ['base'], 32)?.backup.backupId).toBe('base-7');
    expect(chooseBasis(shuffled, ['base', 'increment'], 3)?.backup.backupId).toBe('increment-8');
    const broken = shuffled.filter(({ backup }) => backup.backupId !== 'increment-10');
    expect(chooseBasis(broken, ['base', 'increment'], 32)?.backup.backupId).toBe('increment-9');
    expect(chooseBasis([], ['base'], 32)).toBeUndefined();
  });

  it('a restore reads all of it, and one without its links leads nowhere', () => {
    expect(chainOf(entries, component, 'increment-9')).toEqual(['increment-9', 'increment-8', 'base-7']);
    const last = entries.at(-1) as CatalogueEntry;
    expect(chainLength(entries, last)).toBe(7);
    const without = entries.filter(({ backup }) => backup.backupId !== 'base-7');
    expect(chainLength(without, last)).toBeUndefined();
    const { broken, windows } = computeRecoveryWindows({ entries: without, gaps: [] }, []);
    expect(broken.map(({ backupId }) => backupId)).toEqual([8, 9, 10, 11, 12, 13].map((day) => `increment-${day}`));
    expect(windows.flatMap(({ backups }) => backups)).toHaveLength(7);
  });

  it('[I6] [S5-13] retention keeps every base that a kept increment needs, also one that its own rule would let go, and removes increments before what they need', () => {
    for (const provenBases of [true, false]) {
      let left = weeks(8, provenBases);
      // Bases are kept for a day only; increments for 25 days.
      const keepForMs = { base: dayMs, increment: 25 * dayMs } as Record<string, number>;
      const plan = () =>
        computeRetention({
          catalogue: { entries: left, unreadable: [] },
          policyOf: (_component, what) => ({
            ...retentionDefaults,
            keepForMs: keepForMs[what] as number,
            deleteShareMax: 1,
            unprovenForMs: dayMs,
          }),
          nowMs: startMs + 56 * dayMs,
        });
      const { remove } = plan();
      const gone = new Set(remove.map(({ entry }) => entry.backup.backupId));
      for (const { backup } of left.filter((entry) => !gone.has(entry.backup.backupId)))
        for (const id of chainOf(left, component, backup.backupId)) expect(gone.has(id), `${id} for ${backup.backupId}`).toBe(false);
      expect(gone.has('base-28'), 'the oldest chain begins with it').toBe(false);
      // Of a kind of which nothing is proven, nothing goes.
      expect(gone.has('base-21')).toBe(provenBases);
      left = left.map((entry) =>
        gone.has(entry.backup.backupId)
          ? { ...entry, tombstone: { component, backupId: entry.backup.backupId, atMs: startMs + 50 * dayMs, because: 'old', by: 'test' } }
          : entry,
      );
      const due = plan().due.map(({ entry }) => entry);
      expect(due.length).toBe(gone.size);
      const before = new Set<string>();
      for (const { backup } of due) {
        before.add(backup.backupId);
        for (const id of backup.facts.needs ?? []) expect(before.has(id), `${id} before ${backup.backupId}`).toBe(false);
      }
    }
  });
});
