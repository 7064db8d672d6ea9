import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type FakeClock, fakeClock, seededRandom } from '../../test/fakes/host.ts';
import type { Site } from '../contracts/driver.ts';
import type { Evidence, Observation, Reading } from '../contracts/observation.ts';
import { type ProbePolicy, SiteProber } from './site-prober.ts';

const up: Reading = { health: 'up', evidence: { kind: 'answered', detail: 'it answers' } };
const silent: Reading = { health: 'unknown', evidence: { kind: 'timeout', detail: 'silence' } };
const refused: Reading = { health: 'down', evidence: { kind: 'refused', detail: 'connection refused' } };
const notAllowed: Reading = { health: 'unknown', evidence: { kind: 'not-allowed', detail: 'wrong password' } };
const startedAtMs = 1_000_000;
const policy: ProbePolicy = { everyMs: 1_000, timeoutMs: 400, failingEveryMs: 200 };

interface Rig {
  readonly clock: FakeClock;
  readonly prober: SiteProber;
  readonly seen: Observation[];
  readonly begun: number[];
  breakConnection(evidence: Evidence): void;
  subscribed(): boolean;
  atOnce(): number;
}

const open: SiteProber[] = [];
const hangingUp: (() => void)[] = [];
afterEach(async () => {
  for (const end of hangingUp.splice(0)) end();
  await Promise.all(open.splice(0).map((prober) => prober.stop()));
});

function rig(
  observe: (signal: AbortSignal, clock: FakeClock) => Promise<Reading>,
  parts: { policy?: ProbePolicy; seed?: number } = {},
): Rig {
  const clock = fakeClock(startedAtMs);
  const seen: Observation[] = [];
  const begun: number[] = [];
  let listener: ((evidence: Evidence) => void) | undefined;
  let running = 0;
  let atOnce = 0;
  const site: Site = {
    verbs: {},
    close: async () => {},
    subscribe: (each) => {
      listener = each;
      return () => {
        listener = undefined;
      };
    },
    observe: async (signal) => {
      begun.push(clock.nowMs());
      running += 1;
      atOnce = Math.max(atOnce, running);
      try {
        return await observe(signal, clock);
      } finally {
        running -= 1;
      }
    },
  };
  const prober = new SiteProber({
    component: 'db',
    region: 'east',
    site,
    clock,
    random: seededRandom(parts.seed ?? 1),
    policy: parts.policy ?? policy,
    onObservation: (observation) => seen.push(observation),
  });
  open.push(prober);
  return {
    clock,
    prober,
    seen,
    begun,
    breakConnection: (evidence) => listener?.(evidence),
    subscribed: () => listener !== undefined,
    atOnce: () => atOnce,
  };
}

