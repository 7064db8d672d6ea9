import { describe, expect, it } from 'vitest';
import { dayMs, entryOf, segmentName } from '../../test/fakes/catalogue.ts';
import { seededRandom } from '../../test/fakes/host.ts';
import { drawProof } from './proof-targets.ts';
import { computeRecoveryWindows } from './recovery-points.ts';

const startMs = Date.UTC(2026, 5, 1);
const segments = (number: number) => ({ first: segmentName(number), last: segmentName(number) });
const entries = [0, 1, 2].map((day) =>
  entryOf({
    backupId: `d${day}`,
    atMs: startMs + day * dayMs,
    segments: segments(10 + day),
    facts: { canary: { number: day, atMs: startMs, epoch: 1 } },
  }),
);
const archive = {
  component: 'orders-db',
  identity: 'history-1',
  oldest: segmentName(1),
  newest: segmentName(99),
  newestAtMs: startMs + 3 * dayMs,
};
const { windows } = computeRecoveryWindows({ entries, gaps: [] }, [archive]);
const chances =
  (...numbers: number[]) =>
  () =>
    numbers.shift() as number;

describe('what is drawn', () => {
  it('the newest, to the end of its log', () => {
    const drawn = drawProof({ entries, windows, chance: chances(0.1) });
    expect(drawn?.entry.backup.backupId).toBe('d2');
    expect(drawn?.target).toMatchObject({ target: { kind: 'newest' }, expected: { atMs: startMs + 3 * dayMs - 60_000 } });
    expect(drawn?.target.drawn).toBe('newest, of newest / oldest kept / an instant, by 0.100000');
  });

  it('[S4-47] the newest by the instant that it comes back to, whatever its name, its upload or the order of a listing', () => {
    const shuffled = [
      entryOf({ backupId: 'zzz-2026-12-31', atMs: startMs, endedAtMs: startMs + 9 * dayMs }),
      entryOf({ backupId: 'aaa', atMs: startMs + 2 * dayMs }),
      entryOf({ backupId: 'mmm', atMs: startMs + dayMs }),
    ];
    const points = computeRecoveryWindows({ entries: shuffled, gaps: [] }, []).windows;
    expect(drawProof({ entries: shuffled, windows: points, chance: () => 0 })?.entry.backup.backupId).toBe('aaa');
    expect(drawProof({ entries: shuffled, windows: points, chance: () => 0.9 })?.entry.backup.backupId).toBe('zzz-2026-12-31');
  });

  it('the oldest kept', () => {
    const drawn = drawProof({ entries, windows, chance: chances(0.5) });
    expect([drawn?.entry.backup.backupId, drawn?.target.target.kind, drawn?.target.text]).toEqual(['d0', 'consistent', 'oldest kept']);
  });

  it('an instant of the window, from the newest backup before it; the draw can be made again', () => {
    const drawn = drawProof({ entries, windows, chance: chances(0.9, 0.5) });
    const half = startMs + Math.floor((3 * dayMs - 60_000) / 2);
    expect(drawn?.entry.backup.backupId).toBe('d1');
    expect(drawn?.target).toMatchObject({ target: { kind: 'time', atMs: half }, text: '2026-06-02T11:59:30.000Z, drawn at random' });
    expect(drawn?.target.drawn).toMatch(/by 0\.900000, 0\.500000$/);
    expect(drawProof({ entries, windows, chance: chances(0.9, 0.5) })).toEqual(drawn);
  });

  it('without a canary the instant is drawn well before the end of the log, since nothing may have been committed there', () => {
    const idle = [entryOf({ backupId: 'd0', atMs: startMs, segments: segments(10) })];
    const latest = (newestAtMs: number) =>
      drawProof({
        entries: idle,
        windows: computeRecoveryWindows({ entries: idle, gaps: [] }, [{ ...archive, newestAtMs }]).windows,
        chance: () => 0.9999999,
      });
    expect(latest(startMs + dayMs)?.target.target).toEqual({ kind: 'time', atMs: expect.closeTo(startMs + dayMs - 600_000, -3) });
    expect(latest(startMs + 500_000)?.target.target.kind).toBe('newest');
  });

  it('without a log only newest and oldest; with one backup only that; with none nothing', () => {
    const plain = [0, 1].map((day) => entryOf({ backupId: `p${day}`, atMs: startMs + day * dayMs }));
    const points = computeRecoveryWindows({ entries: plain, gaps: [] }, []).windows;
    const names = [0, 0.49, 0.5, 0.999].map(
      (chance) => drawProof({ entries: plain, windows: points, chance: () => chance })?.entry.backup.backupId,
    );
    expect(names).toEqual(['p1', 'p1', 'p0', 'p0']);
    expect(drawProof({ entries: plain.slice(1), windows: points, chance: () => 0.999 })?.target).toMatchObject({
      target: { kind: 'consistent' },
      text: 'newest',
    });
    expect(drawProof({ entries: [], windows: [], chance: () => 0 })).toBeUndefined();
  });

  it('over many draws all three come, and every instant lies in a window and after its backup', () => {
    const { next } = seededRandom(3);
    const kinds = new Map<string, number>();
    for (let turn = 0; turn < 600; turn += 1) {
      const drawn = drawProof({ entries, windows, chance: next });
      const target = drawn?.target.target;
      kinds.set(target?.kind ?? '', (kinds.get(target?.kind ?? '') ?? 0) + 1);
      if (target?.kind !== 'time') continue;
      expect(target.atMs).toBeGreaterThanOrEqual(drawn?.entry.backup.facts.consistentAtMs ?? 0);
      expect(target.atMs).toBeLessThan(startMs + 3 * dayMs - 60_000);
    }
    for (const kind of ['newest', 'consistent', 'time']) expect(kinds.get(kind)).toBeGreaterThan(150);
  });
});
