import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeHost } from '../../test/fakes/host.ts';
import type { Canary, CanaryRow } from '../contracts/driver.ts';
import { type AcknowledgedCanary, CanaryWriter } from './canary-writer.ts';

/** A store of one row, with everything that was ever tried. */
class FakeStore implements Canary {
  row: CanaryRow | undefined;
  readonly tried: CanaryRow[] = [];
  readonly taken: number[] = [];
  mode: 'takes' | 'refuses' | 'takes-and-says-nothing' | 'hangs' = 'takes';
  unreadable = false;
  /** What answers never; ended by the test. */
  stuck = Promise.withResolvers<void>();
  async read(): Promise<CanaryRow | undefined> {
    if (this.unreadable) throw new Error('no connection');
    return this.row;
  }
  async write(row: CanaryRow): Promise<void> {
    this.tried.push(row);
    if (this.mode === 'refuses') throw new Error('read-only');
    if (this.mode !== 'hangs') {
      this.row = row;
      this.taken.push(row.number);
    }
    if (this.mode !== 'takes') await this.stuck.promise;
  }
}

function rig(known?: AcknowledgedCanary, host = fakeHost()) {
  const acknowledged: AcknowledgedCanary[] = [];
  const refused: string[] = [];
  const writer = new CanaryWriter(
    {
      component: 'db',
      everyMs: 1_000,
      timeoutMs: 500,
      clock: host.clock,
      log: host.log,
      onAcknowledged: (row) => acknowledged.push(row),
      onRefused: (_component, reason) => refused.push(reason),
    },
    known,
  );
  return { host, writer, acknowledged, refused };
}

const ackOf = (number: number): AcknowledgedCanary => ({ number, atMs: 0, epoch: 1, region: 'east', acknowledgedAtMs: 1 });

describe('the canary writer', () => {
  it('writes a row per period and tells each that was acknowledged', async () => {
    const { host, writer, acknowledged } = rig();
    const store = new FakeStore();
    writer.aim({ region: 'east', canary: store, epoch: 3 });
    await host.clock.advance(4_500);
    expect(acknowledged.map((row) => row.number)).toEqual([1, 2, 3, 4, 5]);
    expect(acknowledged.at(-1)).toMatchObject({ region: 'east', epoch: 3, acknowledgedAtMs: host.clock.nowMs() - 500 });
    await writer.stop();
    await host.clock.advance(5_000);
    expect(store.tried).toHaveLength(5);
    expect(host.clock.waiting).toBe(0);
  });

  it('goes on above what the state knows and above what the store holds', async () => {
    const { host, writer, acknowledged } = rig(ackOf(7));
    const store = new FakeStore();
    store.row = { number: 12, atMs: 0, epoch: 1 };
    writer.aim({ region: 'east', canary: store, epoch: 1 });
    await host.clock.advance(100);
    expect(acknowledged.map((row) => row.number)).toEqual([13]);
  });

  it('writes nothing before it has read what is there', async () => {
    const { host, writer, refused } = rig();
    const store = new FakeStore();
    store.row = { number: 5_000, atMs: 0, epoch: 1 };
    store.unreadable = true;
    writer.aim({ region: 'east', canary: store, epoch: 1 });
    await host.clock.advance(3_500);
    expect(store.tried).toEqual([]);
    expect(refused.length).toBeGreaterThanOrEqual(3);
    store.unreadable = false;
    await host.clock.advance(1_000);
    expect(store.tried.map((row) => row.number)).toEqual([5_001]);
  });

  it('a refused row is not acknowledged, and its number is not used again', async () => {
    const { host, writer, acknowledged, refused } = rig();
    const store = new FakeStore();
    store.mode = 'refuses';
    writer.aim({ region: 'east', canary: store, epoch: 1 });
    await host.clock.advance(2_500);
    expect(acknowledged).toEqual([]);
    expect(refused).toEqual(['Error: read-only', 'Error: read-only', 'Error: read-only']);
    store.mode = 'takes';
    await host.clock.advance(1_000);
    expect(acknowledged.map((row) => row.number)).toEqual([4]);
  });

  it('aimed elsewhere in the middle of a write: writes there at once, and a late answer of the old site counts for nothing', async () => {
    const { host, writer, acknowledged } = rig();
    const east = new FakeStore();
    const west = new FakeStore();
    east.mode = 'hangs';
    writer.aim({ region: 'east', canary: east, epoch: 1 });
    await host.clock.advance(100);
    writer.aim({ region: 'west', canary: west, epoch: 2 });
    await host.clock.advance(0);
    expect(acknowledged).toMatchObject([{ number: 2, region: 'west', epoch: 2 }]);
    await host.clock.advance(1_000);
    expect(acknowledged.map((row) => row.number)).toEqual([2, 3]);
    expect(east.tried).toHaveLength(1);
    east.stuck.resolve();
    await writer.stop();
  });

  it('aimed at nothing: writes nowhere, until it is aimed again', async () => {
    const { host, writer, acknowledged } = rig();
    const store = new FakeStore();
    writer.aim({ region: 'east', canary: store, epoch: 1 });
    await host.clock.advance(100);
    writer.aim(undefined);
    await host.clock.advance(5_000);
    expect(acknowledged).toHaveLength(1);
    writer.aim({ region: 'east', canary: store, epoch: 1 });
    await host.clock.advance(0);
    expect(acknowledged).toHaveLength(2);
  });

  it('never uses a number twice in a store, over any turns of luck and restarts', async () => {
    const mode = fc.constantFrom<FakeStore['mode']>('takes', 'refuses', 'takes-and-says-nothing', 'hangs');
    const turn = fc.record({ mode, restart: fc.boolean(), remembered: fc.boolean(), forMs: fc.integer({ min: 1, max: 3_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { minLength: 1, maxLength: 8 }), async (turns) => {
        const host = fakeHost();
        const store = new FakeStore();
        let current = rig(undefined, host);
        let known: AcknowledgedCanary | undefined;
        current.writer.aim({ region: 'east', canary: store, epoch: 1 });
        for (const each of turns) {
          store.mode = each.mode;
          await host.clock.advance(each.forMs);
          if (each.remembered) known = current.acknowledged.at(-1) ?? known;
          if (!each.restart) continue;
          store.stuck.resolve();
          await current.writer.stop();
          store.stuck = Promise.withResolvers();
          current = rig(known, host);
          current.writer.aim({ region: 'east', canary: store, epoch: 1 });
        }
        store.stuck.resolve();
        await current.writer.stop();
        // Whatever reached the store, acknowledged or not, has a number of its own, above all earlier ones.
        for (const [index, number] of store.taken.entries())
          if (index > 0) expect(number).toBeGreaterThan(store.taken[index - 1] as number);
      }),
      { numRuns: 50 },
    );
  });
});
