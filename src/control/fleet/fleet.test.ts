import { afterEach, describe, expect, it } from 'vitest';
import {
  activeRegion,
  advance,
  allEnded,
  begin,
  cuts,
  executions,
  full,
  leader,
  once,
  platform,
  serve,
  silence,
  startThree,
  store,
  ttlMs,
} from '../../../test/fakes/toy-fleet.ts';
import { toyFleetText } from '../../../test/fakes/toy-platform.ts';
import { readDecisions } from '../decisions.ts';
import { readOpinions } from './opinion-records.ts';

afterEach(() => platform.close());

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
    begin();
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
