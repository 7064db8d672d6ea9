import { describe, expect, it } from 'vitest';
import { dayMs, entryOf, hourMs, leaseOf, proofOf, segmentName } from '../../test/fakes/catalogue.ts';
import type { CatalogueEntry } from './records.ts';
import { computeRetention, describeRetention, type RetentionPlan } from './retention.ts';
import type { RetentionInput } from './retention-groups.ts';
import { type RetentionPolicy, retentionDefaults } from './retention-policy.ts';

const nowMs = Date.UTC(2026, 5, 15, 12);
const policyOf = (policy: Partial<RetentionPolicy>): RetentionPolicy => ({ ...retentionDefaults, ...policy });

function plan(entries: readonly CatalogueEntry[], policy: Partial<RetentionPolicy>, more: Partial<RetentionInput> = {}): RetentionPlan {
  return computeRetention({
    catalogue: { entries, unreadable: [] },
    policyOf: () => policyOf({ deleteShareMax: 1, ...policy }),
    nowMs,
    previousNowMs: nowMs - hourMs,
    ...more,
  });
}

const kept = (made: RetentionPlan) => made.keep.map(({ entry }) => entry.backup.backupId);
const removed = (made: RetentionPlan) => made.remove.map(({ entry }) => entry.backup.backupId).toSorted();
const daysAgo = (days: number, parts: Partial<Parameters<typeof entryOf>[0]> = {}) =>
  entryOf({ backupId: `d${days}`, atMs: nowMs - days * dayMs, proven: 'P4', ...parts });

describe('only proven backups count', () => {
  it('[S3-40] keeps what is 29 days old and lets go what is 31 days old, by the instant and not by the name', () => {
    const made = plan(
      [
        entryOf({ backupId: 'zz-old', atMs: nowMs - 31 * dayMs, proven: 'P4' }),
        entryOf({ backupId: 'aa-young', atMs: nowMs - 29 * dayMs, proven: 'P4' }),
      ],
      { keepForMs: 30 * dayMs },
    );
    expect(removed(made)).toEqual(['zz-old']);
    expect(kept(made)).toEqual(['aa-young']);
  });

  it('[S3-40] never lets the newest proven one go, however old it is and however many unproven ones came after it', () => {
    const made = plan(
      [daysAgo(300), ...[3, 2, 1].map((days) => daysAgo(days, { proofs: [] }))],
      { keepForMs: 30 * dayMs },
      { previousNowMs: nowMs },
    );
    expect(removed(made)).toEqual([]);
    expect(made.keep[0]?.because).toContain('the newest proven one');
  });

  it('counts to N over proven ones only, so that a flood of unproven ones pushes nothing out', () => {
    const entries = [40, 30, 20, 12].map((days) => daysAgo(days));
    const flood = [11, 10, 9, 8].map((days) => daysAgo(days, { proofs: [] }));
    const made = plan([...entries, ...flood], { proven: 3, unprovenForMs: 100 * dayMs });
    expect(removed(made)).toEqual(['d40']);
  });

  it('keeps an unproven one until its time is over and a newer one is proven', () => {
    const stale = daysAgo(9, { proofs: [] });
    expect(removed(plan([stale, daysAgo(1)], { proven: 1 }))).toEqual(['d9']);
    expect(removed(plan([stale, daysAgo(1, { proofs: [] })], { proven: 1 }))).toEqual([]);
    expect(removed(plan([daysAgo(6, { proofs: [] }), daysAgo(1)], { proven: 1 }))).toEqual([]);
  });

  it('a proof below the level that counts is none; a failed one takes back what was shown before; an inconclusive one changes nothing', () => {
    const shallow = daysAgo(20, { proven: 'P1' });
    expect(plan([shallow, daysAgo(10)], { proven: 2 }).remove.map(({ because }) => because)).toEqual([
      '20 d old, not proven, and a newer one is',
    ]);
    const revoked = daysAgo(20, {
      proofs: [proofOf('d20', nowMs - 19 * dayMs), proofOf('d20', nowMs - 18 * dayMs, { ok: false, reached: 'P1' })],
    });
    expect(removed(plan([revoked, daysAgo(10)], { proven: 2 }))).toEqual(['d20']);
    const unsure = daysAgo(20, {
      proofs: [
        proofOf('d20', nowMs - 19 * dayMs),
        proofOf('d20', nowMs - 18 * dayMs, { ok: false, reached: 'none', inconclusive: 'no program' }),
      ],
    });
    expect(removed(plan([unsure, daysAgo(10)], { proven: 2 }))).toEqual([]);
  });
});

