/**
 * Two years of a repository under a simulated clock: backups, proofs that fail, leases, locks, increments, a clock that jumps. After each run of retention an oracle that shares no
 * code with it looks at what is left. Rates of all faults are drawn from the seed too.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dayMs, entryOf, hourMs, leaseOf, proofOf, segmentName } from '../../test/fakes/catalogue.ts';
import { seededRandom } from '../../test/fakes/host.ts';
import type { CatalogueEntry } from './records.ts';
import { computeRetention, type RetentionPlan } from './retention.ts';
import { type RetentionPolicy, retentionDefaults } from './retention-policy.ts';

const startMs = Date.UTC(2024, 0, 1);

interface World {
  entries: CatalogueEntry[];
  /** The log segments that are there: one for each hour, while something is archived. */
  readonly segments: Set<number>;
}

const segmentAt = (atMs: number) => Math.floor((atMs - startMs) / hourMs) + 1;
const numberOf = (name: string) => Number.parseInt(name.slice(8), 16);

/** Proven by the plainest reading: the last proof that says something passed, at a level above P1 at some point since the last failure. */
function provenPlainly(entry: CatalogueEntry): boolean {
  let proven = false;
  for (const proof of entry.proofs) {
    if (proof.inconclusive !== undefined) continue;
    if (!proof.ok) proven = false;
    else if (['P2', 'P3', 'P4', 'P5'].includes(proof.reached)) proven = true;
  }
  return proven;
}

const newestProven = (entries: readonly CatalogueEntry[]) =>
  entries
    .filter(provenPlainly)
    .reduce<CatalogueEntry | undefined>(
      (newest, entry) => (newest && newest.backup.facts.consistentAtMs > entry.backup.facts.consistentAtMs ? newest : entry),
      undefined,
    );

/** The newest proven one of each of the newest days (or weeks, months) that have one, in UTC. */
function expectedOfTier(entries: readonly CatalogueEntry[], wanted: number, bucketOf: (at: Date) => string): CatalogueEntry[] {
  const buckets = new Map<string, CatalogueEntry>();
  const ordered = entries
    .filter((entry) => !entry.tombstone && provenPlainly(entry))
    .toSorted((left, right) => right.backup.facts.consistentAtMs - left.backup.facts.consistentAtMs);
  for (const entry of ordered) {
    const bucket = bucketOf(new Date(entry.backup.facts.consistentAtMs));
    if (!buckets.has(bucket)) buckets.set(bucket, entry);
  }
  return [...buckets.values()].slice(0, wanted);
}

const dayOf = (at: Date) => at.toISOString().slice(0, 10);
const monthOf = (at: Date) => at.toISOString().slice(0, 7);
const weekOf = (at: Date) => dayOf(new Date(at.getTime() - ((at.getUTCDay() + 6) % 7) * dayMs));

/** Asked a million times: what `expect` does to say it well is most of its cost. */
function holds(condition: boolean, what: () => string): void {
  if (!condition) expect.unreachable(what());
}

