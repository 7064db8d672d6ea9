import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { holdfast, type RunParts } from '../../test/fakes/toy-command-line.ts';
import { type ToyController, ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toyFleetText, toySpecText } from '../../test/fakes/toy-platform.ts';
import { fail } from '../base/errors.ts';
import { readLastKnown } from '../control/fleet/last-known.ts';

let platform: ToyPlatform;
const controllers = new Map<string, ToyController>();
beforeEach(async () => {
  platform = new ToyPlatform(toyFleetText());
  for (const region of ['north', 'east', 'west']) controllers.set(region, await platform.serve({ region, version: '9.9.9' }));
  await platform.host.clock.advance(4_000);
});
afterEach(() => platform.close());

const run = (line: string, parts: RunParts = {}) => holdfast(platform, line.split(' '), parts);
/** No member of etcd can be reached from the machine of the west, whose controller keeps this directory. */
const cutOff = {
  openStore: async () => {
    throw fail('STATE_UNREACHABLE', { message: 'none of 3 members answers' });
  },
  environment: { HOLDFAST_REGION: 'west' },
};

describe('status, check and why with several controllers', () => {
  it('say who is there, who leads, what each says, and from where it is seen', async () => {
    const { out, code } = await run('status', { environment: { HOLDFAST_REGION: 'west' } });
    expect(code).toBe(0);
    expect(out).toContain('seen from west by west/command-');
    expect(out).toContain('controllers (2 of 3 make a majority):');
    expect(out).toMatch(/north {2}north\/serve-1 leads {2}east healthy, west healthy {2}version 9\.9\.9, spec [0-9a-f]{8}/);
    expect(out).toMatch(/east {2}east\/serve-2 {2}east healthy, west healthy/);
    const json = (await run('status --json --region west')).json();
    expect(json.fleet).toMatchObject({
      needed: 2,
      lead: 'north/serve-1',
      view: { region: 'west' },
      controllers: [
        { region: 'east', present: true, counted: true, leads: false, version: '9.9.9', says: { east: 'healthy' } },
        { region: 'west', present: true, counted: true, faults: { west: [] } },
        { region: 'north', present: true, leads: true },
      ],
      faults: [],
    });
    expect((await run('check')).out).toContain('north/serve-1 leads');
    const why = await run('why');
    expect(why.out).toContain('east is healthy; 2 votes for lost needed');
    expect(why.out).toContain('west/serve-3 says healthy');
    expect((await run('why --json')).json().fleet).toMatchObject({ lead: 'north/serve-1' });
  });

  it('name what is wrong with the controllers: one that is gone, one of another version, too few for a majority', async () => {
    controllers.get('east')?.kill();
    await platform.host.clock.advance(6_000);
    const one = await run('check');
    expect(one.out).toContain('the controller of east is not there: it is gone');
    expect(one.out).toContain('holdfast serve --region east');
    expect(one.code).toBe(0);
    controllers.get('west')?.kill();
    await platform.host.clock.advance(6_000);
    await platform.serve({ region: 'west', version: '3.1.0' });
    await platform.host.clock.advance(3_000);
    const two = await run('check');
    expect(two.code).toBe(3);
    expect(two.out).toContain('1 of 3 controllers count, and a majority is 2: no failover can start by itself');
    expect(two.out).toMatch(/what west\/serve-4 says does not count here: it is version 3\.1\.0, here is 9\.9\.9/);
    expect((await run('why')).out).toContain('which does not count: it is version 3.1.0, here is 9.9.9');
    expect((await run('status')).code).toBe(3);
  });
});

