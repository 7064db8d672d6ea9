/**
 * A region that is cut off and goes on living, with clients of its own: the other region takes over, and at no instant do two sites acknowledge writes. Judged from outside: a client on
 * each side notes every acknowledgement with its time; after healing, every acknowledged write is looked for in what survives.
 *
 * What the cut-off side can do in that time is in docs/split-brain.md. Cutting takes nftables and root: without them this is skipped, and said so.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { type PacketFilter, startPacketFilter } from '../systems/packet-filter.ts';
import { describeSystem } from '../systems/requirement.ts';
import { DatabaseWriter, missingFrom, query } from './database-writer.ts';
import { executionOf, runHoldfast, serveUntilHealthy, until } from './holdfast-program.ts';

const east = { localAddress: '127.0.1.99' };
const west = { localAddress: '127.0.2.99' };
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  while (cleanups.length > 0) await cleanups.pop()?.();
});

function keep<T extends { stop(): Promise<unknown> }>(running: T): T {
  cleanups.push(() => running.stop());
  return running;
}

/** Nothing goes in or out of us-east-1 any more; what is inside it goes on, and finds itself. */
function isolateEast(platform: TwoRegions): string[] {
  const { database, sshd } = platform.regions['us-east-1'];
  return [database, sshd].flatMap(({ address, port }) => [
    `ip daddr ${address} tcp dport ${port} ip saddr != 127.0.1.0/24`,
    `ip saddr ${address} tcp sport ${port} ip daddr != 127.0.1.0/24`,
  ]);
}

interface Sides {
  readonly platform: TwoRegions;
  readonly filter: PacketFilter;
  /** Began before the cut and goes on trying inside us-east-1. */
  readonly inEast: DatabaseWriter;
  /** Tries us-west-2 all the time: refused as long as that is a standby. */
  readonly inWest: DatabaseWriter;
  readonly cutAtMs: number;
}

async function cutAndFailOver(replication: 'synchronous' | 'asynchronous'): Promise<Sides & { readonly execution: string }> {
  const platform = keep(await startTwoRegions({ databaseOnly: true, replication, lossBudget: '1h' }));
  const filter = keep(await startPacketFilter());
  const serve = keep(await serveUntilHealthy(platform));
  const inEast = keep(new DatabaseWriter(platform.regions['us-east-1'].database, east, 1).start());
  const inWest = keep(new DatabaseWriter(platform.regions['us-west-2'].database, west, 1_000_000).start());
  await until('writes in us-east-1', () => inEast.acknowledged[50]);
  expect(inWest.acknowledged).toEqual([]);
  const cutAtMs = Date.now();
  await filter.drop('region', isolateEast(platform));
  const ended = await executionOf(platform, serve);
  return { platform, filter, inEast, inWest, cutAtMs, execution: ended.state.id };
}

const systems = ['postgresql', 'sshd', 'nftables'] as const;

describeSystem(systems, 'a region that is cut off and goes on living, synchronous', () => {
  it('[S5-22] never has two sites that acknowledge writes, loses none, and does not fall back into it when the cut heals', async () => {
    const { platform, filter, inEast, inWest, execution } = await cutAndFailOver('synchronous');
    const { database: old } = platform.regions['us-east-1'];
    const { database: taken } = platform.regions['us-west-2'];
    const { json } = await runHoldfast(platform, ['executions', execution]);
    expect(json.state.outcome).toBe('done');
    expect(json.state.steps.find((step: { verb: string }) => step.verb === 'fence').output.proof).toBe('cannot-acknowledge');
    await until('the new primary acknowledges', () => inWest.acknowledged[30]);
    // Cut off it still is a primary by its own belief, and its clients still reach it.
    expect((await query(old, east, 'SELECT pg_is_in_recovery() AS standby'))[0]?.standby).toBe(false);
    await delay(2_000);

    await filter.heal('region');
    const healedAtMs = Date.now();
    await until('more writes after healing', () => inWest.since(healedAtMs)[30]);
    await delay(2_000);
    const lastEast = inEast.acknowledged.at(-1)?.atMs ?? 0;
    const firstWest = inWest.acknowledged[0]?.atMs ?? 0;
    expect(firstWest).toBeGreaterThan(lastEast);
    expect(inEast.since(healedAtMs)).toEqual([]);

    // Re-protected, the old one follows: what its clients were never told of is gone, what they were told of is there.
    await inEast.stop();
    expect(await runHoldfast(platform, ['reprotect', '--yes'])).toMatchObject({ exitCode: 0, json: { outcome: 'done' } });
    expect((await query(old, east, 'SELECT pg_is_in_recovery() AS standby'))[0]?.standby).toBe(true);
    await inWest.stop();
    const all = [...inEast.acknowledged, ...inWest.acknowledged];
    expect(await missingFrom(taken, west, all)).toEqual([]);
    await until('the old one has all of it too', async () => ((await missingFrom(old, east, all)).length === 0 ? true : undefined));
  });
});

describeSystem(systems, 'a region that is cut off and goes on living, asynchronous', () => {
  it('[S5-22] is not followed by a promotion: it may acknowledge for as long as nobody can prove that it does not', async () => {
    const { platform, filter, inEast, inWest, cutAtMs, execution } = await cutAndFailOver('asynchronous');
    const { json } = await runHoldfast(platform, ['executions', execution]);
    expect(json.state).toMatchObject({ status: 'failed' });
    expect(json.state.steps.find((step: { verb: string }) => step.verb === 'fence').error.code).toBe('FENCE_NOT_PROVEN');
    expect(inWest.acknowledged).toEqual([]);
    // It lives and serves its own clients: that is why nothing may be promoted.
    const atMs = Date.now();
    await until('it goes on acknowledging', () => inEast.since(atMs)[10]);
    expect(inEast.since(cutAtMs).length).toBeGreaterThan(10);

    // The cut heals before anybody gave a word for the fence: the execution is ended, and nothing has happened.
    await filter.heal('region');
    await runHoldfast(platform, ['abort', execution, '--reason', 'us-east-1 is back']);
    await until('all is well', async () =>
      (await runHoldfast(platform, ['status'])).json?.verdict?.state === 'healthy' ? true : undefined,
    );
    await inEast.stop();
    expect(await missingFrom(platform.regions['us-east-1'].database, east, inEast.acknowledged)).toEqual([]);
    expect((await query(platform.regions['us-west-2'].database, west, 'SELECT pg_is_in_recovery() AS standby'))[0]?.standby).toBe(true);
    await until('the standby has all of it', async () =>
      (await missingFrom(platform.regions['us-west-2'].database, west, inEast.acknowledged)).length === 0 ? true : undefined,
    );
  });
});
