import { afterEach, describe, expect, it } from 'vitest';
import { ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toySpecText } from '../../test/fakes/toy-platform.ts';
import { fail } from '../base/errors.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { listExecutions } from '../state/journal.ts';
import { readPlatformState } from '../state/platform-state.ts';
import { readDecisions } from './decisions.ts';

let platform: ToyPlatform;
afterEach(() => platform.close());

function start(failover?: string): ToyPlatform {
  platform = new ToyPlatform(toySpecText(failover));
  return platform;
}
const activeRegion = async () => (await readPlatformState(platform.state.open()))?.state.activeRegion;
const executions = () => listExecutions(platform.state.open());
const decisions = () => readDecisions(platform.state.open(), 50);
const underWayEnds = () => platform.until(async () => (await executions()).every((each) => each.endedAtMs !== undefined), 120_000);

describe('a controller that serves', () => {
  it('does nothing while all is well', async () => {
    start();
    const { said } = await platform.serve();
    await platform.host.clock.advance(30_000);
    expect(platform.world.effects).toEqual([]);
    expect(await executions()).toEqual([]);
    expect(said.at(-1)).toBe('hold: not-lost');
  });

  it('fails over once when the active region is lost for longer than the grace, and never twice', async () => {
    start();
    const { said } = await platform.serve();
    await platform.host.clock.advance(5_000);
    platform.world.kill('east');
    await platform.host.clock.advance(1_900);
    expect(platform.world.effects).toEqual([]);
    await platform.until(async () => (await activeRegion()) === 'west');
    await underWayEnds();
    expect(platform.world.writable('db')).toEqual(['west']);
    expect(platform.world.site('name', 'west').leadsTo).toBe('west');
    const order = ['fence db east', 'promote db west', 'route name west'].map((effect) => platform.world.effects.indexOf(effect));
    expect(order.every((place) => place >= 0)).toBe(true);
    expect(order).toEqual([...order].sort((left, right) => left - right));
    expect(await executions()).toMatchObject([{ kind: 'failover', status: 'done' }]);
    await platform.host.clock.advance(120_000);
    expect(await executions()).toHaveLength(1);
    expect(said.filter((each) => each.startsWith('act'))).toHaveLength(1);
  });

  it('a process that restarts within the grace is no disaster', async () => {
    start();
    await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    await platform.host.clock.advance(1_500);
    platform.world.revive('east');
    await platform.host.clock.advance(10_000);
    expect((await executions()).filter((each) => each.status !== 'aborted')).toEqual([]);
    expect(platform.world.effects).toEqual([]);
  });

  it('a region that falls silent is lost only after the failures and the grace', async () => {
    start();
    await platform.serve();
    await platform.host.clock.advance(3_000);
    for (const site of platform.world.sites.values()) if (site.region === 'east' && site.kind !== 'route') site.silent = true;
    await platform.host.clock.advance(1_100);
    expect(await executions()).toEqual([]);
    await platform.until(async () => (await activeRegion()) === 'west');
    expect(platform.world.writable('db')).toEqual(['west']);
  });

  it('waits out the cool-down after a change, also where the new region is lost too', async () => {
    start('{ automatic: true, grace: 1s, cool-down: 10m }');
    const { said } = await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    await platform.until(async () => (await activeRegion()) === 'west');
    await underWayEnds();
    platform.world.revive('east');
    platform.world.kill('west');
    await platform.host.clock.advance(60_000);
    expect(await executions()).toHaveLength(1);
    expect(said.at(-1)).toContain('cooling-down');
  });

  it('does not go to a target that is not ready, and says why', async () => {
    start();
    await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('west');
    await platform.host.clock.advance(1_000);
    platform.world.kill('east');
    await platform.host.clock.advance(20_000);
    expect(await executions()).toEqual([]);
    const [newest] = await decisions();
    expect(newest).toMatchObject({ act: false });
    expect(newest?.blocks.map((block) => block.code)).toContain('target-not-ready');
    expect(newest?.blocks.find((block) => block.code === 'target-not-ready')).toMatchObject({
      message: 'db in west is not up: connection refused by db',
      changesWhen: expect.stringContaining('Bring it up'),
    });
    // Up again, and without the rows that it has missed: nothing is promoted over them.
    platform.world.revive('west');
    await platform.host.clock.advance(5_000);
    expect((await decisions())[0]?.blocks.map((block) => block.code)).toEqual(['loss-over-budget']);
    expect(platform.world.effects).toEqual([]);
  });

  it('does not lose more than the budget by itself', async () => {
    start();
    for (const region of ['east', 'west']) platform.world.site('db', region).synchronous = false;
    await platform.serve();
    await platform.host.clock.advance(3_000);
    // The link is cut: the standby keeps the row that it has, and the primary goes on.
    platform.world.site('db', 'west').follows = 'nowhere';
    await platform.host.clock.advance(5_000);
    platform.world.kill('east');
    await platform.host.clock.advance(20_000);
    expect(await executions()).toEqual([]);
    expect((await decisions())[0]?.blocks.map((block) => block.code)).toContain('loss-over-budget');
    expect(platform.world.effects).toEqual([]);
  });

  it('does nothing by itself where the spec does not allow it', async () => {
    start('{ automatic: false, grace: 1s }');
    await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    await platform.host.clock.advance(20_000);
    expect(await executions()).toEqual([]);
    expect((await decisions())[0]?.blocks.map((block) => block.code)).toEqual(['not-automatic']);
  });
});