describe('tiers of the calendar', () => {
  it('[S5-13] keeps the newest proven one of each of 30 days, 12 weeks and 12 months', () => {
    const entries = Array.from({ length: 500 }, (_, index) => daysAgo(500 - index));
    const made = plan(entries, { daily: 30, weekly: 12, monthly: 12 });
    const keptDays = made.keep.map(({ entry }) => Math.round((nowMs - entry.backup.facts.consistentAtMs) / dayMs));
    for (let day = 1; day <= 30; day += 1) expect(keptDays).toContain(day);
    // 30 days, 12 weeks (of which 4 or 5 begin inside the 30 days), 12 months.
    expect(made.keep.length).toBeGreaterThan(30 + 6 + 9);
    expect(made.keep.length).toBeLessThanOrEqual(30 + 12 + 12);
    const lastOfMarch = made.keep.find(({ entry }) => entry.backup.facts.consistentAtMs === Date.UTC(2026, 2, 31, 12));
    expect(lastOfMarch?.because.join()).toMatch(/monthly 4 of 12/);
  });

  it('days begin in the time zone of the spec', () => {
    const late = entryOf({ backupId: 'late', atMs: Date.UTC(2026, 5, 13, 21), proven: 'P4' });
    const later = entryOf({ backupId: 'later', atMs: Date.UTC(2026, 5, 13, 23), proven: 'P4' });
    const today = entryOf({ backupId: 'today', atMs: Date.UTC(2026, 5, 14, 12), proven: 'P4' });
    // In UTC the two are of one day; in Berlin (UTC+2) the second is of the next.
    expect(removed(plan([late, later, today], { daily: 2 }))).toEqual(['late']);
    expect(removed(plan([late, later, today], { daily: 2, timezone: 'Europe/Berlin' }))).toEqual(['later']);
  });

  it('the hour that an autumn night has twice is two hours', () => {
    const first = entryOf({ backupId: 'first', atMs: Date.UTC(2025, 9, 26, 0, 30), proven: 'P4' });
    const second = entryOf({ backupId: 'second', atMs: Date.UTC(2025, 9, 26, 1, 30), proven: 'P4' });
    expect(removed(plan([first, second], { hourly: 2, timezone: 'Europe/Berlin' }))).toEqual([]);
  });

  it('an unproven one never stands for its bucket: the newest proven one does', () => {
    const made = plan([daysAgo(10.1), daysAgo(10, { proofs: [] }), daysAgo(1)], { daily: 5 });
    expect(kept(made)).toContain('d10.1');
  });
});

