/**
 * What every driver of a data store must do, written once and run for each driver on its fake and on the real system. A fake may be trusted only because the same
 * tests pass on the real one. A driver's own test file builds a `DataStoreHarness` and calls `describeDataStore(harness)`. The harness knows the system; the tests know only the contracts and
 * what a client of the store can see.
 */

import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { type Evidence, positionDistance } from '../../src/contracts/observation.ts';
import type { SalvageReport, SiteVerb } from '../../src/contracts/verbs.ts';
import type { Host } from '../../src/host/host.ts';
import { fenceByLease, fenceByLeaseTitle } from './fence-by-lease.ts';
import { Step } from './step.ts';

/** `east` starts as the primary, `west` as its standby. */
export type PairRegion = 'east' | 'west';

export interface PairOptions {
  readonly replication: 'synchronous' | 'asynchronous';
  /** Whether the sites get hands. */
  readonly hands: boolean;
}

/** How a client's attempt to write ended, seen by the client. */
export type WriteOutcome = 'acknowledged' | 'refused' | 'silent';

/** A primary and a standby of one component, running and in sync, and the powers that a disaster has over them. */
export interface DataStorePair {
  readonly host: Host;
  /** Opens the site as a controller does; called again it gives a new one that remembers nothing, as after a restart of the controller. Closed by `dispose`. */
  openSite(region: PairRegion): Site;
  /** The same site with credentials that the system does not accept. */
  openWithWrongPassword(region: PairRegion): Site;
  /** A site whose address accepts connections and never says a word. */
  openSilent(): Promise<Site>;

  /** SIGKILL to all processes of the server at once; its files stay. */
  kill(region: PairRegion): Promise<void>;
  /** Freezes all processes of the server: connections stay open, nothing answers. */
  hang(region: PairRegion): void;
  unhang(region: PairRegion): void;
  /** Starts the server as its service manager would after a boot: with the files as they are. Resolves when it answers or has refused to start. */
  boot(region: PairRegion): Promise<void>;
  /** Whether any process of the server lives. */
  runs(region: PairRegion): boolean;
  /** Stops what the primary writes from reaching the standby, both staying alive; the returned function ends that. */
  cutReplication(): Promise<() => Promise<void>>;
  /** Resolves once the standby has everything that the primary has acknowledged so far. */
  settle(): Promise<void>;

  /** A client writes a record; never takes much longer than `timeoutMs`. */
  write(region: PairRegion, record: string, timeoutMs?: number): Promise<WriteOutcome>;
  /** The records that a client reads there, sorted. */
  records(region: PairRegion): Promise<readonly string[]>;
  /** The records named in the files of a salvage report, sorted. */
  salvaged(files: readonly string[]): Promise<readonly string[]>;
  /** A new directory path (not made yet) where the site's hands may write. */
  salvageDirectory(region: PairRegion): Promise<string>;
  /** What of a promotion shows how many there have been (a timeline, a replication id's count); undefined where the system keeps nothing of the kind. */
  promotions(region: PairRegion): Promise<number | undefined>;

  dispose(): Promise<void>;
}

export interface DataStoreHarness {
  /** `PostgreSQL 15`, `PostgreSQL (fake)`. */
  readonly name: string;
  /** Undefined when it can be run; else why not (the tests are skipped, or fail when CI is set). */
  readonly missing?: string;
  readonly traits: {
    /** Acknowledged writes can be made to wait for the standby. */
    readonly synchronous: boolean;
    /** A standby that was stopped and promoted under a higher epoch refuses an older one. */
    readonly keepsEpoch: boolean;
    /** Salvage lists the records one by one. */
    readonly salvageListsRecords: boolean;
    /** A fenced primary that answers goes on running, and refuses writes; else the fence stops it. */
    readonly fenceLeavesRunning?: boolean;
    /** What `follow` calls a former primary that goes on where it was, without being rewound or copied. Default: `started`. */
    readonly resumeMethod?: string;
    /** The verbs that a site with hands has. */
    readonly verbs: readonly SiteVerb[];
  };
  /** Requirement ids proven by these tests on this system, by test key; they are put in front of the test's name. */
  readonly proves?: Readonly<Record<string, readonly string[]>>;
  start(options: PairOptions): Promise<DataStorePair>;
}

