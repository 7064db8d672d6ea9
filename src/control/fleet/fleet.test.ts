import { afterEach, describe, expect, it } from 'vitest';
import { type ToyController, ToyPlatform } from '../../../test/fakes/toy-control.ts';
import { toyFleetText } from '../../../test/fakes/toy-platform.ts';
import { fail } from '../../base/errors.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Step } from '../../plans/plan.ts';
import { listExecutions, loadExecution } from '../../state/journal.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { readDecisions } from '../decisions.ts';
import { beginExecution } from '../executions.ts';
import { makePlan } from '../make-plan.ts';
import { readOpinions } from './opinion-records.ts';

const ttlMs = 5_000;
let platform: ToyPlatform;
afterEach(() => platform.close());

interface Three {
  readonly east: ToyController;
  readonly west: ToyController;
  readonly north: ToyController;
}

/** What a controller can't get to, by its region; the state is a place of its own. */
const full = new Set<string>();
const cuts = { east: new Set<string>(), west: new Set<string>(), north: new Set<string>() };

async function serve(region: keyof Three, parts: Parameters<ToyPlatform['serve']>[0] = {}): Promise<ToyController> {
  return platform.serve({
    region,
    cannotReach: (other) => cuts[region].has(other),
    wrap: (state) =>
      cutOff(
        state,
        () => cuts[region].has('state'),
        () => full.has(region),
      ),
    ...parts,
  });
}

async function startThree(failover = '{ automatic: true, grace: 2s }', rest?: string): Promise<Three> {
  for (const cut of Object.values(cuts)) cut.clear();
  platform = new ToyPlatform(toyFleetText(failover, rest));
  const north = await serve('north');
  const east = await serve('east');
  const west = await serve('west');
  await platform.host.clock.advance(3_000);
  return { north, east, west };
}

function cutOff(state: StateStore, isCut: () => boolean, isFull: () => boolean): StateStore {
  const guard =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (isCut()) throw fail('STATE_UNREACHABLE', { message: 'no member of etcd answers' });
      return call(...args);
    };
  return {
    get: guard((key) => state.get(key)),
    range: guard((prefix, options) => state.range(prefix, options)),
    commit: guard(async (changes) => {
      if (isFull()) throw fail('STATE_FULL', { message: 'no space' });
      return state.commit(changes);
    }),
    watch: (prefix, listener, options) => state.watch(prefix, (event) => !isCut() && listener(event), options),
    acquireLease: guard((name, holder, ttl) => state.acquireLease(name, holder, ttl)),
    renewLease: guard((lease) => state.renewLease(lease)),
    releaseLease: guard((lease) => state.releaseLease(lease)),
    readLease: guard((name) => state.readLease(name)),
    close: () => state.close(),
  };
}

const store = () => platform.state.open();
const advance = (durationMs: number) => platform.host.clock.advance(durationMs);
const activeRegion = async () => (await readPlatformState(store()))?.state.activeRegion;
const executions = () => listExecutions(store());
const leader = async () => {
  const lease = await store().readLease('serve');
  return lease?.held ? lease.holder.split('/')[0] : undefined;
};
const allEnded = () => platform.until(async () => (await executions()).every((each) => each.endedAtMs !== undefined), 120_000);
const once = (effect: string) => expect(platform.world.effects.filter((each) => each === effect)).toEqual([effect]);
const silence = (region: string, silent = true) => {
  for (const site of platform.world.sites.values()) if (site.region === region && site.kind !== 'route') site.silent = silent;
};