describe('a machine that can not reach the state', () => {
  it('[X-01] shows its own view, says so plainly, says how old the rest is, and starts nothing', async () => {
    const directory = '/state/west';
    expect(await readLastKnown(platform.host.files, `${directory}/last-known.json`, 'toy')).toMatchObject({ region: 'west' });
    await platform.host.clock.advance(20_000);
    const status = await run(`status --state ${directory}`, cutOff);
    expect(status.code).toBe(3);
    expect(status.out).toMatch(/^CUT OFF: this is this machine's own view; what it knows of the state is of 20\S+Z, [\d.]+ (ms|s) ago$/m);
    expect(status.out).toContain('cut off: the state can not be reached from here (none of 3 members answers)');
    expect(status.out).toMatch(/db +east \* +up +primary/);
    const json = (await run(`status --json --state ${directory}`, cutOff)).json();
    expect(json).toMatchObject({
      activeRegion: 'east',
      epoch: 1,
      verdict: { state: 'unknown' },
      fleet: { cutOff: { message: 'none of 3 members answers', asOfMs: expect.any(Number) }, view: { region: 'west' } },
    });
    const check = await run(`check --state ${directory}`, cutOff);
    expect(check).toMatchObject({ code: 3, out: expect.stringContaining('CUT OFF') });
    const why = await run(`why --state ${directory}`, cutOff);
    expect(why.out).toContain("which does not count: this machine's own view");
    expect(why.out).toContain('nobody can be asked');
    for (const line of ['plan failover', 'executions'])
      expect(await run(`${line} --state ${directory}`, cutOff), line).toMatchObject({
        code: 1,
        err: expect.stringContaining('STATE_UNREACHABLE'),
      });
    const failover = await run(`failover --yes --state ${directory}`, cutOff);
    expect(failover).toMatchObject({ code: 1, err: expect.stringContaining('STATE_UNREACHABLE') });
    expect(platform.world.effects).toEqual([]);
  });

  it('where nothing was ever known, the spec is all there is, and that is said', async () => {
    const { out } = await run('status --state /elsewhere', cutOff);
    expect(out).toContain('nothing is known here of the state');
    expect(out).toContain('epoch 0');
  });

  it('an answer of the state is no silence: it is shown as it is', async () => {
    const openStore = async () => {
      throw fail('STATE_OTHER_PLATFORM', { message: 'the state belongs to "other"' });
    };
    expect(await run('status', { openStore })).toMatchObject({ code: 1, err: expect.stringContaining('STATE_OTHER_PLATFORM') });
  });
});

describe('a change by hand where hands are local to another controller', () => {
  it('is run by that controller, and followed from here', async () => {
    const text = toyFleetText()
      .replace('driver: toy-workload', 'driver: toy-program')
      .replace('needs: [db]\n    sites: { east: {}, west: {} }', 'needs: [db]\n    sites: { east: {}, west: { hands: local } }');
    for (const controller of controllers.values()) await controller.stop();
    platform = new ToyPlatform(text);
    const openHands = () => ({ name: 'local', check: async () => {}, close: async () => {} }) as never;
    for (const region of ['north', 'east', 'west']) await platform.serve({ region, version: '9.9.9', openHands });
    await platform.host.clock.advance(4_000);
    const { code, out } = await run('failover --yes', { environment: { HOLDFAST_REGION: 'north' } });
    expect(out).toContain('it takes the hands of west: the controller there runs it; following');
    expect(code).toBe(0);
    expect(platform.world.effects).toContain('scale api west');
    expect(platform.world.writable('db')).toEqual(['west']);
  });
});

describe('serve --region', () => {
  it.each([
    ['serve', 2, /REGION_NEEDED[\s\S]*controllers in east, west, north[\s\S]*--region east/],
    ['serve --region eats', 2, /NOT_FOUND[\s\S]*no region "eats"[\s\S]*Did you mean "east"/],
    ['serve --region west', 1, /REGION_CLAIMED[\s\S]*west\/serve-3 is the controller of west, since 20/],
  ])('%s: refused, with a word on what to do', async (line, code, words) => {
    const ended = await run(line);
    expect(ended.err).toMatch(words);
    expect(ended.code).toBe(code);
  });

  it('means nothing where there is one controller, and says so', async () => {
    await platform.host.files.writeAtomically('alone.yaml', toySpecText());
    expect(await run('serve --region east --spec alone.yaml')).toMatchObject({ code: 2, err: expect.stringContaining('one controller') });
  });
});
