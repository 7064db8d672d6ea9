import { afterEach, describe, expect, it } from 'vitest';
import {
  activeRegion,
  advance,
  allEnded,
  begin,
  cuts,
  executions,
  leader,
  platform,
  serve,
  startThree,
  store,
  ttlMs,
} from '../../../test/fakes/toy-fleet.ts';
import { toyFleetText } from '../../../test/fakes/toy-platform.ts';

afterEach(() => platform.close());

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
    begin();
    await serve('east');
    await advance(3_000);
    expect(await leader()).toBe('east');
    await serve('north');
    await advance(4_000);
    expect(await leader()).toBe('east');
    await platform.until(async () => (await leader()) === 'north', 60_000);
    const changes = new Set<number>();
    for (let turn = 0; turn < 60; turn += 1) {
      await advance(2_000);
      changes.add((await store().readLease('serve'))?.token ?? 0);
    }
    expect(changes.size).toBe(1);
  });

  it('one that is beside the target takes the lead over, and keeps it', async () => {
    await startThree();
    expect(await leader()).toBe('north');
    await platform.until(async () => (await leader()) === 'west', 60_000);
    const { token } = (await store().readLease('serve')) ?? {};
    await advance(120_000);
    expect(await store().readLease('serve')).toMatchObject({ holder: 'west/serve-3', token, held: true });
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
    begin();
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