describe('what a controller goes by', () => {
  it('not by what an earlier one has left: a region that was down then and is up now is not lost', async () => {
    start('{ automatic: false, grace: 1s }');
    const first = await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    await platform.host.clock.advance(10_000);
    await first.stop();
    platform.world.revive('east');
    await platform.host.clock.advance(3_600_000);
    const second = await platform.serve();
    const states: string[] = [];
    await platform.host.clock.advance(0);
    expect(second.control.watch.started).toBe(true);
    for (let turn = 0; turn < 40; turn += 1) {
      states.push((await second.control.verdict('east')).state);
      await platform.host.clock.advance(25);
    }
    expect(states).not.toContain('lost');
    expect(states).not.toContain('failing');
  });

  it('not by evidence from before a pause of the process', async () => {
    start();
    const { control } = await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    await platform.host.clock.advance(300);
    await control.watch.stop();
    platform.world.revive('east');
    await platform.host.clock.advance(60_000);
    expect((await control.verdict('east')).state).toBe('unknown');
    expect(await executions()).toEqual([]);
  });

  it('a jump of its clock blocks until evidence was taken anew', async () => {
    start('{ automatic: true, grace: 5s }');
    let jumpMs = 0;
    const { clock } = platform.host;
    const host = { ...platform.host, clock: { ...clock, nowMs: () => clock.nowMs() + jumpMs } };
    const { said } = await platform.serve({ host });
    await clock.advance(3_000);
    platform.world.kill('east');
    await clock.advance(500);
    jumpMs = 3_600_000;
    await clock.advance(2_000);
    expect(await executions()).toEqual([]);
    expect(said.some((each) => each.includes('clock-jumped'))).toBe(true);
    platform.world.revive('east');
    await clock.advance(30_000);
    expect(await executions()).toEqual([]);
  });

  it('a verdict that is withdrawn before anything was touched: aborted by itself', async () => {
    start();
    const { control, said } = await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    // The first look after the decision finds it up.
    const { probeNow } = control.watch;
    control.watch.probeNow = async (component, region) => {
      platform.world.revive('east');
      return probeNow.call(control.watch, component, region);
    };
    await platform.until(() => said.some((each) => each.startsWith('act')));
    await platform.host.clock.advance(20_000);
    expect(await executions()).toMatchObject([{ status: 'aborted' }]);
    expect(platform.world.effects).toEqual([]);
    expect((await readPlatformState(platform.state.open()))?.state).toMatchObject({ activeRegion: 'east', epoch: 1 });
    expect(said.at(-1)).toBe('hold: not-lost');
  });
});