type PairTest = (pair: DataStorePair) => Promise<void>;

/** Defines the tests. Each one has a pair of its own. */
export function describeDataStore(harness: DataStoreHarness): void {
  describe.skipIf(harness.missing !== undefined && !process.env.CI)(harness.name, () => {
    const title = (key: string, text: string) => `${(harness.proves?.[key] ?? []).map((id) => `[${id}] `).join('')}${text}`;
    const withPair = (key: string, text: string, options: PairOptions, body: PairTest) =>
      it(title(key, text), { timeout: 120_000 }, async () => {
        const pair = await harness.start(options);
        try {
          await body(pair);
        } finally {
          await pair.dispose();
        }
      });
    describeWatching(harness, withPair);
    describeFencing(harness, withPair);
    withPair('fence-lease', fenceByLeaseTitle, asynchronous, fenceByLease);
    describePromoting(harness, withPair);
    describeReturning(harness, withPair);
  });
}

type WithPair = (key: string, text: string, options: PairOptions, body: PairTest) => void;

const asynchronous: PairOptions = { replication: 'asynchronous', hands: true };
const synchronous: PairOptions = { replication: 'synchronous', hands: true };
const synchronousWithoutHands: PairOptions = { replication: 'synchronous', hands: false };

/** Longer than any probe's limit in these tests, shorter than a wait for ever. */
const soonMs = 4_000;
const soon = () => AbortSignal.timeout(soonMs);

/** Until the check passes; a condition, never a fixed sleep. */
async function until(host: Host, what: string, check: () => Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const startedMs = host.clock.monotonicMs();
  while (!(await check())) {
    if (host.clock.monotonicMs() - startedMs > timeoutMs) throw new Error(`still not so after ${timeoutMs} ms: ${what}`);
    await host.clock.sleep(20);
  }
}

