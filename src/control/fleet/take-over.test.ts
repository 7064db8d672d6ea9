import { afterEach, describe, expect, it } from 'vitest';
import type { ToyController } from '../../../test/fakes/toy-control.ts';
import {
  activeRegion,
  advance,
  allEnded,
  begin,
  cuts,
  executions,
  leader,
  once,
  platform,
  serve,
  startThree,
  store,
  ttlMs,
} from '../../../test/fakes/toy-fleet.ts';
import { toyFleetText } from '../../../test/fakes/toy-platform.ts';
import type { Step } from '../../plans/plan.ts';
import { loadExecution } from '../../state/journal.ts';
import { beginExecution } from '../executions.ts';
import { makePlan } from '../make-plan.ts';

afterEach(() => platform.close());

describe('an execution whose runner is gone', () => {
  it.each([
    ['the lead', 'north'],
    ['the lead, in the region that is gone', 'east'],
  ] as const)(
    '[S1-12] [X-02] %s dies in the middle of a failover: another goes on with the step in hand within the time of its lease and a second',
    async (_name, first) => {
      begin();
      const all = new Map<string, ToyController>();
      for (const region of [first, ...(['east', 'west', 'north'] as const).filter((each) => each !== first)])
        all.set(region, await serve(region));
      await advance(3_000);
      expect(await leader()).toBe(first);
      let killedAtMs: number | undefined;
      let wentOnAtMs: number | undefined;
      platform.world.beforeApply = async (what) => {
        if (what !== 'promote db west') return;
        if (killedAtMs !== undefined) {
          wentOnAtMs ??= platform.host.clock.nowMs();
          return;
        }
        killedAtMs = platform.host.clock.nowMs();
        const runner = (await store().readLease(`execution/${(await executions())[0]?.id}`))?.holder.split('/')[0] ?? '';
        all.get(runner)?.kill();
        await new Promise(() => {});
      };
      platform.world.kill('east');
      await platform.until(() => wentOnAtMs !== undefined, 60_000);
      expect((wentOnAtMs ?? 0) - (killedAtMs ?? 0)).toBeLessThanOrEqual(ttlMs + 1_000);
      await platform.until(async () => (await activeRegion()) === 'west', 60_000);
      await allEnded();
      expect(await executions()).toMatchObject([{ kind: 'failover', status: 'done' }]);
      for (const effect of ['fence db east', 'promote db west', 'route name west']) once(effect);
      expect(platform.world.writable('db')).toEqual(['west']);
    },
  );

  it('a runner dies before anything was fenced, and the region comes back: whoever goes on looks anew, and fences nothing', async () => {
    const three = await startThree();
    let dying = false;
    const unwatch = store().watch('', (event) => {
      const text = JSON.stringify(event);
      if (dying || !text.includes('step-intent') || !text.includes('advance-epoch')) return;
      dying = true;
      platform.world.revive('east');
      for (const region of ['west', 'north'] as const) three[region].kill();
    });
    platform.world.kill('east');
    await platform.until(() => dying, 60_000);
    unwatch();
    for (const region of ['west', 'north'] as const) await serve(region);
    await advance(60_000);
    expect(await executions()).toMatchObject([{ kind: 'failover', status: expect.stringMatching(/failed|aborted/) }]);
    expect(platform.world.effects.filter((effect) => /fence|promote/.test(effect))).toEqual([]);
    expect(platform.world.writable('db')).toEqual(['east']);
  });

  it('a runner that can not renew its lease stops before its next effect; the one in the region that is left behind waits longer than the others', async () => {
    await startThree();
    platform.world.beforeApply = async (what) => {
      if (what === 'promote db west' && !cuts.north.has('state')) {
        cuts.north.add('state');
        await platform.host.clock.sleep(ttlMs + 500);
      }
    };
    platform.world.kill('east');
    await platform.until(async () => (await activeRegion()) === 'west', 60_000);
    await allEnded();
    const [execution] = await executions();
    const { events } = await loadExecution(store(), execution?.id ?? '');
    const runners = events
      .filter((event) => event.type === 'started' || event.type === 'runner-changed')
      .map((event) => String(event.data.holder).split('/')[0]);
    expect(runners).toEqual(['north', 'west']);
    once('route name west');
  });
});

describe('local hands', () => {
  const withLocalHands = () =>
    toyFleetText()
      .replace('driver: toy-workload', 'driver: toy-program')
      .replace(
        'needs: [db]\n    sites: { east: {}, west: {} }',
        'needs: [db]\n    sites: { east: { hands: local }, west: { hands: local } }',
      );
  const openHands = () =>
    ({ name: 'local', check: async () => {}, run: async () => ({ exitCode: 0, stdout: '', stderr: '' }), close: async () => {} }) as never;

  it('are those of the controller beside them: it alone runs what needs them, though another leads and makes the plan', async () => {
    begin(withLocalHands());
    const north = await serve('north', { openHands });
    const west = await serve('west', { openHands });
    const east = await serve('east', { openHands });
    await advance(3_000);
    expect(await leader()).toBe('north');
    expect(north.control.sites.get('api@west')?.verbs.scale).toBeUndefined();
    expect(west.control.sites.get('api@west')?.verbs.scale).toBeDefined();
    expect(west.control.sites.get('api@east')?.verbs.scale).toBeUndefined();
    expect(await north.control.checkHands()).toMatchObject([
      { component: 'api', region: 'east', severity: 'warning', message: expect.stringContaining('only beside the controller of east') },
      { component: 'api', region: 'west', severity: 'warning' },
    ]);
    expect(await west.control.checkHands()).toMatchObject([{ region: 'east' }]);
    east.kill();
    platform.world.kill('east');
    await platform.until(async () => (await activeRegion()) === 'west');
    await allEnded();
    const [execution] = await executions();
    const { events, state } = await loadExecution(store(), execution?.id ?? '');
    expect(state.outcome).toBe('done');
    expect(events.filter((event) => event.type === 'started').map((event) => String(event.data.holder).split('/')[0])).toEqual(['west']);
    once('scale api west');
  });

  it("of two regions are nobody's: such a plan is refused before anything begins", async () => {
    begin(withLocalHands());
    const { control } = await serve('north', { openHands });
    const made = await makePlan(control, { kind: 'switchover', because: 'a test' });
    const scale = made.steps.find((step) => step.verb === 'scale') as Step;
    const plan = {
      ...made,
      steps: [
        ...made.steps,
        { ...scale, id: 'scale there', region: scale.region === 'east' ? 'west' : 'east', onFailure: scale.onFailure },
      ],
    };
    const strict = { ...plan, steps: plan.steps.map((step) => ({ ...step, onFailure: 'stop' as const })) };
    await expect(beginExecution(control, strict, 'ann')).rejects.toMatchObject({
      code: 'PLAN_IMPOSSIBLE',
      message: expect.stringContaining('no controller has both'),
    });
    expect(await executions()).toEqual([]);
  });
});