function checkInvariants(before: World, plan: RetentionPlan, policy: RetentionPolicy, nowMs: number): void {
  const gone = new Set(plan.due.map(({ entry }) => entry));
  const tombstoned = new Set(plan.remove.map(({ entry }) => entry));
  const going = new Set([...gone, ...tombstoned]);
  const newest = newestProven(before.entries);
  holds(newest === undefined || !gone.has(newest), () => 'the newest proven one stays');
  const newestLive = newestProven(before.entries.filter((entry) => !entry.tombstone));
  holds(newestLive === undefined || !tombstoned.has(newestLive), () => 'the newest proven one gets no tombstone');
  if (newest === undefined) expect(going.size, 'nothing goes where nothing is proven').toBe(0);
  for (const entry of going) {
    holds(
      entry.leases.every(({ untilMs }) => untilMs <= nowMs),
      () => 'nothing leased goes',
    );
    holds((entry.lockedUntilMs ?? 0) <= nowMs, () => 'nothing locked goes');
  }
  for (const entry of gone) {
    holds(entry.tombstone !== undefined, () => 'only what has a tombstone goes');
    expect(nowMs - (entry.tombstone?.atMs ?? nowMs), 'nothing goes before its grace').toBeGreaterThanOrEqual(policy.graceMs);
  }
  const staying = before.entries.filter((entry) => !gone.has(entry));
  const stayingIds = new Set(staying.map(({ backup }) => backup.backupId));
  const liveIds = new Set(staying.filter((entry) => !entry.tombstone && !tombstoned.has(entry)).map(({ backup }) => backup.backupId));
  for (const entry of staying) {
    const live = liveIds.has(entry.backup.backupId);
    for (const id of entry.backup.facts.needs ?? []) if (live) holds(stayingIds.has(id), () => `${entry.backup.backupId} has ${id}`);
  }
  checkLog(before, staying, plan, policy, nowMs);
  for (const [tier, bucketOf] of [
    ['daily', dayOf],
    ['weekly', weekOf],
    ['monthly', monthOf],
  ] as const)
    for (const entry of expectedOfTier(before.entries, policy[tier] ?? 0, bucketOf))
      holds(!tombstoned.has(entry), () => `the ${tier} ones stay`);
}

/** Numbers of the segments that go, the ends included. */
const cutsOf = ({ archives }: RetentionPlan) =>
  archives.map(({ after, before }) => ({
    from: after === undefined ? Number.NEGATIVE_INFINITY : numberOf(after) + 1,
    to: numberOf(before) - 1,
  }));

/** What is kept restores: its own log is there whole, and from the newest proven one before the window on everything is, so any instant of the window can be reached. */
function checkLog(before: World, staying: readonly CatalogueEntry[], plan: RetentionPlan, policy: RetentionPolicy, nowMs: number): void {
  if (plan.archives.length === 0) return;
  const cuts = cutsOf(plan);
  const expectWhole = (from: number, to: number, why: string) => {
    for (const cut of cuts)
      for (let segment = Math.max(from, cut.from); segment <= Math.min(to, cut.to); segment += 1)
        if (before.segments.has(segment)) expect.fail(`${segmentName(segment)} would go: ${why}`);
  };
  for (const { backup, leases } of staying) {
    const { first, last } = backup.facts.archive as { first: string; last: string };
    // Who holds it may be on the way to any later point.
    const to = leases.some(({ untilMs }) => untilMs > nowMs) ? segmentAt(nowMs) : numberOf(last);
    expectWhole(numberOf(first), to, `${backup.backupId} needs it`);
  }
  const anchors = staying.filter((entry) => !entry.tombstone && provenPlainly(entry)).map(({ backup }) => backup);
  const fromMs = policy.windowMs === undefined ? Number.NEGATIVE_INFINITY : nowMs - policy.windowMs;
  const ordered = anchors.toSorted((left, right) => left.facts.consistentAtMs - right.facts.consistentAtMs);
  const anchor = ordered.findLast(({ facts }) => facts.consistentAtMs <= fromMs) ?? ordered[0];
  if (!anchor) return;
  expectWhole(numberOf(anchor.facts.archive?.first as string), segmentAt(nowMs), 'it is on the way through the window');
}

interface Rates {
  readonly everyMs: number;
  readonly proofFails: number;
  readonly proofInconclusive: number;
  readonly proofsPerDay: number;
  readonly lease: number;
  readonly lock: number;
  readonly increment: number;
  readonly clockJump: number;
  readonly outage: number;
}

function drawRates(chance: () => number, everyMs: number): Rates {
  return {
    everyMs,
    proofFails: chance() * 0.1,
    proofInconclusive: chance() * 0.2,
    proofsPerDay: [0.1, 1, 2, 3][Math.floor(chance() * 4)] as number,
    lease: chance() * 0.1,
    lock: chance() * 0.05,
    increment: chance() * 0.5,
    clockJump: chance() * 0.02,
    outage: chance() * 0.01,
  };
}