function describeWatching(harness: DataStoreHarness, withPair: WithPair): void {
  const { traits } = harness;

  withPair('healthy', 'sees a primary and its standby, and the living link between them', asynchronous, async (pair) => {
    const [east, west] = [pair.openSite('east'), pair.openSite('west')];
    const standby = await west.observe(soon());
    const primary = await east.observe(soon());
    expect(primary).toMatchObject({ health: 'up', role: 'primary', writable: true, evidence: { kind: 'answered' } });
    expect(standby).toMatchObject({
      health: 'up',
      role: 'standby',
      writable: false,
      replication: { upstream: { link: 'up', region: 'east' } },
    });
    expect(primary.identity).toBe(standby.identity);
    expect(primary.replication?.standbys).toMatchObject([{ link: 'up' }]);
    expect(primary.position && standby.position && positionDistance(standby.position, primary.position)).toBeGreaterThanOrEqual(0n);
  });

  if (traits.synchronous) {
    withPair('synchronous', 'acknowledges what its standby has, and nothing while it has none', synchronous, async (pair) => {
      const east = pair.openSite('east');
      expect((await east.observe(soon())).replication).toMatchObject({ synchronous: true, standbys: [{ inSync: true }] });
      await pair.kill('west');
      await until(
        pair.host,
        'no standby in sync',
        async () => !(await east.observe(soon())).replication?.standbys?.some((each) => each.inSync),
      );
      const reading = await east.observe(soon());
      expect(reading.writable).toBe(false);
      expect(reading.replication?.synchronous).toBe(true);
      expect(reading.faults?.some((fault) => fault.severity === 'problem')).toBe(true);
    });
  }

  withPair('dead-link', 'a standby whose primary died does not call its link up', asynchronous, async (pair) => {
    const west = pair.openSite('west');
    await pair.kill('east');
    await until(pair.host, 'the link is down', async () => (await west.observe(soon())).replication?.upstream?.link === 'down');
  });

  withPair('killed', 'notices a killed server at once, by its broken connection and by the next probe', asynchronous, async (pair) => {
    const east = pair.openSite('east');
    expect((await east.observe(soon())).health).toBe('up');
    const broken = new Promise<Evidence>((resolve) => east.subscribe?.(resolve));
    await until(pair.host, 'subscribed', async () => (await east.observe(soon())).health === 'up');
    await pair.host.clock.sleep(300); // the subscription's connection has no outward sign
    const startedMs = pair.host.clock.monotonicMs();
    const killed = pair.kill('east');
    expect((await broken).kind).toBe('connection-lost');
    expect(pair.host.clock.monotonicMs() - startedMs).toBeLessThan(500);
    await killed;
    expect(await east.observe(soon())).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
  });

  withPair('hung', 'a frozen server is silence, and the probe ends by itself', asynchronous, async (pair) => {
    const east = pair.openSite('east');
    await east.observe(soon());
    pair.hang('east');
    const startedMs = pair.host.clock.monotonicMs();
    const reading = await east.observe(AbortSignal.timeout(60_000));
    expect(pair.host.clock.monotonicMs() - startedMs).toBeLessThan(soonMs);
    expect(reading.health).not.toBe('up');
    expect(reading.evidence.kind).toBe('timeout');
    pair.unhang('east');
    await until(pair.host, 'up again', async () => (await east.observe(soon())).health === 'up');
  });

  withPair('silent', 'a server that accepts connections and never answers is silence', asynchronous, async (pair) => {
    const reading = await (await pair.openSilent()).observe(AbortSignal.timeout(60_000));
    expect(reading.evidence.kind).toBe('timeout');
    expect(reading.health).not.toBe('up');
  });

  withPair('aborted', 'a probe whose signal is aborted ends soon', asynchronous, async (pair) => {
    const silent = await pair.openSilent();
    const startedMs = pair.host.clock.monotonicMs();
    await silent.observe(AbortSignal.timeout(50)).catch(() => undefined);
    expect(pair.host.clock.monotonicMs() - startedMs).toBeLessThan(900);
  });

  withPair('wrong-password', 'a refused password says nothing about health', asynchronous, async (pair) => {
    expect(await pair.openWithWrongPassword('east').observe(soon())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'not-allowed' },
    });
  });

  withPair('canary', 'a canary row is read on both sides, the newest one wins', asynchronous, async (pair) => {
    const [east, west] = [pair.openSite('east').canary, pair.openSite('west').canary];
    expect(await east?.read(soon())).toBeUndefined();
    expect(await west?.read(soon())).toBeUndefined();
    for (const number of [1, 2]) await east?.write({ number, atMs: 1_700_000_000_000 + number, epoch: 1 }, soon());
    const newest = { number: 2, atMs: 1_700_000_000_002, epoch: 1 };
    expect(await east?.read(soon())).toEqual(newest);
    await pair.settle();
    expect(await west?.read(soon())).toEqual(newest);
  });

  if (traits.synchronous) {
    withPair(
      'canary-hangs',
      'a canary that waits for a dead standby ends with its signal, its outcome unknown',
      synchronous,
      async (pair) => {
        const canary = pair.openSite('east').canary;
        await canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
        await pair.kill('west');
        const startedMs = pair.host.clock.monotonicMs();
        const error = await canary?.write({ number: 2, atMs: 2, epoch: 1 }, AbortSignal.timeout(400)).catch((thrown: unknown) => thrown);
        expect(pair.host.clock.monotonicMs() - startedMs).toBeLessThan(soonMs);
        expect(error).toMatchObject({ kind: 'unknown-outcome' });
        expect((await pair.openSite('east').observe(soon())).health).toBe('up');
      },
    );
  }
}

/** What a plan would carry along of a site that was seen up. */
async function lastKnownOf(site: Site): Promise<JsonObject> {
  const reading = await site.observe(soon());
  return {
    ...(reading.facts ?? {}),
    atMs: 1,
    synchronous: reading.replication?.synchronous === true,
    standbys: (reading.replication?.standbys ?? []).map(({ member }) => member),
  };
}

const quick = { survivors: ['west'], clean: false };
const clean = { survivors: ['west'], clean: true };