describe('three controllers', () => {
  it('say what they see, each once, and nothing is written merely because time passes', async () => {
    await startThree();
    const opinions = await readOpinions(store());
    expect([...opinions.keys()].sort()).toEqual(['east', 'north', 'west']);
    for (const opinion of opinions.values())
      expect(opinion).toMatchObject({ votes: { east: { says: 'healthy' }, west: { says: 'healthy' } }, faults: { west: [] } });
    const before = (await store().range('opinions/')).map((entry) => entry.revision);
    await advance(60_000);
    expect((await store().range('opinions/')).map((entry) => entry.revision)).toEqual(before);
    expect(await leader()).toBe('north');
    expect(await executions()).toEqual([]);
  });

  it('[S1-11] [S5-19] a region that two of three have lost is failed over, with the controller in it gone too', async () => {
    const { north, east, west } = await startThree();
    east.kill();
    platform.world.kill('east');
    await platform.until(async () => (await activeRegion()) === 'west');
    await allEnded();
    expect(platform.world.writable('db')).toEqual(['west']);
    expect(await executions()).toMatchObject([{ kind: 'failover', status: 'done' }]);
    for (const effect of ['fence db east', 'promote db west', 'route name west']) once(effect);
    expect((await west.control.verdict('east')).votes).toContainEqual(
      expect.objectContaining({ says: 'lost', controller: expect.stringContaining('west/') }),
    );
    expect(north.said.filter((each) => each.startsWith('act'))).toHaveLength(1);
  });

  it('[X-01] [E5-04] [E3-01] one that alone can not reach a region, even the lead, moves nothing', async () => {
    await startThree();
    cuts.north.add('east');
    await advance(60_000);
    expect((await readOpinions(store())).get('north')?.votes.east).toMatchObject({ says: 'lost' });
    expect(await executions()).toEqual([]);
    expect(platform.world.effects).toEqual([]);
    expect((await readDecisions(store(), 1))[0]).toMatchObject({ act: false, verdict: { state: 'healthy', needed: 2 } });
  });

  it('one that nothing answers takes itself to be cut off, and says nothing rather than lost', async () => {
    await startThree();
    for (const region of ['east', 'west']) cuts.north.add(region);
    await advance(20_000);
    expect((await readOpinions(store())).get('north')?.votes).toMatchObject({ east: { says: 'unknown' }, west: { says: 'unknown' } });
    expect((await readOpinions(store())).get('north')?.votes.east?.because[0]).toContain('cut off');
    cuts.north.clear();
    await advance(3_000);
    expect((await readOpinions(store())).get('north')?.votes).toMatchObject({ east: { says: 'healthy' } });
    expect(await executions()).toEqual([]);
  });

  it('[E3-01] with one gone it takes the other two, and with two gone nothing happens', async () => {
    const { west, north } = await startThree();
    west.kill();
    await advance(ttlMs + 1_000);
    cuts.north.add('east');
    await advance(30_000);
    expect(await executions()).toEqual([]);
    cuts.north.clear();
    await advance(5_000);
    silence('east');
    // East is silent for north and for its own controller: both of the two that are left.
    await platform.until(async () => (await activeRegion()) === 'west');
    await allEnded();
    expect((await north.control.verdict('east')).votes).toContainEqual(
      expect.objectContaining({ controller: expect.stringContaining('west/'), notCounted: 'it is gone' }),
    );
  });

  it('a word counts only as long as its author is there: a dead one that last said lost is no vote', async () => {
    const { west, north } = await startThree('{ automatic: true, grace: 2s, cool-down: 10m }');
    // West sees east as lost and dies with that word; then north loses sight of east too.
    cuts.west.add('east');
    await platform.until(async () => (await readOpinions(store())).get('west')?.votes.east?.says === 'lost');
    west.kill();
    await advance(ttlMs + 1_000);
    cuts.north.add('east');
    await advance(30_000);
    expect((await readOpinions(store())).get('west')?.votes.east?.says).toBe('lost');
    expect((await north.control.verdict('east')).state).not.toBe('lost');
    expect(await executions()).toEqual([]);
  });

  it('one that can not take a word back gives its presence up, so that the word counts no more', async () => {
    const { north } = await startThree();
    cuts.west.add('east');
    await platform.until(async () => (await readOpinions(store())).get('west')?.votes.east?.says === 'lost');
    // From here on nothing that west says is taken, though its leases are renewed: a full etcd does that.
    full.add('west');
    cuts.west.clear();
    await advance(ttlMs + 1_000);
    expect((await readOpinions(store())).get('west')?.votes.east?.says).toBe('lost');
    const vote = (await north.control.verdict('east')).votes.find((each) => each.controller.startsWith('west/'));
    expect(vote?.notCounted).toBeDefined();
    full.clear();
    await advance(3_000);
    expect((await north.control.verdict('east')).votes.map((each) => [each.says, each.notCounted])).toEqual([
      ['healthy', undefined],
      ['healthy', undefined],
      ['healthy', undefined],
    ]);
  });
});

describe('who leads', () => {
  it('another goes on within the time of a lease and a second, and hands nothing back to a region that is active', async () => {
    const { north } = await startThree();
    expect(await leader()).toBe('north');
    north.kill();
    let goneMs = 0;
    while ((await leader()) === undefined || (await leader()) === 'north') {
      await advance(50);
      goneMs += 50;
    }
    expect(goneMs).toBeLessThanOrEqual(ttlMs + 1_000);
    expect(await leader()).toBe('west');
    await advance(120_000);
    expect(await leader()).toBe('west');
  });

  it('one in the active region steps down once another has been there for a while, and only once', async () => {
    for (const cut of Object.values(cuts)) cut.clear();
    platform = new ToyPlatform(toyFleetText());
    await serve('east');
    await advance(3_000);
    expect(await leader()).toBe('east');
    await serve('north');
    await advance(10_000);
    expect(await leader()).toBe('east');
    await platform.until(async () => (await leader()) === 'north', 60_000);
    const changes = new Set<number>();
    for (let turn = 0; turn < 60; turn += 1) {
      await advance(2_000);
      changes.add((await store().readLease('serve'))?.token ?? 0);
    }
    expect(changes.size).toBe(1);
  });

  it('one that can not reach the target leaves the lead to one that can, and the failover happens', async () => {
    const { north } = await startThree();
    cuts.north.add('west');
    await advance(10_000);
    expect(await leader()).toBe('north');
    platform.world.kill('east');
    await platform.until(async () => (await activeRegion()) === 'west', 30_000);
    await allEnded();
    expect((await executions())[0]?.startedBy).toBe('west/serve-3');
    expect(north.said.filter((each) => each.startsWith('act'))).toEqual([]);
    expect(north.said.some((each) => each.includes('target-not-ready'))).toBe(true);
  });

  it('one of another spec leaves it to those who agree with each other', async () => {
    for (const cut of Object.values(cuts)) cut.clear();
    platform = new ToyPlatform(toyFleetText());
    await platform.host.files.writeAtomically('other.yaml', toyFleetText('{ automatic: true, grace: 3s }'));
    await serve('north', { specFile: 'other.yaml' });
    await advance(2_000);
    expect(await leader()).toBe('north');
    await serve('west');
    await serve('east');
    await platform.until(async () => (await leader()) === 'west', 20_000);
    platform.world.kill('east');
    await platform.until(async () => (await activeRegion()) === 'west', 30_000);
  });

  it('canaries go on under the next one, with numbers above those of the last', async () => {
    const { north, west } = await startThree();
    await advance(10_000);
    const before = platform.world.site('db', 'east').row?.number ?? 0;
    north.kill();
    await advance(ttlMs + 10_000);
    const after = platform.world.site('db', 'east').row?.number ?? 0;
    expect(after).toBeGreaterThan(before + 5);
    expect(west.control.watch.canaries.get('db')?.newest.number).toBe(after);
  });
});

