/**
 * Links that are cut while everything lives: a controller that is alone cut off must promote nothing, and one that has only lost its own way to the primary must believe the standby
 * that still receives. And a primary that is silent but not dead must not acknowledge anything once it has been replaced.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { type PacketFilter, startPacketFilter } from '../systems/packet-filter.ts';
import { describeSystem } from '../systems/requirement.ts';
import { DatabaseWriter, missingFrom, query } from './database-writer.ts';
import {
  controllerGroup,
  decisionsOf,
  executionOf,
  type RunningProgram,
  runHoldfast,
  serveUntilHealthy,
  until,
} from './holdfast-program.ts';

const east = { localAddress: '127.0.1.99' };
const west = { localAddress: '127.0.2.99' };
/** Longer than silence takes to count, with room for a busy machine: failures x timeout is 3 s. */
const longEnoughMs = 7_000;

describeSystem(['postgresql', 'sshd', 'nftables'], 'a controller whose links are cut', () => {
  let platform: TwoRegions;
  let filter: PacketFilter;
  let serve: RunningProgram;
  let writer: DatabaseWriter;

  beforeAll(async () => {
    platform = await startTwoRegions({ databaseOnly: true, coolDown: '1s' });
    filter = await startPacketFilter();
    serve = await serveUntilHealthy(platform);
    writer = new DatabaseWriter(platform.regions['us-east-1'].database, east, 1).start();
    await until('the first acknowledged write', () => writer.acknowledged[0]);
  });
  afterAll(async () => {
    await writer?.stop();
    await serve?.stop();
    await filter?.stop();
    await platform?.stop();
  });

  /** What the controller, and nobody else, sends to a region's servers vanishes. */
  const controllerTo = (region: 'us-east-1' | 'us-west-2'): string[] => {
    const { database, sshd } = platform.regions[region];
    return [database, sshd].map((server) => `ip daddr ${server.address} tcp dport ${server.port} meta skgid ${controllerGroup}`);
  };
  const promotions = () => serve.events.filter((event) => event.event === 'execution').length;
  const longestGapMs = (fromMs: number): number => {
    const times = [fromMs, ...writer.since(fromMs).map((each) => each.atMs), Date.now()];
    return Math.max(...times.slice(1).map((atMs, index) => atMs - (times[index] as number)));
  };
  const healthyAgain = (sinceMs: number) =>
    until(
      'healthy again',
      () => decisionsOf(serve).some((event) => event.atMs > sinceMs && event.verdict.state === 'healthy') || undefined,
    );

  it('[X-01] [S5-19] [S5-33] alone and cut off from everything, changes nothing, says why, and finds back by itself', async () => {
    const cutAtMs = Date.now();
    await filter.drop('everything', [...controllerTo('us-east-1'), ...controllerTo('us-west-2')]);
    const blocked = await until('the controller believes the region lost', () =>
      decisionsOf(serve).find((event) => event.atMs > cutAtMs && event.verdict.state === 'lost'),
    );
    expect(blocked.decision.act).toBe(false);
    expect(blocked.decision.blocks.map((block: { code: string }) => block.code)).toContain('target-not-ready');
    await delay(longEnoughMs);
    expect(promotions()).toBe(0);
    expect(longestGapMs(cutAtMs)).toBeLessThan(2_000);
    const healedAtMs = Date.now();
    await filter.heal('everything');
    await healthyAgain(healedAtMs);
    expect(promotions()).toBe(0);
  });

  it('[X-01] [S5-19] cut off from the primary only, believes the standby that still receives from it', async () => {
    const cutAtMs = Date.now();
    await filter.drop('primary', controllerTo('us-east-1'));
    const blocked = await until('the contradiction is seen', () =>
      decisionsOf(serve).find(
        (event) => event.atMs > cutAtMs && event.decision.blocks.some((block: { code: string }) => block.code === 'standby-still-receives'),
      ),
    );
    expect(blocked.decision.act).toBe(false);
    expect(blocked.decision.summary).toMatch(/out of reach for us and not lost: orders-db in us-west-2 still receives from us-east-1/);
    const why = await runHoldfast(platform, ['why']);
    expect(JSON.stringify(why.json.history)).toContain('standby-still-receives');
    await delay(longEnoughMs);
    expect(promotions()).toBe(0);
    expect(longestGapMs(cutAtMs)).toBeLessThan(2_000);
    const healedAtMs = Date.now();
    await filter.heal('primary');
    await healthyAgain(healedAtMs);
  });

  it('[S5-21] [S5-22] a primary that is frozen counts as lost after its failures only; woken up, it can acknowledge nothing', async () => {
    const { database: old, sshd } = platform.regions['us-east-1'];
    const { database: taken } = platform.regions['us-west-2'];
    // Nobody's hands can reach it: the fence must hold without them.
    await sshd.kill();
    const frozenAtMs = Date.now();
    old.pause();
    const acted = await until('a failover', () => decisionsOf(serve).find((event) => event.decision.act), 60_000);
    // Three looks in a row, each given a second.
    expect(acted.atMs - frozenAtMs).toBeGreaterThan(2_000);
    const first = decisionsOf(serve).find((event) => event.atMs > frozenAtMs && event.verdict.state === 'failing');
    expect(first?.decision.act).toBe(false);
    const done = await executionOf(platform, serve);
    expect(done.state.outcome).toBe('done');
    const fence = done.state.steps.find((step: { verb: string }) => step.verb === 'fence');
    expect(fence.output.proof).toBe('cannot-acknowledge');

    await writer.stop();
    old.resume();
    const wokenAtMs = Date.now();
    await until('the old primary answers reads', () => query(old, east, 'SELECT 1').catch(() => undefined));
    expect((await query(old, east, 'SELECT pg_is_in_recovery() AS standby'))[0]?.standby).toBe(false);
    const late = new DatabaseWriter(old, east, 1_000_000).start();
    const next = new DatabaseWriter(taken, west, 2_000_000).start();
    await until('the new primary acknowledges', () => next.acknowledged[50]);
    await delay(3_000);
    await Promise.all([late.stop(), next.stop()]);
    expect(late.acknowledged).toEqual([]);
    expect(writer.since(wokenAtMs)).toEqual([]);
    expect(await missingFrom(taken, west, [...writer.acknowledged, ...next.acknowledged])).toEqual([]);
  });
});

describeSystem(['postgresql', 'sshd'], 'a vital component that restarts', () => {
  it('within the grace is no disaster', async () => {
    const platform = await startTwoRegions({ databaseOnly: true, grace: '8s' });
    let serve: RunningProgram | undefined;
    try {
      serve = await serveUntilHealthy(platform);
      const killedAtMs = Date.now();
      await platform.regions['us-east-1'].database.kill();
      await until('the trouble is seen', () =>
        decisionsOf(serve as RunningProgram).find((event) => event.atMs >= killedAtMs && event.verdict.state === 'failing'),
      );
      await platform.regions['us-east-1'].database.start();
      await until('healthy again', () =>
        decisionsOf(serve as RunningProgram).find((event) => event.atMs > killedAtMs && event.verdict.state === 'healthy'),
      );
      // Past the end of the grace.
      await delay(Math.max(0, killedAtMs + 9_000 - Date.now()));
      expect(serve.events.filter((event) => event.event === 'execution')).toEqual([]);
      expect(decisionsOf(serve).filter((event) => event.decision.act)).toEqual([]);
    } finally {
      await serve?.stop();
      await platform.stop();
    }
  });
});