function describeFencing(harness: DataStoreHarness, withPair: WithPair): void {
  const { traits } = harness;
  const neverAcknowledges = async (pair: DataStorePair) => {
    if (!pair.runs('east')) await pair.boot('east');
    expect(await pair.write('east', 'after the fence', 1_000)).not.toBe('acknowledged');
  };

  withPair('fence-dead', 'a killed primary is barred: started again it acknowledges nothing', asynchronous, async (pair) => {
    await pair.kill('east');
    const east = pair.openSite('east');
    const step = new Step(pair.host, 'fence', quick);
    expect((await step.inspect(east)).state).toBe('absent');
    expect(await step.run(east)).toMatchObject({ proof: 'stopped' });
    await neverAcknowledges(pair);
  });

  withPair('fence-hung', 'a frozen primary is stopped for good', asynchronous, async (pair) => {
    pair.hang('east');
    expect(await new Step(pair.host, 'fence', quick).run(pair.openSite('east'))).toMatchObject({ proof: 'stopped' });
    expect(pair.runs('east')).toBe(false);
    const east = pair.openSite('east');
    const byHands = new Step(pair.host, 'fence', { survivors: [], clean: false, byHands: true });
    if (east.fencesByHands) expect(await byHands.inspect(east)).toMatchObject({ state: 'done', output: { proof: 'stopped' } });
    await neverAcknowledges(pair);
  });

  withPair('fence-running', 'a running primary is stopped; a fence found in place is adopted', asynchronous, async (pair) => {
    const step = new Step(pair.host, 'fence', quick);
    await step.run(pair.openSite('east'));
    expect(pair.runs('east')).toBe(traits.fenceLeavesRunning === true);
    expect(step.applied).toBe(1);
    expect((await new Step(pair.host, 'fence', quick).inspect(pair.openSite('east'))).state).toBe('done');
    await neverAcknowledges(pair);
  });

  withPair(
    'fence-no-hands',
    'without hands, a dead asynchronous primary is not fenced, and it says so',
    { replication: 'asynchronous', hands: false },
    async (pair) => {
      const east = pair.openSite('east');
      const lastKnown = await lastKnownOf(east);
      await pair.kill('east');
      const step = new Step(pair.host, 'fence', { ...quick, lastKnown });
      expect((await step.inspect(east)).state).not.toBe('done');
      await expect(step.apply(east)).rejects.toMatchObject({ code: 'FENCE_NOT_PROVEN' });
    },
  );

  if (!traits.synchronous) return;
  withPair(
    'fence-cut',
    'without hands, a synchronous primary is fenced by cutting its standby off, even while it lives',
    synchronousWithoutHands,
    async (pair) => {
      const east = pair.openSite('east');
      expect(await pair.write('east', 'before')).toBe('acknowledged');
      const lastKnown = await lastKnownOf(east);
      const startedMs = pair.host.clock.monotonicMs();
      const step = new Step(pair.host, 'fence', { ...quick, lastKnown });
      expect(await step.run(east)).toMatchObject({ proof: 'cannot-acknowledge' });
      expect(pair.host.clock.monotonicMs() - startedMs).toBeLessThan(1_500);
      expect(await pair.write('east', 'after the fence', 700)).not.toBe('acknowledged');
      await pair.kill('east');
      await neverAcknowledges(pair);
      await new Step(pair.host, 'promote', { epoch: 2, standbys: [] }).run(pair.openSite('west'));
      expect(await pair.records('west')).toEqual(['before']);
    },
  );

  withPair(
    'fence-cut-unknown',
    'without knowing whose word the primary waits for, cutting off proves nothing',
    synchronousWithoutHands,
    async (pair) => {
      await pair.kill('east');
      await expect(new Step(pair.host, 'fence', quick).apply(pair.openSite('east'))).rejects.toMatchObject({ code: 'FENCE_NOT_PROVEN' });
    },
  );
}