describe('an execution whose runner is gone', () => {
  it.each([
    ['the lead', 'north'],
    ['the lead, in the region that is gone', 'east'],
  ] as const)(
    '[S1-12] [X-02] %s dies in the middle of a failover: another goes on with the step in hand within the time of its lease and a second',
    async (_name, first) => {
      for (const cut of Object.values(cuts)) cut.clear();
      platform = new ToyPlatform(toyFleetText());
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
    for (const cut of Object.values(cuts)) cut.clear();
    platform = new ToyPlatform(withLocalHands());
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
    for (const cut of Object.values(cuts)) cut.clear();
    platform = new ToyPlatform(withLocalHands());
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

describe('what a controller refuses', () => {
  it('a region that another has: named, with who and since when', async () => {
    await startThree();
    const second = await serve('west');
    await advance(2 * ttlMs + 1_000);
    expect(await second.ended).toMatchObject({
      code: 'REGION_CLAIMED',
      subject: 'west',
      message: expect.stringMatching(/^west\/serve-3 is the controller of west, since \d{4}-/),
    });
    expect((await readOpinions(store())).get('west')?.controller).toBe('west/serve-3');
  });

  it('the word of one with another spec or another version: shown, and not counted', async () => {
    for (const cut of Object.values(cuts)) cut.clear();
    platform = new ToyPlatform(toyFleetText());
    await platform.host.files.writeAtomically('other.yaml', toyFleetText('{ automatic: true, grace: 3s }'));
    const north = await serve('north');
    await serve('east', { version: '2.0.0' });
    await serve('west', { specFile: 'other.yaml' });
    await advance(3_000);
    platform.world.kill('east');
    await advance(60_000);
    expect(await executions()).toEqual([]);
    expect(platform.world.effects).toEqual([]);
    const { votes, state } = await north.control.verdict('east');
    expect(state).toBe('failing');
    expect(votes.map((vote) => [vote.controller.split('/')[0], vote.says, vote.notCounted])).toEqual([
      ['east', 'lost', 'it is version 2.0.0, here is 1.0.0'],
      ['west', 'lost', expect.stringMatching(/^it works from another spec/)],
      ['north', 'lost', undefined],
    ]);
  });
});

describe('a state that can not be reached', () => {
  it('[X-01] by one: it starts nothing, goes on watching, and the others lead', async () => {
    const { north } = await startThree();
    cuts.north.add('state');
    await advance(ttlMs + 1_000);
    expect(await leader()).toBe('west');
    const before = platform.world.site('db', 'east').row?.number ?? 0;
    await advance(3_000);
    expect(platform.world.site('db', 'east').row?.number).toBeGreaterThan(before);
    expect(north.control.watch.observations.get('db@east')?.health).toBe('up');
    expect(platform.host.logLines.some((line) => line.event === 'serve.turn-failed')).toBe(true);
    cuts.north.clear();
    await advance(5_000);
    expect((await north.control.fleet?.read())?.members.map((member) => member.notCounted)).toEqual([undefined, undefined, undefined]);
  });

  it('[X-01] by all of them: a region that is lost stays lost, and is failed over once the state is back', async () => {
    await startThree();
    for (const cut of Object.values(cuts)) cut.add('state');
    platform.world.kill('east');
    await advance(30_000);
    expect(platform.world.effects).toEqual([]);
    for (const cut of Object.values(cuts)) cut.clear();
    await platform.until(async () => (await activeRegion()) === 'west', 40_000);
    await allEnded();
    expect(platform.world.writable('db')).toEqual(['west']);
  });
});
