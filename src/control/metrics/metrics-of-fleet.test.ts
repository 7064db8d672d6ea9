import { afterEach, describe, expect, it } from 'vitest';
import { advance, cuts, platform, startThree } from '../../../test/fakes/toy-fleet.ts';
import { MetricsReader } from './metrics-reader.ts';

afterEach(() => platform.close());

describe('metrics of one controller of three', () => {
  const told = async (reader: MetricsReader, name: string) =>
    (await reader.read())
      .filter((sample) => sample.name === name)
      .map(({ labels, value }) => [Object.values(labels)[0]?.split('/')[0], value]);

  it('[S1-06] each tells of all, one of them leads; one that is cut off from the state says so, and still tells what it sees', async () => {
    const { east, north } = await startThree();
    const [ofEast, ofNorth] = [new MetricsReader(east.control, { version: '1' }), new MetricsReader(north.control, { version: '1' })];
    const sorted = (found: readonly (readonly unknown[])[]) => found.map(String).sort();
    expect(sorted(await told(ofEast, 'holdfast_controller_up'))).toEqual(['east,1', 'north,1', 'west,1']);
    expect(sorted(await told(ofEast, 'holdfast_controller_leads'))).toEqual(['east,0', 'north,1', 'west,0']);
    cuts.north.add('state');
    await advance(10_000);
    const asking = ofNorth.read();
    await advance(3_000);
    const cut = await asking;
    expect(cut.find(({ name }) => name === 'holdfast_state_readable')?.value).toBe(0);
    expect(cut.some(({ name }) => name === 'holdfast_controller_up')).toBe(false);
    expect(cut.filter(({ name, value }) => name === 'holdfast_site_up' && value === 1).length).toBeGreaterThan(0);
    expect(sorted(await told(ofEast, 'holdfast_controller_up'))).toEqual(['east,1', 'north,0', 'west,1']);
    expect((await told(ofEast, 'holdfast_controller_leads')).filter(([, leads]) => leads === 1)).toHaveLength(1);
  });
});