describe('what others need', () => {
  const segments = (from: number) => ({ first: segmentName(from), last: segmentName(from + 1) });
  const archives = [{ component: 'orders-db', identity: 'history-1', oldest: segmentName(1), newest: segmentName(999), newestAtMs: nowMs }];

  it('[S4-07] keeps a base before the window of any instant, the weekly ones of 90 days, and the log from the oldest of them on', () => {
    const entries = Array.from({ length: 120 }, (_, index) => daysAgo(120 - index, { segments: segments(10 * (index + 1)) }));
    const made = plan(entries, { windowMs: 7 * dayMs, weekly: 13 }, { archives });
    expect(made.keep.find(({ entry }) => entry.backup.backupId === 'd7')?.because.join()).toMatch(/the window of 7 d/);
    const oldest = made.keep[0]?.entry.backup;
    expect(Math.round((nowMs - (oldest?.facts.consistentAtMs ?? 0)) / dayMs)).toBeGreaterThanOrEqual(84);
    // Nothing that got a tombstone only now has gone, so nothing that those need goes either.
    expect(made.archives[0]).toEqual(expect.objectContaining({ before: segmentName(10) }));
    expect(made.archives[0]?.after).toBeUndefined();
  });

  it('[S4-07] [S5-13] behind the window of any instant, only the log goes that lies between what the kept ones need', () => {
    const entries = [90, 60, 30, 8, 6, 1].map((days, index) => daysAgo(days, { segments: segments(100 * (index + 1)) }));
    const cutsOf = (policy: object, more: readonly CatalogueEntry[] = entries) =>
      plan(more, { monthly: 12, ...policy }, { archives }).archives.map(({ after, before }) => [after, before]);
    expect(cutsOf({ windowMs: 7 * dayMs })).toEqual([
      [undefined, segmentName(100)],
      [segmentName(101), segmentName(200)],
      [segmentName(201), segmentName(300)],
      // From the newest one before the window on, nothing is taken out.
      [segmentName(301), segmentName(400)],
    ]);
    expect(cutsOf({}), 'no window is asked for: any instant, from the oldest on').toEqual([[undefined, segmentName(100)]]);
    const held = entries.map((entry, index) => (index === 1 ? { ...entry, leases: [leaseOf('d60', nowMs + dayMs)] } : entry));
    expect(cutsOf({ windowMs: 7 * dayMs }, held), 'a restore from it may be on its way to any later point').toEqual([
      [undefined, segmentName(100)],
      [segmentName(101), segmentName(200)],
    ]);
    const unproven = entries.map((entry, index) => (index === 3 ? { ...entry, proofs: [] } : entry));
    expect(cutsOf({ windowMs: 7 * dayMs }, unproven).at(-1), 'the window begins with a proven one').toEqual([
      segmentName(201),
      segmentName(300),
    ]);
  });

  it('[S5-08] cuts the log only before the oldest backup that still has its objects, one under a tombstone included', () => {
    const waiting = daysAgo(20, { segments: segments(20), tombstoneMs: nowMs - hourMs });
    const due = daysAgo(30, { segments: segments(10), tombstoneMs: nowMs - 25 * hourMs });
    const made = plan([due, waiting, daysAgo(1, { segments: segments(50) })], { proven: 1 }, { archives });
    expect(made.due.map(({ entry }) => entry.backup.backupId)).toEqual(['d30']);
    expect(made.archives[0]).toMatchObject({ before: segmentName(20), because: 'd20 is the oldest that needs it' });
  });

  it('cuts a history that nothing belongs to only once it has been silent for long and another has taken its place', () => {
    const other = {
      component: 'orders-db',
      identity: 'history-0',
      oldest: segmentName(1),
      newest: segmentName(9),
      newestAtMs: nowMs - 30 * dayMs,
    };
    const young = { ...other, newestAtMs: nowMs - 2 * dayMs };
    const entries = [daysAgo(1, { segments: segments(50) })];
    expect(plan(entries, { proven: 1 }, { archives: [other] }).archives[0]).toMatchObject({
      identity: 'history-0',
      before: segmentName(9),
    });
    const made = plan(entries, { proven: 1 }, { archives: [young] });
    expect(made.archives).toEqual([]);
    expect(made.warnings.join()).toMatch(/history-0 .* needed by no backup yet/);
  });

  it('keeps what an increment builds on, through every step, and says when a part of the chain is missing', () => {
    const chain = [
      daysAgo(30, { backupId: 'full' }),
      daysAgo(20, { backupId: 'inc1', needs: ['full'] }),
      daysAgo(1, { backupId: 'inc2', needs: ['inc1', 'lost'] }),
    ];
    const made = plan(chain, { proven: 1 });
    expect(kept(made)).toEqual(['full', 'inc1', 'inc2']);
    expect(made.warnings).toEqual(['orders-db: inc2 needs lost, which is not there']);
  });

  it('keeps what is leased or locked; a lease that is over holds nothing', () => {
    const made = plan(
      [
        daysAgo(50, { leases: [leaseOf('d50', nowMs + 1)] }),
        daysAgo(40, { leases: [leaseOf('d40', nowMs - hourMs)] }),
        daysAgo(30, { lockedUntilMs: nowMs + 1 }),
        daysAgo(1),
      ],
      { proven: 1 },
    );
    expect(removed(made)).toEqual(['d40']);
    expect(describeRetention(made).join('\n')).toMatch(/keep .*d50.*host-1 holds it for a restore/);
  });
});

describe('tombstones', () => {
  it('goes only when the grace is over', () => {
    const fresh = plan([daysAgo(30, { tombstoneMs: nowMs - 23 * hourMs }), daysAgo(1)], { proven: 1 });
    expect([fresh.due.length, fresh.waiting.length]).toEqual([0, 1]);
    expect(plan([daysAgo(30, { tombstoneMs: nowMs - 24 * hourMs }), daysAgo(1)], { proven: 1 }).due.length).toBe(1);
  });

  it('one that has become the newest proven one since stays, and is spoken of', () => {
    const made = plan([daysAgo(30, { tombstoneMs: nowMs - 9 * dayMs }), daysAgo(1, { proofs: [] })], { proven: 1 });
    expect(made.due).toEqual([]);
    expect(made.warnings.join()).toMatch(/d30 has a tombstone and stays: the newest proven one/);
  });

  it('with everything due the newer goes first, so that no increment outlives what it builds on', () => {
    const made = plan(
      [
        daysAgo(40, { backupId: 'full', tombstoneMs: nowMs - 9 * dayMs }),
        daysAgo(39, { backupId: 'inc', needs: ['full'], tombstoneMs: nowMs - 9 * dayMs }),
        daysAgo(1),
      ],
      { proven: 1 },
    );
    expect(made.due.map(({ entry }) => entry.backup.backupId)).toEqual(['inc', 'full']);
  });
});