class TwoYears {
  readonly world: World = { entries: [], segments: new Set() };
  /** Segments that went although newer and older ones stay. */
  removedBetween = 0;
  readonly chance: () => number;
  readonly rates: Rates;
  readonly policy: RetentionPolicy;
  most = 0;
  removed = 0;
  refusedForClock = 0;
  previousNowMs: number | undefined;
  outageUntilMs = 0;

  constructor(seed: number, everyMs: number, policy: Partial<RetentionPolicy>) {
    this.chance = seededRandom(seed).next;
    this.rates = drawRates(this.chance, everyMs);
    this.policy = { ...retentionDefaults, ...policy };
  }

  takeBackup(atMs: number): void {
    const { chance, rates, world } = this;
    const parent = world.entries.filter((entry) => !entry.tombstone).at(-1);
    const number = segmentAt(atMs);
    world.entries.push(
      entryOf({
        // Names are against the order of time on purpose.
        backupId: `b${(999_999_999 - number).toString(36)}`,
        atMs,
        segments: { first: segmentName(number), last: segmentName(number + 1) },
        ...(parent && chance() < rates.increment ? { needs: [parent.backup.backupId] } : {}),
        ...(chance() < rates.lease ? { leases: [leaseOf('b', atMs + chance() * 60 * dayMs)] } : {}),
        ...(chance() < rates.lock ? { lockedUntilMs: atMs + chance() * 90 * dayMs } : {}),
      }),
    );
  }

  prove(nowMs: number): void {
    const { chance, rates, world } = this;
    const live = world.entries.filter((entry) => !entry.tombstone);
    const chosen = chance() < 0.7 ? live.at(-1) : live[Math.floor(chance() * live.length)];
    if (!chosen) return;
    const draw = chance();
    const unsure = draw < rates.proofInconclusive;
    const fails = !unsure && chance() < rates.proofFails;
    const proof = proofOf(chosen.backup.backupId, nowMs, {
      ok: !fails && !unsure,
      reached: fails || unsure ? 'P1' : 'P4',
      ...(unsure ? { inconclusive: 'the store did not answer' } : {}),
    });
    world.entries[world.entries.indexOf(chosen)] = { ...chosen, proofs: [...chosen.proofs, proof] };
  }

  prune(nowMs: number): void {
    const { world, policy } = this;
    const plan = computeRetention({
      catalogue: { entries: world.entries, unreadable: [] },
      policyOf: () => policy,
      nowMs,
      ...(this.previousNowMs === undefined ? {} : { previousNowMs: this.previousNowMs }),
      archives: [
        {
          component: 'orders-db',
          identity: 'history-1',
          oldest: segmentName(this.oldestSegment()),
          newest: segmentName(segmentAt(nowMs)),
          newestAtMs: nowMs,
        },
      ],
    });
    checkInvariants(world, plan, policy, nowMs);
    const byClock = plan.refusals.some(({ component }) => component === undefined);
    if (byClock) expect([plan.remove, plan.due, plan.archives]).toEqual([[], [], []]);
    else this.previousNowMs = nowMs;
    this.refusedForClock += byClock ? 1 : 0;
    const gone = new Set(plan.due.map(({ entry }) => entry));
    const marked = new Set(plan.remove.map(({ entry }) => entry));
    this.removed += gone.size;
    world.entries = world.entries
      .filter((entry) => !gone.has(entry))
      .map((entry) =>
        marked.has(entry)
          ? { ...entry, tombstone: { component: 'orders-db', backupId: entry.backup.backupId, atMs: nowMs, because: 'old', by: 'test' } }
          : entry,
      );
    const oldest = this.oldestSegment();
    for (const { from, to } of cutsOf(plan))
      for (let segment = Math.max(from, oldest); segment <= to; segment += 1)
        if (world.segments.delete(segment) && Number.isFinite(from)) this.removedBetween += 1;
    this.most = Math.max(this.most, world.entries.length);
  }

  /** They are added in ascending order. */
  oldestSegment(): number {
    for (const segment of this.world.segments) return segment;
    return 1;
  }

