/**
 * Three real controllers on a real etcd, over two real PostgreSQL servers: a region dies with its controller in it; and the controller that leads dies in the middle of a failover.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RegionName } from '../../examples/demo/region.ts';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type ProgramEnd, type RunningProgram, runHoldfast, startHoldfast, until, type Where } from './holdfast-program.ts';

const regions = ['us-east-1', 'us-west-2', 'eu-west-1'] as const;
type ControllerRegion = (typeof regions)[number];
const ttlMs = 3_000;
/** A busy machine may be late with anything. */
const slackMs = 2_000;

describeSystem(['postgresql', 'etcd', 'sshd'], 'three controllers', () => {
  let platform: TwoRegions;
  let etcd: RunningEtcd;
  const serving = new Map<ControllerRegion, RunningProgram>();

  const whereOf = (region: ControllerRegion): Where => ({
    specFile: join(platform.directory, 'fleet.yaml'),
    stateDirectory: join(platform.directory, `state-${region}`),
    env: { ...platform.env, HOLDFAST_REGION: region },
  });
  const start = (region: ControllerRegion) => {
    const serve = startHoldfast(whereOf(region), ['serve', '--region', region], { timeoutMs: 600_000 });
    serving.set(region, serve);
    return serve;
  };
  const ask = async (region: ControllerRegion, ...words: string[]): Promise<ProgramEnd['json']> =>
    (await runHoldfast(whereOf(region), words)).json;
  const kill = async (region: ControllerRegion) => {
    const serve = serving.get(region) as RunningProgram;
    serving.delete(region);
    serve.signal('SIGKILL');
    await serve.ended;
  };
  /** All that count, with one that leads, and a platform that would survive. */
  const settled = (from: ControllerRegion, count: number) =>
    until(
      `${count} controllers that agree`,
      async () => {
        const status = await ask(from, 'status');
        const counted = status?.fleet?.controllers.filter((each: { counted: boolean }) => each.counted).length;
        return counted === count && status.fleet.lead !== undefined && status.readiness.ready ? status : undefined;
      },
      90_000,
    );
  const revision = async () => Number(JSON.parse(await etcd.ctl('get', 'none', '-w', 'json')).header.revision);
  const endOf = (id: string, from: ControllerRegion) =>
    until(
      `${id} ends`,
      async () => {
        const execution = await ask(from, 'executions', id);
        return execution?.state?.outcome === undefined ? undefined : execution;
      },
      60_000,
    );
  const failoverSeenBy = (serve: RunningProgram) =>
    serve.events.find((event) => event.event === 'execution' && String(event.id).startsWith('failover'))?.id as string | undefined;
  const isPrimary = async (region: RegionName) =>
    (await platform.regions[region].database.query('SELECT pg_is_in_recovery() AS standby'))[0]?.standby === false;

  beforeAll(async () => {
    [platform, etcd] = await Promise.all([startTwoRegions({ databaseOnly: true, grace: '500ms', coolDown: '1s' }), startEtcd()]);
    const text = (await readFile(platform.specFile, 'utf8')).replace(
      'us-west-2: { role: standby }',
      'us-west-2: { role: standby }\n  eu-west-1: { role: witness }',
    );
    await writeFile(
      join(platform.directory, 'fleet.yaml'),
      `${text}state: { etcd: { endpoints: ["${etcd.url}"], timeout: 5s } }\ncontrollers: { ttl: ${ttlMs}ms, renew-every: 500ms, regions: [${regions.join(', ')}], without-state: keep-serving }\n`,
    );
    for (const region of regions) {
      await mkdir(whereOf(region).stateDirectory, { recursive: true });
      start(region);
    }
  });
  afterAll(async () => {
    await Promise.all([...serving.values()].map((serve) => serve.stop()));
    await etcd?.stop();
    await platform?.stop();
  });

  it('agree, seen from each machine, and next to nothing is written', async () => {
    await settled('eu-west-1', 3);
    const before = await revision();
    const startedMs = performance.now();
    const allHealthy = regions.map(() => ({ 'us-east-1': 'healthy', 'us-west-2': 'healthy' }));
    const views = await until(
      'three views that agree',
      async () => {
        const asked = await Promise.all(regions.map((region) => ask(region, 'status')));
        const says = asked.map((view) => JSON.stringify(view?.fleet?.controllers.map((each: { says?: object }) => each.says)));
        return says.every((each) => each === JSON.stringify(allHealthy)) ? asked : undefined;
      },
      60_000,
    );
    expect(new Set(views.map((view) => view.fleet.lead)).size).toBe(1);
    expect(views.map((view) => view.fleet.view.region)).toEqual(regions);
    for (const view of views) expect(view.verdict).toMatchObject({ state: 'healthy', needed: 2 });
    const perSecond = ((await revision()) - before) / ((performance.now() - startedMs) / 1_000);
    // A canary each quarter of a second, and what a busy machine gives the controllers to say.
    expect(perSecond).toBeLessThan(8);
  });

  it('a second controller of a region is refused, by name', async () => {
    const second = await runHoldfast(whereOf('us-west-2'), ['serve', '--region', 'us-west-2']);
    expect(second.exitCode).toBe(1);
    expect(second.json.error).toMatchObject({
      code: 'REGION_CLAIMED',
      message: expect.stringMatching(/^us-west-2\/serve-\d+-[0-9a-f]{6} is the controller of us-west-2, since 20/),
    });
  });

  it('a controller of another spec is shown and not counted, and leads nobody anywhere', async () => {
    const specFile = join(platform.directory, 'other.yaml');
    const text = await readFile(join(platform.directory, 'fleet.yaml'), 'utf8');
    await writeFile(specFile, text.replace('grace: 500ms', 'grace: 600ms'));
    expect(await readFile(specFile, 'utf8')).not.toBe(text);
    await kill('eu-west-1');
    const stranger = startHoldfast({ ...whereOf('eu-west-1'), specFile }, ['serve', '--region', 'eu-west-1'], { timeoutMs: 600_000 });
    const status = await until(
      'it is told apart',
      async () => {
        const seen = await ask('us-east-1', 'status');
        const found = seen?.fleet?.controllers.find((each: { region: string }) => each.region === 'eu-west-1');
        return found?.counted === false && /spec/.test(JSON.stringify(found)) ? seen : undefined;
      },
      60_000,
    );
    expect(status.fleet.controllers.filter((each: { counted: boolean }) => each.counted)).toHaveLength(2);
    expect(status).toMatchObject({ activeRegion: 'us-east-1', epoch: 1 });
    await stranger.stop();
    start('eu-west-1');
    await settled('eu-west-1', 3);
    expect((await ask('us-east-1', 'executions')).executions).toEqual([]);
  });

  it('[S1-11] [S1-12] a region dies with its controller in it: the others see it, decide by majority, and fail over', async () => {
    await Promise.all([kill('us-east-1'), platform.kill('us-east-1')]);
    const id = await until('a failover', () => [...serving.values()].map(failoverSeenBy).find((each) => each !== undefined), 30_000);
    const execution = await endOf(id, 'eu-west-1');
    expect(execution.state.outcome).toBe('done');
    expect(execution.measured.byComponent).toMatchObject([{ component: 'orders-db', lostCanaries: 0, lossMeasured: true }]);
    const confirmed = execution.state.steps.find((step: { verb: string }) => step.verb === 'confirm-verdict');
    expect(confirmed.output.votes.filter((vote: string) => vote.includes('lost'))).toHaveLength(2);
    expect(await isPrimary('us-west-2')).toBe(true);
    await until('a status', async () => {
      const status = await ask('us-west-2', 'status');
      return status?.activeRegion === 'us-west-2' && status.epoch === 2 ? true : undefined;
    });
    console.info(`outage with the controller of the region killed as well: ${execution.measured.outageMs} ms`);
  });

  it('[S1-12] [X-02] the one that leads is killed in the middle of a failover: another goes on with the step in hand', async () => {
    await platform.revive('us-east-1');
    start('us-east-1');
    await until(
      're-protection',
      async () => ((await runHoldfast(whereOf('us-east-1'), ['reprotect', '--yes'])).exitCode === 0 ? true : undefined),
      60_000,
    );
    const { fleet } = await settled('eu-west-1', 3);
    const leads = String(fleet.lead).split('/')[0] as ControllerRegion;
    const lead = serving.get(leads) as RunningProgram;
    const known = new Set([...serving.values()].map(failoverSeenBy));
    await platform.kill('us-west-2');
    const isFailover = (event: { event: string; execution?: string }) =>
      event.event === 'journal' && String(event.execution).startsWith('failover') && !known.has(event.execution);
    const inHand = await until(
      'a step in hand',
      () =>
        lead.events.find(
          (event) => isFailover(event as never) && event.journal.type === 'step-intent' && event.journal.data.verb !== 'confirm-verdict',
        ),
      30_000,
    );
    await kill(leads);
    const killedAtMs = Date.now();
    const execution = await endOf(String(inHand.execution), regions.find((region) => region !== leads) as ControllerRegion);
    expect(execution.state.outcome).toBe('done');
    expect(await isPrimary('us-east-1')).toBe(true);
    const wentOn = execution.events.find((event: { type: string }) => event.type === 'runner-changed');
    expect(wentOn.data.holder.split('/')[0]).not.toBe(leads);
    expect(wentOn.atMs - killedAtMs).toBeLessThan(ttlMs + 1_000 + slackMs);
    console.info(`another went on after ${wentOn.atMs - killedAtMs} ms, with leases of ${ttlMs} ms`);
    const promotions = execution.events.filter(
      (event: { type: string; stepId?: string }) => event.type === 'step-applied' && event.stepId?.startsWith('promote'),
    );
    expect(promotions.length).toBeLessThanOrEqual(1);
  });
});