describe('the death of a controller', () => {
  it('in the middle of a failover: the next one ends it, and each effect has happened once', async () => {
    start();
    const first = await platform.serve();
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    platform.world.beforeApply = async (what) => {
      if (what === 'promote db west' && !platform.world.effects.includes('killed')) {
        platform.world.effects.push('killed');
        first.kill();
        await new Promise(() => {});
      }
    };
    await platform.until(() => platform.world.effects.includes('killed'));
    expect(platform.world.writable('db')).toEqual([]);
    const second = await platform.serve();
    await platform.until(async () => (await activeRegion()) === 'west', 60_000);
    await underWayEnds();
    expect(await executions()).toMatchObject([{ kind: 'failover', status: 'done' }]);
    for (const effect of ['fence db east', 'promote db west', 'route name west'])
      expect(platform.world.effects.filter((each) => each === effect)).toHaveLength(1);
    expect(second.said).toContain('execution failover');
  });

  it.each(['confirm-verdict', 'check-target'])(
    '[X-02] within %s: the next one, which has seen nothing yet, ends that very failover instead of giving it up',
    async (step) => {
      start();
      let dead = false;
      const first = await platform.serve({
        wrap: (store) => ({
          ...store,
          watch: store.watch.bind(store),
          close: store.close.bind(store),
          commit: async (changes) => {
            if (JSON.stringify(changes).includes(`"step-intent","stepId":"${step}"`)) {
              await store.commit(changes);
              dead = true;
              first.kill();
              return new Promise<number>(() => {});
            }
            return store.commit(changes);
          },
        }),
      });
      await platform.host.clock.advance(3_000);
      platform.world.kill('east');
      await platform.until(() => dead);
      await platform.serve();
      await platform.until(async () => (await activeRegion()) === 'west', 60_000);
      await underWayEnds();
      expect(await executions()).toMatchObject([{ kind: 'failover', status: 'done' }]);
    },
  );

  it('two never serve at once: the second waits, then is told', async () => {
    start();
    await platform.serve();
    await platform.host.clock.advance(1_000);
    const second = await platform.serve();
    await platform.host.clock.advance(6_000);
    expect(await second.ended).toMatchObject({ code: 'STATE_LEASE_HELD' });
  });
});

describe('a state that can not be reached', () => {
  const broken =
    (isBroken: () => boolean) =>
    (store: StateStore): StateStore => {
      const guard =
        <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
        async (...args: A): Promise<R> => {
          if (isBroken()) throw fail('STATE_LOCKED', { message: 'the disk does not answer' });
          return call(...args);
        };
      return {
        ...store,
        get: guard((key) => store.get(key)),
        range: guard((prefix, options) => store.range(prefix, options)),
        commit: guard((changes) => store.commit(changes)),
        acquireLease: guard((name, holder, ttlMs) => store.acquireLease(name, holder, ttlMs)),
        renewLease: guard((lease) => store.renewLease(lease)),
        readLease: guard((name) => store.readLease(name)),
        watch: store.watch,
        releaseLease: store.releaseLease,
        close: store.close,
      };
    };

  it('ends nothing: nothing is started meanwhile, and afterwards it goes on', async () => {
    start();
    let isBroken = false;
    const { said } = await platform.serve({ wrap: broken(() => isBroken) });
    await platform.host.clock.advance(3_000);
    isBroken = true;
    platform.world.kill('east');
    await platform.host.clock.advance(20_000);
    expect(platform.world.effects).toEqual([]);
    expect(said.filter((each) => each.startsWith('act'))).toEqual([]);
    isBroken = false;
    await platform.until(async () => (await activeRegion()) === 'west', 20_000);
    expect(platform.world.writable('db')).toEqual(['west']);
  });
});
