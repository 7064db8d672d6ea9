/** What keeps a failover from happening, or from being completed: each says so, leaves nothing half done, and goes on once a person or the world has removed the cause. */
import { afterEach, expect, it } from 'vitest';
import type { TwoRegionsOptions } from '../../examples/demo/region.ts';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { describeSystem } from '../systems/requirement.ts';
import { DatabaseWriter, missingFrom } from './database-writer.ts';
import { decisionsOf, executionOf, type RunningProgram, runHoldfast, serveUntilHealthy, startHoldfast, until } from './holdfast-program.ts';

const east = { localAddress: '127.0.1.99' };
const west = { localAddress: '127.0.2.99' };
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  while (cleanups.length > 0) await cleanups.pop()?.();
});

async function build(options: TwoRegionsOptions): Promise<TwoRegions> {
  const platform = await startTwoRegions({ databaseOnly: true, ...options });
  cleanups.push(() => platform.stop());
  return platform;
}

async function serving(platform: TwoRegions): Promise<RunningProgram> {
  const serve = await serveUntilHealthy(platform);
  cleanups.push(() => serve.stop());
  return serve;
}

function writing(platform: TwoRegions): DatabaseWriter {
  const writer = new DatabaseWriter(platform.regions['us-east-1'].database, east, 1).start();
  cleanups.push(() => writer.stop());
  return writer;
}

const isStandby = async (platform: TwoRegions): Promise<boolean> =>
  (await platform.regions['us-west-2'].database.query('SELECT pg_is_in_recovery() AS standby'))[0]?.standby === true;

const blockCodes = (json: { now: { blocks: { code: string }[] } }): string[] => json.now.blocks.map((block) => block.code);

describeSystem(['postgresql', 'sshd'], 'bad luck with the target', () => {
  it('[S5-33] does not fail over to a standby that is down, names it, and goes on by itself once it is back, with nothing lost', async () => {
    const platform = await build({ coolDown: '1s' });
    const { database: active } = platform.regions['us-east-1'];
    const { database: standby } = platform.regions['us-west-2'];
    const serve = await serving(platform);
    const writer = writing(platform);
    await until('the first acknowledged write', () => writer.acknowledged[0]);

    await standby.kill();
    const check = await runHoldfast(platform, ['check']);
    expect(check).toMatchObject({ exitCode: 3, json: { ready: false } });
    expect(check.out).toContain('orders-db in us-west-2 is down');
    await until('status says so too', async () => (await runHoldfast(platform, ['status'])).exitCode === 3 || undefined);

    await active.kill();
    const blocked = await until('a decision about the lost region', () =>
      decisionsOf(serve).find((event) => event.verdict.state === 'lost'),
    );
    expect(blocked.decision.act).toBe(false);
    expect(blocked.decision.blocks.map((block: { code: string }) => block.code)).toContain('target-not-ready');
    const why = await runHoldfast(platform, ['why']);
    expect(why.exitCode).toBe(0);
    expect(why.json.now.summary).toContain('orders-db in us-west-2 is not up');
    expect(blockCodes(why.json)).toContain('target-not-ready');
    const byHand = await runHoldfast(platform, ['failover', '--yes', '--accept-loss', 'any', '--approver', 'ada', '--approver', 'bob']);
    expect(byHand.exitCode).not.toBe(0);
    expect(JSON.stringify(byHand.json)).toContain('orders-db in us-west-2 is not up');
    expect(serve.events.filter((event) => event.event === 'journal' && event.journal.stepId?.startsWith('promote'))).toEqual([]);

    await writer.stop();
    await standby.start();
    await until('it fails over once the standby is back', () => decisionsOf(serve).find((event) => event.decision.act), 30_000);
    await until(
      'us-west-2 is active',
      async () => (await runHoldfast(platform, ['status'])).json?.activeRegion === 'us-west-2' || undefined,
    );
    expect(await isStandby(platform)).toBe(false);
    expect(await missingFrom(standby, west, writer.acknowledged)).toEqual([]);
  });
});

