/**
 * The whole way on real servers, looked at from outside and through the journal: a region is lost, the other takes over, the lost one comes back, is re-protected, and gets its role
 * back. All the while every process's arguments are searched for secrets; afterwards every file that Holdfast wrote, and every server's log.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OrdersClient } from '../../examples/demo/orders-client.ts';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import type { RunningBind } from '../systems/bind.ts';
import type { RunningRedis } from '../systems/redis.ts';
import { describeSystem } from '../systems/requirement.ts';
import { findMissingOrders } from './acknowledged-orders.ts';
import { executionOf, type ProgramEnd, type RunningProgram, runHoldfast, serveUntilHealthy, until } from './holdfast-program.ts';
import { SecretWatch } from './secret-watch.ts';

type Journal = { readonly events: readonly { readonly type: string; readonly stepId?: string; readonly atMs: number }[] };

/** Places in the journal: -1 where it is not there. A step's intent comes first; one that found its state already there has only its end. */
const startOf = (execution: Journal, step: string): number => execution.events.findIndex((event) => event.stepId === step);
const endOf = (execution: Journal, step: string): number =>
  execution.events.findIndex((event) => event.type === 'step-done' && event.stepId === step);
const expectOrder = (execution: Journal, earlier: string, later: string): void => {
  expect(endOf(execution, earlier), `${earlier} is done`).toBeGreaterThanOrEqual(0);
  expect(startOf(execution, later), `${later} has started`).toBeGreaterThanOrEqual(0);
  expect(endOf(execution, earlier), `${earlier} before ${later}`).toBeLessThan(startOf(execution, later));
};
const stepOf = (execution: ProgramEnd['json'], id: string) => execution.state.steps.find((step: { id: string }) => step.id === id);
const replicationInfo = async (cache: RunningRedis): Promise<Record<string, string>> =>
  Object.fromEntries((await cache.command('INFO', 'replication')).split(/\r?\n/).map((line) => line.split(':') as [string, string]));

