import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CanaryRow } from '../contracts/driver.ts';
import type { AcknowledgedCanary } from './canary-writer.ts';
import { computeLoss, type EndOfSite } from './loss.ts';

const acknowledged: AcknowledgedCanary = { number: 10, atMs: 9_990, epoch: 1, region: 'east', acknowledgedAtMs: 10_000 };
const row = (number: number, atMs: number): CanaryRow => ({ number, atMs, epoch: 1 });
const end = (parts: Partial<EndOfSite> = {}): EndOfSite => ({ nowMs: 20_000, nothingAlone: false, ...parts });

describe('the measured loss', () => {
  it('is unproven where no row was ever acknowledged', () => {
    expect(computeLoss('db', undefined, row(3, 0), 1_000, end())).toMatchObject({ measured: false, lostCanaries: 0 });
  });
  it('counts the acknowledged rows that did not survive', () => {
    const loss = computeLoss('db', acknowledged, row(7, 7_000), 1_000, end({ goneAtMs: 10_500, fencedAtMs: 10_800 }));
    expect(loss).toMatchObject({ measured: true, lostCanaries: 3, window: { fromMs: 7_000, toMs: 10_800 } });
    expect(loss.detail).toBe('canaries 8 to 10 were acknowledged and did not survive');
  });
  it('of everything, where no row survived', () => {
    expect(computeLoss('db', acknowledged, undefined, 1_000, end())).toMatchObject({
      lostCanaries: 10,
      window: { fromMs: 0, toMs: 20_000 },
    });
  });
  it('is nothing where the last row survived and nothing was on the old site alone', () => {
    const loss = computeLoss('db', acknowledged, row(10, 9_990), 1_000, end({ nothingAlone: true }));
    expect(loss).toMatchObject({ measured: true, lostCanaries: 0 });
    expect(loss).not.toHaveProperty('window');
  });
  it('may be what came after the last row, where replication is asynchronous', () => {
    const loss = computeLoss('db', acknowledged, row(10, 9_990), 1_000, end({ goneAtMs: 10_200 }));
    expect(loss).toMatchObject({ lostCanaries: 0, window: { fromMs: 9_990, toMs: 11_000 } });
  });
  it('goes on until the fence where the old site only fell silent: it may have taken writes of others', () => {
    expect(computeLoss('db', acknowledged, row(9, 9_000), 1_000, end({ fencedAtMs: 19_000 })).window?.toMs).toBe(19_000);
    expect(computeLoss('db', acknowledged, row(9, 9_000), 1_000, end()).window?.toMs).toBe(20_000);
  });
  it('a row that the state has not heard of survived too', () =>
    expect(computeLoss('db', acknowledged, row(11, 11_000), 1_000, end({ goneAtMs: 10_000, fencedAtMs: 10_500 }))).toMatchObject({
      lostCanaries: 0,
    }));
});

/**
 * A primary that takes canaries and clients' writes and ships them with a delay, until it dies (seen by a live host after a while) or is cut off from us and the standby (and
 * takes writes of its clients until it is fenced).
 */
interface Disaster {
  readonly everyMs: number;
  readonly latencyMs: readonly number[];
  readonly shipMs: number;
  readonly clients: readonly number[];
  readonly cutAtMs: number;
  readonly dies: boolean;
  readonly seenAfterMs: number;
  readonly fencedAfterMs: number;
}

interface Write {
  readonly atMs: number;
  readonly acknowledgedAtMs: number;
  readonly row?: CanaryRow;
}

function simulate(disaster: Disaster) {
  const { everyMs, latencyMs, shipMs, clients, cutAtMs, dies } = disaster;
  const stopsMs = dies ? cutAtMs : cutAtMs + disaster.fencedAfterMs;
  const writes: Write[] = clients
    .map((atMs) => ({ atMs, acknowledgedAtMs: atMs + 1 }))
    .filter((write) => write.acknowledgedAtMs <= stopsMs);
  let number = 0;
  for (let atMs = 0; atMs < cutAtMs; ) {
    const tookMs = latencyMs[number % latencyMs.length] as number;
    number += 1;
    const write = { atMs, acknowledgedAtMs: atMs + tookMs, row: { number, atMs, epoch: 1 } };
    if (write.acknowledgedAtMs <= cutAtMs) writes.push(write);
    atMs += Math.max(everyMs, tookMs);
  }
  // In the order of the log; what was acknowledged less than the delay before the cut never left.
  writes.sort((left, right) => left.acknowledgedAtMs - right.acknowledgedAtMs);
  const surviving = writes.filter((write) => write.acknowledgedAtMs + shipMs <= cutAtMs);
  const lost = writes.filter((write) => !surviving.includes(write));
  const newest = writes.filter((write) => write.row).at(-1);
  return {
    lostClients: lost.filter((write) => !write.row),
    survivingRow: surviving.filter((write) => write.row).at(-1)?.row,
    newest: newest?.row && { ...newest.row, region: 'east', acknowledgedAtMs: newest.acknowledgedAtMs },
    stopsMs,
  };
}

const anyDisaster: fc.Arbitrary<Disaster> = fc.record({
  everyMs: fc.integer({ min: 50, max: 2_000 }),
  latencyMs: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
  shipMs: fc.integer({ min: 0, max: 5_000 }),
  clients: fc.array(fc.nat(30_000), { maxLength: 60 }),
  cutAtMs: fc.integer({ min: 100, max: 25_000 }),
  dies: fc.boolean(),
  seenAfterMs: fc.nat(50),
  fencedAfterMs: fc.integer({ min: 60, max: 5_000 }),
});

describe('the window, over random disasters', () => {
  const measure = (disaster: Disaster) => {
    const world = simulate(disaster);
    const { cutAtMs, fencedAfterMs, seenAfterMs, dies } = disaster;
    const fencedAtMs = cutAtMs + fencedAfterMs;
    const loss = computeLoss('db', world.newest, world.survivingRow, disaster.everyMs, {
      ...(dies ? { goneAtMs: cutAtMs + seenAfterMs } : {}),
      fencedAtMs,
      nowMs: fencedAtMs + 100,
      nothingAlone: false,
    });
    return { ...world, loss };
  };

  it('contains every client write that was acknowledged and is gone', () => {
    fc.assert(
      fc.property(anyDisaster, (disaster) => {
        const { loss, lostClients, newest } = measure(disaster);
        if (!newest) return expect(loss.measured).toBe(false);
        for (const write of lostClients) {
          expect(loss.window).toBeDefined();
          expect(write.acknowledgedAtMs).toBeGreaterThanOrEqual(loss.window?.fromMs ?? Number.NaN);
          expect(write.acknowledgedAtMs).toBeLessThanOrEqual(loss.window?.toMs ?? Number.NaN);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is no more than a period (and a write, and the time to see it) wider than the truth, on each side', () => {
    fc.assert(
      fc.property(anyDisaster, (disaster) => {
        const { loss, newest, survivingRow, stopsMs } = measure(disaster);
        if (!newest || !loss.window) return;
        const slackMs = disaster.everyMs + 40 + 50;
        expect(loss.window.toMs - stopsMs).toBeLessThanOrEqual(slackMs);
        const firstThatMayBeLostMs = disaster.cutAtMs - disaster.shipMs;
        if (survivingRow) expect(firstThatMayBeLostMs - loss.window.fromMs).toBeLessThanOrEqual(slackMs + 40);
      }),
      { numRuns: 500 },
    );
  });
});