describeSystem(['postgresql', 'sshd', 'nftables'], 'more loss than the budget allows', () => {
  it('[S5-22] is refused to serve, and to one person; two approvers and --accept-loss go through, and the loss is counted', async () => {
    const { startPacketFilter } = await import('../systems/packet-filter.ts');
    const platform = await build({ replication: 'asynchronous', lossBudget: '0s', coolDown: '1s' });
    const { database: active } = platform.regions['us-east-1'];
    const { database: standby } = platform.regions['us-west-2'];
    const filter = await startPacketFilter();
    cleanups.push(() => filter.stop());
    const serve = await serving(platform);
    const writer = writing(platform);
    await until('some acknowledged writes', () => writer.acknowledged[20]);

    // The replication link dies silently; the primary goes on acknowledging.
    await filter.drop('replication', [`ip daddr 127.0.1.10 tcp dport ${active.port} meta skuid "${active.owner ?? 'root'}"`]);
    const cutAtMs = Date.now();
    await until('writes that only us-east-1 has', () => writer.since(cutAtMs + 1_500).length > 20 || undefined);
    await active.kill();
    await writer.stop();
    await filter.heal('replication');

    const refused = await until('the region counts as lost', () => decisionsOf(serve).find((event) => event.verdict.state === 'lost'));
    expect(refused.decision.act).toBe(false);
    const block = refused.decision.blocks.find((each: { code: string }) => each.code === 'loss-over-budget');
    expect(block?.message).toMatch(/orders-db would lose [\d.]+ ?m?s.*; the budget is 0/);

    const alone = await runHoldfast(platform, ['failover', '--yes']);
    expect(alone.exitCode).toBe(1);
    expect(JSON.stringify(alone.json)).toMatch(/LOSS_OVER_BUDGET|would lose [\d.]+ ?m?s/);
    expect(await isStandby(platform)).toBe(true);

    const oneWord = startHoldfast(platform, ['failover', '--yes', '--accept-loss', '1h', '--approver', 'ada']);
    cleanups.push(() => oneWord.stop());
    const id = await until(
      'an execution that waits',
      async () =>
        (await runHoldfast(platform, ['executions'])).json?.executions.find(
          (each: { status: string }) => each.status === 'waiting-for-approval',
        )?.id,
    );
    await until(
      'it waits for the second approval',
      async () => JSON.stringify((await runHoldfast(platform, ['executions', id])).json).includes('ada') || undefined,
    );
    expect(await isStandby(platform)).toBe(true);
    const sameAgain = await runHoldfast(platform, ['approve', id, '--by', 'ada']);
    expect(await isStandby(platform)).toBe(true);
    expect(sameAgain.json).toBeDefined();
    await runHoldfast(platform, ['approve', id, '--by', 'bob']);
    const done = await until(
      'the failover ends',
      async () => {
        const { json } = await runHoldfast(platform, ['executions', id]);
        return json?.state?.outcome === undefined ? undefined : json;
      },
      60_000,
    );
    expect(done.state.outcome).toBe('done');
    const database = done.measured.byComponent.find((each: { component: string }) => each.component === 'orders-db');
    const missing = await missingFrom(standby, west, writer.acknowledged);
    expect(missing.length).toBeGreaterThan(0);
    expect(database.lossMeasured).toBe(true);
    expect(database.lostCanaries).toBeGreaterThan(0);
    const lostAt = writer.acknowledged.filter((each) => missing.includes(each.number)).map((each) => each.atMs);
    expect(Math.min(...lostAt)).toBeGreaterThanOrEqual(database.lossWindow.fromMs);
    expect(Math.max(...lostAt)).toBeLessThanOrEqual(database.lossWindow.toMs);
  });
});

describeSystem(['postgresql', 'sshd'], 'a fence that nothing proves', () => {
  it('[S5-22] stops before the promotion, and goes on with the word of a named person', async () => {
    const platform = await build({ replication: 'asynchronous', lossBudget: '1h', coolDown: '1s' });
    const serve = await serving(platform);
    const writer = writing(platform);
    await until('some acknowledged writes', () => writer.acknowledged[5]);
    await platform.kill('us-east-1');
    await writer.stop();
    const stopped = await executionOf(platform, serve);
    expect(stopped.state.status).toBe('failed');
    expect(stopped.state.outcome).toBeUndefined();
    const fence = stopped.state.steps.find((step: { verb: string }) => step.verb === 'fence');
    expect(fence.error?.code).toBe('FENCE_NOT_PROVEN');
    expect(await isStandby(platform)).toBe(true);

    const why = await runHoldfast(platform, ['why']);
    expect(blockCodes(why.json)).toContain('execution-under-way');
    const completed = await runHoldfast(platform, ['resume', stopped.state.id, '--fenced-by', 'grace']);
    expect(completed).toMatchObject({ exitCode: 0, json: { outcome: 'done' } });
    expect(await isStandby(platform)).toBe(false);
    const { json } = await runHoldfast(platform, ['executions', stopped.state.id]);
    expect(JSON.stringify(json)).toContain('grace');
    const order = json.events
      .filter((event: { type: string }) => event.type === 'step-done')
      .map((event: { stepId: string }) => event.stepId);
    expect(order.indexOf('fence orders-db us-east-1')).toBeLessThan(order.indexOf('promote orders-db us-west-2'));
  });
});