function describePromoting(harness: DataStoreHarness, withPair: WithPair): void {
  const { traits } = harness;
  const want = { epoch: 2, standbys: [] };
  const options = traits.synchronous ? synchronous : asynchronous;

  withPair(
    'promote',
    'promotes the standby of a killed primary: every acknowledged write is there, the next one is taken at once',
    options,
    async (pair) => {
      for (const record of ['one', 'two', 'three']) expect(await pair.write('east', record)).toBe('acknowledged');
      if (!traits.synchronous) await pair.settle();
      const before = await pair.promotions('west');
      await pair.kill('east');
      await new Step(pair.host, 'fence', quick).run(pair.openSite('east'));
      const output = await new Step(pair.host, 'promote', want).run(pair.openSite('west'));
      expect(await pair.write('west', 'four', 2_000)).toBe('acknowledged');
      expect(await pair.records('west')).toEqual(['four', 'one', 'three', 'two']);
      expect(await pair.openSite('west').observe(soon())).toMatchObject({ role: 'primary', writable: true });
      expect(output.position).toMatchObject({ timeline: expect.any(Number) });
      if (before !== undefined) expect(await pair.promotions('west')).toBe(before + 1);
    },
  );

  withPair('promote-crash', 'a controller that dies between the promotion and its record promotes once only', options, async (pair) => {
    const before = await pair.promotions('west');
    await pair.kill('east');
    const step = new Step(pair.host, 'promote', want);
    const first = pair.openSite('west');
    expect((await step.inspect(first)).state).toBe('absent');
    await step.apply(first);
    await first.close();
    // The next controller has the note, and not the outcome.
    expect((await step.inspect(pair.openSite('west'))).state).toBe('done');
    // Even one that applies without looking does no harm.
    await step.apply(pair.openSite('west'));
    expect((await step.inspect(pair.openSite('west'))).state).toBe('done');
    if (before !== undefined) expect(await pair.promotions('west')).toBe(before + 1);
    expect(await pair.write('west', 'after', 2_000)).toBe('acknowledged');
  });

  if (traits.keepsEpoch) {
    withPair('promote-epoch', 'refuses an execution whose epoch is older than the one taken down', options, async (pair) => {
      await pair.kill('east');
      await new Step(pair.host, 'promote', { epoch: 7, standbys: [] }).run(pair.openSite('west'));
      expect(await pair.openSite('west').readEpoch?.(soon())).toBe(7);
      const late = new Step(pair.host, 'promote', { epoch: 6, standbys: [] });
      await expect(late.inspect(pair.openSite('west'))).rejects.toMatchObject({ kind: 'refused' });
      await expect(late.apply(pair.openSite('west'))).rejects.toMatchObject({ kind: 'refused' });
    });
  }
}

