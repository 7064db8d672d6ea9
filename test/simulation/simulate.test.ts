/** The simulator itself: the same seed is the same run, 200 disasters are survived, and mistakes put in on purpose are found. */
import { describe, expect, it } from 'vitest';
import { runDisaster } from './disaster.ts';
import { keptSeeds } from './kept-seeds.ts';
import { describeFailure, simulate, simulateInProcesses } from './simulate.ts';

const seeds = Array.from({ length: 200 }, (_, place) => place + 1);

describe('the simulator', () => {
  it('plays the same seed again event by event, and another seed otherwise', async () => {
    const digests = async () => {
      const found: string[] = [];
      for (const seed of seeds.slice(0, 12)) found.push((await runDisaster(seed)).digest);
      return found;
    };
    const first = await digests();
    expect(await digests()).toEqual(first);
    expect(new Set(first).size).toBe(first.length);
  });

  it.each(keptSeeds)('seed $seed: $story', async ({ seed, regions }) => {
    const { violations, converged, story } = await runDisaster(seed, regions);
    expect(violations, story.join('\n')).toEqual([]);
    expect(converged).toBe(true);
  });

  it('[I1] [I2] [I3] [I4] [I8] survives 200 disasters, and they are disasters', async () => {
    const failures: string[] = [];
    const summary = await simulate(seeds, (result) => void failures.push(describeFailure(result, 'here')));
    expect(failures.join('')).toBe('');
    expect(summary).toMatchObject({ disasters: 200, violations: 0, converged: 200 });
    expect(summary.failovers).toBeGreaterThan(70);
    expect(summary.controllerDeaths).toBeGreaterThan(100);
  });

  it('[S5-19] [I1] [I2] [I3] [I4] [I8] three regions with a controller and a guard each survive disasters too', async () => {
    const failures: string[] = [];
    const summary = await simulate(seeds.slice(0, 20), (result) => void failures.push(describeFailure(result, 'here', 3)), 3);
    expect(failures.join('')).toBe('');
    expect(summary).toMatchObject({ disasters: 20, violations: 0, converged: 20 });
    expect(summary.failovers).toBeGreaterThan(5);
    expect(summary.controllerDeaths).toBeGreaterThan(15);
  });

  it('comes to the same in two processes, whoever plays which seed', async () => {
    const few = seeds.slice(0, 60);
    const { perMinute: _one, ...alone } = await simulate(few);
    const { perMinute: _two, ...together } = await simulateInProcesses(few, 2);
    expect(together).toEqual(alone);
  });

  it('says how a failure is seen again', () => {
    expect(describeFailure({ seed: 7, violations: [{ invariant: 'I1', atMs: 12, message: 'two primaries' }] }, 'abc1234')).toBe(
      'seed 7, commit abc1234: I1 at 12 ms: two primaries\n  npm run simulate -- --seed 7\n',
    );
  });
});