describe('probes', () => {
  it('look again and again, with times between that differ by a tenth at most', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1_000_000), async (seed) => {
        const { clock, prober, begun } = rig(async () => up, { seed });
        prober.start();
        await clock.advance(20_000);
        expect((begun[0] as number) - startedAtMs).toBeLessThanOrEqual(250);
        for (const [index, at] of begun.entries()) {
          if (index === 0) continue;
          const between = at - (begun[index - 1] as number);
          expect(between).toBeGreaterThanOrEqual(900);
          expect(between).toBeLessThanOrEqual(1_100);
        }
        await prober.stop();
      }),
      { numRuns: 10 },
    );
  });

  it('[S3-06] never overlap, also when a look takes longer than the time between two and more looks are asked for', async () => {
    const { clock, prober, begun, atOnce } = rig(
      async (signal, on) => {
        await on.sleep(350, signal).catch(() => undefined);
        return up;
      },
      { policy: { everyMs: 100, timeoutMs: 400, failingEveryMs: 100 } },
    );
    prober.start();
    for (let turn = 0; turn < 20; turn += 1) {
      void prober.probeNow();
      void prober.probeNow();
      await clock.advance(130);
    }
    expect(begun.length).toBeGreaterThan(5);
    expect(atOnce()).toBe(1);
  });

  it('[S3-06] never overlap where a driver ignores its signal: its silence counts, once per time-out', async () => {
    const { promise, resolve } = Promise.withResolvers<Reading>();
    hangingUp.push(() => resolve(up));
    let hang = true;
    const { clock, prober, seen, begun, atOnce } = rig(async () => (hang ? promise : up));
    prober.start();
    await clock.advance(2_500);
    expect(begun).toHaveLength(1);
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect(seen.at(-1)).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' }, failures: seen.length });
    for (const [index, each] of seen.entries())
      if (index > 0) expect(each.atMs - (seen[index - 1] as Observation).atMs).toBeGreaterThanOrEqual(400);
    hang = false;
    resolve(up);
    await clock.advance(1_000);
    expect(seen.at(-1)).toMatchObject({ health: 'up', failures: 0 });
    expect(atOnce()).toBe(1);
  });

  it('begin anew beside an answer that a driver has lost for good', async () => {
    const { promise, resolve } = Promise.withResolvers<Reading>();
    hangingUp.push(() => resolve(up));
    let first = true;
    const { clock, prober, seen } = rig(async () => {
      if (!first) return up;
      first = false;
      return promise;
    });
    prober.start();
    await clock.advance(8_000);
    expect(seen.at(-1)?.health).toBe('up');
  });

  it('are stopped without waiting for a driver that ignores its signal', async () => {
    const { promise, resolve } = Promise.withResolvers<Reading>();
    hangingUp.push(() => resolve(up));
    const { clock, prober, seen } = rig(() => promise, { policy: { everyMs: 1_000, timeoutMs: 3_600_000, failingEveryMs: 1_000 } });
    prober.start();
    await clock.advance(300);
    const stopping = prober.stop();
    await clock.advance(1_000);
    await stopping;
    await clock.advance(10_000_000);
    expect(seen).toEqual([]);
  });

  it('let a look that is under way end before the site is closed', async () => {
    const steps: string[] = [];
    const { clock, prober } = rig(async (signal, on) => {
      await on.sleep(10_000, signal).catch(() => undefined);
      await on.sleep(100);
      steps.push('the look has ended');
      return up;
    });
    prober.start();
    await clock.advance(300);
    const stopping = prober.stop().then(() => steps.push('stopped'));
    await clock.advance(1_000);
    await stopping;
    expect(steps).toEqual(['the look has ended', 'stopped']);
  });

  it('that throw at once, or reject, are errors that count for nothing', async () => {
    const { clock, prober, seen } = rig(() => {
      throw new Error('a mistake');
    });
    prober.start();
    await clock.advance(3_000);
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.at(-1)).toMatchObject({ health: 'unknown', evidence: { kind: 'error', detail: 'Error: a mistake' }, failures: 0 });
  });

  it('end with stop: nothing is seen and nothing waits afterwards', async () => {
    const { clock, prober, seen, subscribed, breakConnection } = rig(async () => up);
    prober.start();
    await clock.advance(2_000);
    const count = seen.length;
    await prober.stop();
    breakConnection({ kind: 'connection-lost', detail: 'too late' });
    await prober.probeNow();
    await clock.advance(10_000);
    expect(seen).toHaveLength(count);
    expect(subscribed()).toBe(false);
    expect(clock.waiting).toBe(0);
  });
});

describe('a connection that breaks', () => {
  it('is an observation at once, and a look at once', async () => {
    let reading = up;
    const { clock, prober, seen, begun, breakConnection } = rig(async () => reading);
    prober.start();
    await clock.advance(500);
    reading = refused;
    const before = begun.length;
    breakConnection({ kind: 'connection-lost', detail: 'reset by the host' });
    expect(seen.at(-1)).toMatchObject({ evidence: { kind: 'connection-lost' }, failures: 1, failingSinceMs: clock.nowMs() });
    await clock.advance(0);
    expect(begun).toHaveLength(before + 1);
    expect(seen.at(-1)).toMatchObject({ evidence: { kind: 'refused' }, failures: 2 });
  });

  it('during a look: another follows at once', async () => {
    const { clock, prober, begun, breakConnection } = rig(async (signal, on) => {
      await on.sleep(100, signal).catch(() => undefined);
      return up;
    });
    prober.start();
    await clock.advance(260);
    expect(begun).toHaveLength(1);
    breakConnection({ kind: 'connection-lost', detail: 'reset' });
    await clock.advance(150);
    expect(begun.length).toBeGreaterThanOrEqual(2);
  });
});