function describeReturning(harness: DataStoreHarness, withPair: WithPair): void {
  const { traits } = harness;
  const promoteWest = { epoch: 2, standbys: [] };

  withPair(
    'return',
    'a killed primary with writes of its own comes back as a standby; what it alone had is kept aside',
    asynchronous,
    async (pair) => {
      expect(await pair.write('east', 'shared')).toBe('acknowledged');
      await pair.settle();
      const mend = await pair.cutReplication();
      for (const record of ['lost 1', 'lost 2', 'lost 3']) expect(await pair.write('east', record)).toBe('acknowledged');
      await pair.kill('east');
      await mend();
      await new Step(pair.host, 'fence', quick).run(pair.openSite('east'));
      await new Step(pair.host, 'promote', promoteWest).run(pair.openSite('west'));
      expect(await pair.write('west', 'new', 2_000)).toBe('acknowledged');

      const into = await pair.salvageDirectory('east');
      const salvage = new Step(pair.host, 'salvage', { survivor: 'west', into });
      const report = (await salvage.run(pair.openSite('east'))) as SalvageReport;
      expect(report.diverged).toBe(true);
      if (traits.salvageListsRecords) {
        expect(await pair.salvaged(report.files)).toEqual(['lost 1', 'lost 2', 'lost 3']);
        expect(report.writes).toBe(3);
      }
      expect((await salvage.inspect(pair.openSite('east'))).state).toBe('done');

      const follow = new Step(pair.host, 'follow', { upstream: 'west' });
      await follow.run(pair.openSite('east'));
      expect(follow.applied).toBe(1);
      expect(await pair.write('west', 'newer', 2_000)).toBe('acknowledged');
      await until(pair.host, 'the newest write has arrived', async () => (await pair.records('east')).includes('newer'));
      expect(await pair.records('east')).toEqual(['new', 'newer', 'shared']);
      expect(await pair.openSite('east').observe(soon())).toMatchObject({
        role: 'standby',
        replication: { upstream: { link: 'up', region: 'west' } },
      });
      expect((await new Step(pair.host, 'follow', { upstream: 'west' }).inspect(pair.openSite('east'))).state).toBe('done');
    },
  );

  withPair('switchover', 'a switchover loses nothing, and the former primary follows without being rewound', asynchronous, async (pair) => {
    for (const record of ['one', 'two']) expect(await pair.write('east', record)).toBe('acknowledged');
    const [east, west] = [pair.openSite('east'), pair.openSite('west')];
    const frozen = await new Step(pair.host, 'freeze').run(east);
    expect(await pair.write('east', 'while frozen', 1_000)).not.toBe('acknowledged');
    await new Step(pair.host, 'await-position', { position: frozen.position }).run(west);
    const fenced = await new Step(pair.host, 'fence', clean).run(east);
    expect(fenced.position).toBeDefined();
    await new Step(pair.host, 'await-position', { position: fenced.position }).run(west);
    await new Step(pair.host, 'promote', promoteWest).run(west);
    expect(await pair.write('west', 'three', 2_000)).toBe('acknowledged');
    const output = await new Step(pair.host, 'follow', { upstream: 'west' }).run(east);
    expect(output.method).toBe(traits.resumeMethod ?? 'started');
    await until(pair.host, 'the standby has all', async () => (await pair.records('east')).length === 3);
    expect(await pair.records('east')).toEqual(['one', 'three', 'two']);
  });

  withPair('thaw', 'a switchover given up before the promotion is undone: the primary takes writes again', asynchronous, async (pair) => {
    const east = pair.openSite('east');
    await new Step(pair.host, 'freeze').run(east);
    await new Step(pair.host, 'fence', clean).run(east);
    expect(pair.runs('east')).toBe(traits.fenceLeavesRunning === true);
    await new Step(pair.host, 'thaw').run(east);
    expect(await pair.write('east', 'again', 2_000)).toBe('acknowledged');
    await until(pair.host, 'the standby follows again', async () => (await pair.records('west')).includes('again'));
  });

  withPair('thaw-late', 'once another site was promoted, thaw does not make a second primary', asynchronous, async (pair) => {
    await new Step(pair.host, 'fence', clean).run(pair.openSite('east'));
    await new Step(pair.host, 'promote', promoteWest).run(pair.openSite('west'));
    await expect(new Step(pair.host, 'thaw').run(pair.openSite('east'))).rejects.toMatchObject({ kind: 'refused' });
    expect(pair.runs('east')).toBe(traits.fenceLeavesRunning === true);
    expect(await pair.write('east', 'late', 1_000)).not.toBe('acknowledged');
  });

  if (!traits.synchronous) return;
  withPair(
    'protect',
    'an absent standby is waited for, never waited on; once it streams, writes are on both',
    synchronous,
    async (pair) => {
      const west = pair.openSite('west');
      await pair.kill('east');
      await new Step(pair.host, 'fence', quick).run(pair.openSite('east'));
      await new Step(pair.host, 'promote', promoteWest).run(west);
      const protect = new Step(pair.host, 'protect', { standbys: ['east'], mode: 'synchronous' });
      expect((await protect.inspect(west)).state).toBe('pending');
      expect(await pair.write('west', 'unprotected', 2_000)).toBe('acknowledged');
      await new Step(pair.host, 'follow', { upstream: 'west' }).run(pair.openSite('east'));
      expect(await protect.run(west)).toEqual({ inSync: ['east'] });
      expect((await west.observe(soon())).replication?.synchronous).toBe(true);
      expect(await pair.write('west', 'protected', 2_000)).toBe('acknowledged');
      await pair.kill('east');
      expect(await pair.write('west', 'alone', 500)).toBe('silent');
      await new Step(pair.host, 'protect', { standbys: [], mode: 'asynchronous' }).run(west);
      expect(await pair.write('west', 'alone on purpose', 2_000)).toBe('acknowledged');
    },
  );
}