describe('refusals', () => {
  const entries = [daysAgo(50), daysAgo(40), daysAgo(1)];

  it.each([
    ['the clock is before the newest record', { nowMs: nowMs - 2 * dayMs, previousNowMs: undefined }, /jumped back/],
    ['the clock is before the last run', { previousNowMs: nowMs + hourMs }, /the last run was at .*jumped back/],
    ['the clock is far ahead of the last run', { nowMs: nowMs + 30 * dayMs, previousNowMs: nowMs }, /it has leapt/],
    ['nothing was recorded for long', { nowMs: nowMs + 30 * dayMs, previousNowMs: undefined }, /or nothing was backed up/],
    [
      'a record can not be read',
      { catalogue: { entries, unreadable: [{ object: 'backups/x/manifest', why: 'cut off' }] } },
      /backups\/x\/manifest: cut off/,
    ],
  ])('nothing goes when %s', (_, more, message) => {
    const made = plan(entries, { proven: 1 }, more as Partial<RetentionInput>);
    expect([made.remove, made.due, made.archives]).toEqual([[], [], []]);
    expect(made.refusals[0]?.message).toMatch(message);
    expect(made.refusals[0]?.component).toBeUndefined();
  });

  it('a backup that was taken by a clock that leapt does not heal it; a week of steady time does', () => {
    const leapt = (daysSince: number) => {
      const laterMs = nowMs + 700 * dayMs;
      const since = Array.from({ length: daysSince }, (_, day) =>
        entryOf({ backupId: `after${day}`, atMs: laterMs + day * dayMs, proven: 'P4' }),
      );
      return plan([...entries, ...since], { keepForMs: 30 * dayMs }, { nowMs: laterMs + (daysSince - 0.5) * dayMs, previousNowMs: nowMs });
    };
    expect(leapt(1).refusals[0]?.message).toMatch(/nothing is known of the 700 d/);
    expect(leapt(7).refusals).toHaveLength(1);
    expect([leapt(1).remove, leapt(7).remove]).toEqual([[], []]);
    expect(removed(leapt(9))).toEqual(['d1', 'd40', 'd50']);
  });

  it('a plan that takes more than its share is refused for that component, and for no other', () => {
    const other = [50, 40, 30, 1].map((days) => daysAgo(days, { backupId: `cache-${days}`, component: 'cache' }));
    const made = computeRetention({
      catalogue: { entries: [...entries, ...other], unreadable: [] },
      policyOf: (component) => policyOf(component === 'cache' ? { proven: 2 } : { proven: 1 }),
      nowMs,
      previousNowMs: nowMs,
    });
    expect(made.refusals).toEqual([
      { component: 'orders-db', message: expect.stringMatching(/2 of 3 base backups would go, more than 50 %/), wouldRemove: 2 },
    ]);
    expect(removed(made)).toEqual(['cache-40', 'cache-50']);
  });

  it('a failed proof freezes the component until a backup as new passes one', () => {
    const failing = (daysOld: number, at: number) =>
      daysAgo(daysOld, { backupId: `f${daysOld}`, proofs: [proofOf(`f${daysOld}`, nowMs - at * dayMs, { ok: false, reached: 'P2' })] });
    const old = [daysAgo(50), daysAgo(40), daysAgo(30, { proofs: [proofOf('d30', nowMs - dayMs)] })];
    // The oldest passes after the newest has failed: that says nothing of what is taken now.
    const made = plan([...old, failing(5, 2)], { proven: 1 });
    expect(made.refusals[0]?.message).toMatch(/f5 did not pass its proof .* no newer one has since/);
    expect(removed(made)).toEqual([]);
    const mended = daysAgo(3, { proofs: [proofOf('d3', nowMs - dayMs / 2)] });
    expect(removed(plan([...old, failing(5, 2), mended], { proven: 1 }))).toEqual(['d30', 'd40', 'd50']);
  });

  it('trouble that is known elsewhere freezes too', () => {
    const made = plan(entries, { proven: 1 }, { frozen: [{ component: 'orders-db', why: 'the last three backups failed' }] });
    expect(made.refusals).toEqual([{ component: 'orders-db', message: 'the last three backups failed', wouldRemove: 2 }]);
  });

  it('what the spec does not speak of is kept', () => {
    const made = computeRetention({ catalogue: { entries, unreadable: [] }, policyOf: () => undefined, nowMs });
    expect(made.keep.map(({ because }) => because)).toEqual(entries.map(() => ['the spec does not say how long base is kept']));
  });
});