describe('the row of failures', () => {
  const run = async (readings: readonly Reading[]) => {
    let next = 0;
    const { clock, prober, seen } = rig(async () => readings[Math.min(next++, readings.length - 1)] as Reading);
    prober.start();
    while (seen.length < readings.length) await clock.advance(50);
    return seen.slice(0, readings.length);
  };

  it('grows with each look that finds it not up, and ends with the first that does', async () => {
    const seen = await run([silent, silent, refused, up, silent]);
    expect(seen.map((each) => each.failures)).toEqual([1, 2, 3, 0, 1]);
    expect(seen[2]?.failureSeenMs).toBe(Math.round(seen[0]?.atMs ?? 0));
    expect(seen[3]).not.toHaveProperty('failingSinceMs');
    expect(seen[4]?.failureSeenMs).toBe(Math.round(seen[4]?.atMs ?? 0));
  });

  it('does not begin with an answer that keeps us out: one time-out after an hour of wrong passwords is one failure', async () => {
    const seen = await run([notAllowed, notAllowed, notAllowed, silent]);
    expect(seen.map((each) => each.failures)).toEqual([0, 0, 0, 1]);
    expect(seen[3]?.failureSeenMs).toBe(Math.round(seen[3]?.atMs ?? 0));
  });

  it('of a silent site is looked at again at once, and begins with the look that was not answered', async () => {
    const times = { everyMs: 1_000, timeoutMs: 1_000, failingEveryMs: 750 };
    const unanswered = async (signal: AbortSignal, on: FakeClock) =>
      on.sleep(60_000, signal).then(
        () => up,
        () => silent,
      );
    const { clock, prober, seen, begun } = rig(unanswered, { policy: times });
    prober.start();
    await clock.advance(4_000);
    expect(seen.slice(0, 3).map((each) => each.failures)).toEqual([1, 2, 3]);
    // Three failures take three time-outs and hardly more.
    expect((seen[2]?.atMs ?? 0) - (begun[0] ?? 0)).toBeLessThanOrEqual(3_100);
    for (const each of seen) {
      expect(each.failingSinceMs).toBe(Math.round(begun[0] ?? 0));
      expect(each.failureSeenMs).toBe(Math.round(seen[0]?.atMs ?? 0));
    }
  });

  it('of a site that refuses keeps the time between looks', async () => {
    const { clock, prober, begun } = rig(async () => refused);
    prober.start();
    await clock.advance(5_000);
    for (const [index, at] of begun.entries()) if (index > 0) expect(at - (begun[index - 1] as number)).toBeGreaterThanOrEqual(180);
  });

  it('neither grows nor ends with a look that failed by itself', async () => {
    const failed: Reading = { health: 'unknown', evidence: { kind: 'error', detail: 'no file descriptors' } };
    const seen = await run([failed, silent, failed, silent]);
    expect(seen.map((each) => each.failures)).toEqual([0, 1, 1, 2]);
  });

  it('keeps its age when the wall clock jumps', async () => {
    let jumpMs = 0;
    const clock = fakeClock(startedAtMs);
    const jumping = { ...clock, nowMs: () => clock.nowMs() + jumpMs };
    const seen: Observation[] = [];
    const site: Site = { verbs: {}, close: async () => {}, observe: async () => silent };
    const prober = new SiteProber({
      component: 'db',
      region: 'east',
      site,
      clock: jumping,
      random: seededRandom(1),
      policy,
      onObservation: (each) => seen.push(each),
    });
    open.push(prober);
    prober.start();
    await clock.advance(2_000);
    for (const by of [3_600_000, -3_600_000]) {
      jumpMs = by;
      await clock.advance(1_000);
      const last = seen.at(-1) as Observation;
      expect(last.atMs - (last.failingSinceMs as number)).toBeLessThanOrEqual(4_000);
      expect(last.atMs - (last.failingSinceMs as number)).toBeGreaterThanOrEqual(2_000);
    }
  });

  it('begins anew after the process stood still, for nobody looked meanwhile', async () => {
    const clock = fakeClock(startedAtMs);
    let stalledUntilMs = 0;
    const stalling: FakeClock = {
      ...clock,
      after: (durationMs, callback) =>
        clock.after(durationMs, () => {
          const restMs = stalledUntilMs - clock.nowMs();
          if (restMs > 0) clock.after(restMs, callback);
          else callback();
        }),
    };
    const seen: Observation[] = [];
    const site: Site = { verbs: {}, close: async () => {}, observe: async () => refused };
    const random = seededRandom(1);
    const prober = new SiteProber({
      component: 'db',
      region: 'east',
      site,
      clock: stalling,
      random,
      policy,
      onObservation: (each) => seen.push(each),
    });
    open.push(prober);
    prober.start();
    await clock.advance(2_000);
    expect(seen.at(-1)?.failures).toBeGreaterThan(3);
    stalledUntilMs = clock.nowMs() + 10_000;
    await clock.advance(9_000);
    const count = seen.length;
    await clock.advance(1_300);
    expect(seen[count]).toMatchObject({ failures: 1, failingSinceMs: startedAtMs + 12_000 });
    expect(seen[count + 1]).toMatchObject({ failures: 2, failingSinceMs: startedAtMs + 12_000 });
  });
});