  run(): void {
    const { chance, rates } = this;
    const endMs = startMs + 730 * dayMs;
    for (let nowMs = startMs; nowMs < endMs; nowMs += rates.everyMs) {
      if (chance() < (rates.outage * rates.everyMs) / dayMs) this.outageUntilMs = nowMs + chance() * 5 * dayMs;
      for (let atMs = nowMs - rates.everyMs; atMs <= nowMs + hourMs; atMs += hourMs) this.world.segments.add(segmentAt(atMs));
      if (nowMs >= this.outageUntilMs) this.takeBackup(nowMs);
      if (chance() < (rates.proofsPerDay * rates.everyMs) / dayMs) this.prove(nowMs + 60_000);
      if ((nowMs - startMs) % dayMs !== 0) continue;
      // A clock that is wrong for one run: far back, or years ahead.
      if (chance() < rates.clockJump) this.prune(chance() < 0.5 ? nowMs - 3 * dayMs : nowMs + 700 * dayMs);
      this.prune(nowMs + 120_000);
      // More often than the grace is long, or nothing would ever wait for it.
      this.prune(nowMs + 40 * 60_000);
    }
  }
}

/** Nothing stands in the way of what may go, but for a clock that jumps. */
function makeCalm(years: TwoYears, { increment }: { readonly increment: number }): void {
  const calm = { proofFails: 0, proofInconclusive: 0, proofsPerDay: 3, lease: 0, lock: 0, increment, clockJump: 0.02, outage: 0 };
  Object.assign(years, { rates: { ...years.rates, ...calm } });
}

describe('two years of retention', () => {
  const policies: readonly Partial<RetentionPolicy>[] = [
    { proven: 7, daily: 30, weekly: 12, monthly: 12 },
    { keepForMs: 30 * dayMs },
    { keepForMs: 2 * dayMs, unprovenForMs: dayMs, deleteShareMax: 0.99 },
    { windowMs: 7 * dayMs, weekly: 13, deleteShareMax: 0.9 },
    { proven: 3, hourly: 24, yearly: 7, deleteShareMax: 0.9 },
  ];

  it('[S5-13] [I6] with daily backups nothing goes that must stay, whatever fails', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(...policies), (seed, policy) => {
        const years = new TwoYears(seed, dayMs, policy);
        years.run();
        expect(years.world.entries.length).toBeGreaterThan(0);
        return true;
      }),
      { numRuns: 6, seed: 20_261_121 },
    );
  });

  it('[S5-08] [I6] with hourly backups too', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(...policies), (seed, policy) => {
        new TwoYears(seed, hourMs, { ...policy, unprovenForMs: 3 * dayMs }).run();
        return true;
      }),
      { numRuns: 1, seed: 20_261_121 },
    );
  });

  it('[S5-13] what may go does go: with sound proofs the repository stays small, and a clock that jumps removes nothing', () => {
    const years = new TwoYears(7, dayMs, policies[0] as RetentionPolicy);
    makeCalm(years, { increment: 0 });
    years.run();
    // 30 days, 12 weeks and 12 months, those under a tombstone, and the unproven ones of a week.
    expect(years.most).toBeLessThan(30 + 12 + 12 + 2 + 8);
    expect(years.removed).toBeGreaterThan(600);
    expect(years.refusedForClock).toBeGreaterThan(3);
    expect(years.oldestSegment()).toBeGreaterThan(24 * 300);
  });

  it('[S5-13] behind the window of any instant the log between two kept backups goes, and only that', () => {
    const years = new TwoYears(7, dayMs, { windowMs: 7 * dayMs, proven: 7, monthly: 12, deleteShareMax: 0.9 });
    makeCalm(years, { increment: 0.3 });
    years.run();
    // A year of months is kept, with some hours of log each; whole are the days of the window, and those until the next backup before it is proven.
    expect(years.removedBetween).toBeGreaterThan(24 * 400);
    expect(years.world.segments.size).toBeLessThan(24 * 40);
    expect(years.world.entries.filter(({ tombstone }) => !tombstone).length).toBeGreaterThan(12 + 7);
  });
});