describeSystem(['postgresql', 'redis', 'bind', 'sshd'], 'a region that is lost and comes back', () => {
  let platform: TwoRegions;
  let serve: RunningProgram;
  let client: OrdersClient;
  let secrets: SecretWatch;
  let failover: ProgramEnd['json'];
  const outputs: string[] = [];
  const run = async (args: readonly string[], options = {}) => {
    const end = await runHoldfast(platform, [...args, '--log-level', 'debug'], options);
    outputs.push(end.out, end.err);
    return end;
  };
  // What was acknowledged before the database is asked: orders go on being placed meanwhile.
  const missing = (region: 'us-east-1' | 'us-west-2') => findMissingOrders(client, platform.regions[region].database);
  const cacheOf = (region: 'us-east-1' | 'us-west-2') => platform.regions[region].cache as RunningRedis;

  beforeAll(async () => {
    platform = await startTwoRegions();
    secrets = new SecretWatch(platform.env).start();
    const dns = platform.dns as RunningBind;
    client = new OrdersClient({
      nameServer: `${dns.address}:${dns.port}`,
      name: platform.recordName,
      port: platform.ordersPort,
      everyMs: 10,
    });
    client.start();
    // serve logs everything that it can: what it keeps to itself is then kept on purpose.
    serve = await serveUntilHealthy(platform, { logLevel: 'debug' });
    await until('the first 50 orders', () => (client.acknowledgements.length >= 50 ? true : undefined));
  });
  afterAll(async () => {
    secrets?.stop();
    await client?.stop();
    await serve?.stop();
    await platform?.stop();
  });

  it('[S5-15] the standby streams: lag is measured, its slot keeps the log, and a broken stream is named', async () => {
    const { json } = await run(['status']);
    const siteOf = (component: string, region: string) =>
      json.sites.find((site: { component: string; region: string }) => site.component === component && site.region === region);
    expect(siteOf('orders-db', 'us-west-2').observation.replication.upstream).toMatchObject({ link: 'up', region: 'us-east-1' });
    const [standby] = siteOf('orders-db', 'us-east-1').observation.replication.standbys;
    expect(standby).toMatchObject({ link: 'up', inSync: true, lagBytes: expect.stringMatching(/^\d+$/) });
    expect(siteOf('orders-db', 'us-west-2').lossNowMs).toBe(0);
    const { database: active } = platform.regions['us-east-1'];
    expect(await active.query("SELECT active FROM pg_replication_slots WHERE slot_type = 'physical'")).toEqual([{ active: true }]);

    await active.query('ALTER ROLE replicator NOLOGIN');
    await active.query('SELECT pg_terminate_backend(pid) FROM pg_stat_replication');
    try {
      const check = await until('check names the broken stream', async () => {
        const end = await run(['check']);
        return end.exitCode === 3 ? end : undefined;
      });
      expect(JSON.stringify(check.json.readiness)).toContain('orders-db in us-west-2 does not receive from its primary');
    } finally {
      // No standby is there to wait for.
      await active.query('SET synchronous_commit = local; ALTER ROLE replicator LOGIN');
    }
    await until('ready again', async () => ((await run(['status'])).exitCode === 0 ? true : undefined));
  });

  it('[S3-34] [S3-35] the Redis replica refuses writes, and offsets and link are read from both ends', async () => {
    await expect(cacheOf('us-west-2').command('SET', 'stray', '1')).rejects.toThrow(/READONLY/);
    const { json } = await run(['status']);
    const [master, replica] = ['us-east-1', 'us-west-2'].map(
      (region) =>
        json.sites.find((site: { component: string; region: string }) => site.component === 'orders-cache' && site.region === region)
          .observation,
    );
    expect(master).toMatchObject({
      role: 'primary',
      replication: { standbys: [{ link: 'up', lagBytes: expect.stringMatching(/^\d+$/) }] },
    });
    expect(replica).toMatchObject({ role: 'standby', replication: { upstream: { link: 'up', region: 'us-east-1' } } });
    expect(replica.position.history).toBe(master.position.history);
  });

  it('[X-02] --dry-run prints the plan and changes nothing', async () => {
    const { exitCode, json } = await run(['failover', '--dry-run']);
    expect(exitCode).toBe(0);
    expect(json.plan.steps.map((step: { id: string }) => step.id)).toContain('promote orders-db us-west-2');
    expect((await run(['executions'])).json.executions).toEqual([]);
  });

  it('[S3-02] [S3-13] [S5-22] [S5-24] [S5-33] [S5-34] [S5-35] fails over in the right order, proven at each step, and says truly what it cost', async () => {
    const dns = platform.dns as RunningBind;
    const { database: stand } = platform.regions['us-west-2'];
    const record = platform.recordName;
    const [before] = await dns.records(record, 'A');
    expect(before).toMatchObject({ data: '127.0.1.20' });
    // Short beforehand: whoever has just asked must not keep a dead address for long.
    expect(before?.ttlSeconds).toBeLessThanOrEqual(60);
    const [{ timeline }] = (await stand.query('SELECT received_tli AS timeline FROM pg_stat_wal_receiver')) as [{ timeline: number }];
    const killedAtMs = Date.now();
    await platform.kill('us-east-1');
    failover = await executionOf(platform, serve);

    expect(failover.state.outcome).toBe('done');
    // Before anything is touched: is it true, and can the target.
    expectOrder(failover, 'confirm-verdict', 'advance-epoch');
    expectOrder(failover, 'check-target', 'advance-epoch');
    for (const component of ['orders-db', 'orders-cache']) {
      expectOrder(failover, 'advance-epoch', `fence ${component} us-east-1`);
      expectOrder(failover, `fence ${component} us-east-1`, `promote ${component} us-west-2`);
      expect(stepOf(failover, `fence ${component} us-east-1`).output.proof).toMatch(/^(cannot-acknowledge|nothing-listens|stopped)$/);
      expectOrder(failover, `promote ${component} us-west-2`, 'await-ready orders us-west-2');
    }
    expect(stepOf(failover, 'check-target').output.estimatedLoss).toHaveProperty('orders-db');
    // Clients come once there is somebody at full size to serve them; then it is tried as they would.
    expectOrder(failover, 'await-ready orders us-west-2', 'route orders-name us-west-2');
    expectOrder(failover, 'route orders-name us-west-2', 'check orders us-west-2');
    expectOrder(failover, 'check orders us-west-2', 'verify');

    expect(await stand.query('SELECT pg_is_in_recovery() AS standby, timeline_id AS timeline FROM pg_control_checkpoint()')).toEqual([
      { standby: false, timeline: timeline + 1 },
    ]);
    expect(await dns.query(record, 'A')).toEqual(['127.0.2.20']);
    const first = await until('an order acknowledged by us-west-2', () =>
      client.acknowledgements.find((each) => each.region === 'us-west-2'),
    );
    expect(await missing('us-west-2')).toEqual([]);
    const database = failover.measured.byComponent.find((each: { component: string }) => each.component === 'orders-db');
    expect(database).toMatchObject({ lossMeasured: true, lostCanaries: 0 });
    // What Holdfast measured and what the customer saw are the same outage, but for the name's TTL and the service's own start.
    expect(failover.measured.outageMs).toBeGreaterThan(0);
    expect(failover.measured.outageMs).toBeLessThanOrEqual(first.atMs - killedAtMs + 1_000);
    await writeFile(join(platform.directory, 'failover.json'), JSON.stringify(failover));
  });

  it('[S3-17] the promoted Redis is a master that takes writes', async () => {
    expect((await replicationInfo(cacheOf('us-west-2'))).role).toBe('master');
    // Until us-east-1 is back there is no replica to wait for.
    expect(await cacheOf('us-west-2').command('SET', 'written-after', 'the failover')).toBe('OK');
  });

  it('[S5-37] [S3-36] the lost region rejoins as a standby of the new one, and gets its role back by a controlled switchover: nothing is lost', async () => {
    await platform.revive('us-east-1');
    const reprotect = await run(['reprotect', '--yes']);
    expect(reprotect).toMatchObject({ exitCode: 0, json: { outcome: 'done' } });
    const follow = reprotect.json.steps.find((step: { id: string }) => step.id === 'follow orders-db us-east-1');
    expect(follow.output.method).toBe('rewound');
    expect(await platform.regions['us-east-1'].database.query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: true }]);
    const senders = await platform.regions['us-west-2'].database.query('SELECT state, sync_state FROM pg_stat_replication');
    expect(senders).toEqual([{ state: 'streaming', sync_state: expect.stringMatching(/^(sync|quorum)$/) }]);
    expect(await replicationInfo(cacheOf('us-east-1'))).toMatchObject({ role: 'slave', master_link_status: 'up' });
    expect(await cacheOf('us-east-1').command('GET', 'written-after')).toBe('the failover');

    const failback = await run(['failback', '--yes']);
    expect(failback).toMatchObject({ exitCode: 0, json: { outcome: 'done', to: 'us-east-1' } });
    const { json: journal } = await run(['executions', failback.json.execution]);
    for (const component of ['orders-db', 'orders-cache'])
      expectOrder(journal, `fence ${component} us-west-2`, `promote ${component} us-east-1`);
    await until('an order acknowledged by us-east-1', () => (client.last?.region === 'us-east-1' ? true : undefined));
    await client.stop();
    expect(await missing('us-east-1')).toEqual([]);
    expect(await cacheOf('us-east-1').command('GET', 'written-after')).toBe('the failover');
    expect((await replicationInfo(cacheOf('us-east-1'))).role).toBe('master');
    expect((await replicationInfo(cacheOf('us-west-2'))).role).toBe('slave');
  });

  it('[X-07] no secret was seen in the arguments of a process, in an output, in the state, in a record or in a log', async () => {
    const end = await serve.stop();
    outputs.push(end.out, end.err);
    for (const text of outputs) secrets.lookAt(text, 'an output of holdfast');
    await mkdir(join(platform.directory, 'dumped'));
    for (const args of [['status'], ['why'], ['check'], ['executions'], ['plan', 'failover'], ['plan', 'switchover']]) {
      const { out, err } = await run(args);
      secrets.lookAt(out + err, `holdfast ${args.join(' ')}`);
    }
    expect(secrets.lookAtFiles(platform.stateDirectory)).toBeGreaterThan(0);
    let logs = 0;
    for (const directory of platform.directories)
      logs += secrets.lookAtFiles(directory, (path) => /\.(log|json|jsonl|holdfast-log)$/.test(path) || path.includes('salvage'));
    expect(logs).toBeGreaterThan(8);
    expect(secrets.found).toEqual([]);
    // The looks were often enough to see short-lived programs, and they would have found something.
    expect(secrets.looks).toBeGreaterThan(200);
    for (const program of ['ssh', 'pg_rewind']) expect([...secrets.programs]).toContain(program);
    const own = new SecretWatch({ marker: 'seen-in-arguments' }).start();
    const { spawn } = await import('node:child_process');
    const child = spawn('sleep', ['1', '--seen-in-arguments=x'].slice(0, 1), { argv0: 'seen-in-arguments' });
    await until('a secret in arguments is found', () => own.found[0]);
    own.stop();
    child.kill();
  });
});
