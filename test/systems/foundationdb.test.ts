/** The stand-in for FoundationDB's programs refuses what the real ones refuse, as a person would type it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FoundationDbStandIn, startFoundationDb } from './foundationdb/foundationdb.ts';

describe('the programs of FoundationDB (stand-in)', () => {
  let fdb: FoundationDbStandIn;
  beforeEach(async () => {
    fdb = await startFoundationDb();
  });
  afterEach(() => fdb.stop());
  const cli = (exec: string, ...more: string[]) =>
    fdb.call('fdbcli', '-C', fdb.clusterFile('west'), '--timeout', '1', '--exec', exec, ...more);
  const backup = (...args: string[]) => fdb.call('fdbbackup', ...args);
  const file = () => fdb.clusterFile('west');
  const place = (name: string) => `file://${fdb.directory}/${name}`;
  const regions = async (...priorities: number[]) => {
    const { regions: now } = await fdb.state();
    for (const [index, priority] of priorities.entries()) Object.assign(now[index]?.datacenters[0] as object, { priority });
    return JSON.stringify({ regions: now });
  };
  const fileconfigure = async (text: string) => {
    const { writeFile } = await import('node:fs/promises');
    await writeFile(`${fdb.directory}/wanted.json`, text);
    return await cli(`fileconfigure ${fdb.directory}/wanted.json`);
  };

  it('[X-10, E1-01] a forced recovery without a data centre is refused, and one of a database that can commit does nothing', async () => {
    await fdb.change(
      (state) => void Object.assign(state.dcs, { east: { up: false, processes: 3 }, 'east-sat': { up: false, processes: 1 } }),
    );
    const bare = await cli('force_recovery_with_data_loss');
    expect(bare).toMatchObject({ code: 1, output: expect.stringContaining('Usage: force_recovery_with_data_loss <DCID>') });
    expect((await fdb.state()).active).toBe('east');
    expect(await cli('force_recovery_with_data_loss west')).toMatchObject({ code: 0 });
    expect(await fdb.state()).toMatchObject({ active: 'west', usable_regions: 1 });
    const { generation } = await fdb.state();
    await cli('force_recovery_with_data_loss east');
    expect(await fdb.state()).toMatchObject({ active: 'west', generation });
  });

  it('a forced recovery without a majority of the coordinators does not end by itself', async () => {
    await fdb.change((state) => {
      for (const dc of ['east', 'third']) Object.assign(state.dcs[dc] as object, { up: false });
    });
    expect(await cli('force_recovery_with_data_loss west')).toMatchObject({ code: 1, output: expect.stringContaining('timeout reached') });
  });

  it('[X-10, E1-11] fdbbackup status has no -d, and the restore that names no container is refused', async () => {
    const url = place('backup/inferadb');
    expect(await backup('start', '-C', file(), '-d', url, '-z')).toMatchObject({ code: 0 });
    expect(await backup('status', '-d', url)).toMatchObject({ code: 1, output: expect.stringContaining('unrecognized option -d') });
    expect(await fdb.call('fdbrestore', 'start', '-r', url, '--dest-cluster-file', file())).toMatchObject({
      code: 1,
      output: expect.stringContaining('Backup URL does not exist'),
    });
  });

  it('[S1-41] a second start under one tag is refused', async () => {
    expect(await backup('start', '-C', file(), '-t', 'a', '-d', place('one'), '-z')).toMatchObject({ code: 0 });
    expect(await backup('start', '-C', file(), '-t', 'a', '-d', place('two'), '-z')).toMatchObject({
      code: 1,
      output: expect.stringContaining('already running'),
    });
  });

  it('[E1-06] the status in words says "Healthy" whatever is so', async () => {
    await fdb.change((state) => void Object.assign(state, { copied: { east: 9, west: 0 }, copy_looks: 9 }));
    expect((await cli('status')).output).toContain('Healthy');
    expect(JSON.parse((await cli('status json')).output)).toMatchObject({ cluster: { full_replication: false } });
  });

  it.each([
    ['an unknown command', 'promote west'],
    ['a write without writemode', 'set a b'],
    ['usable_regions without a number', 'configure usable_regions'],
    ['a change of usable_regions while two regions may be active', 'configure usable_regions=1'],
    ['a file that is not there', 'fileconfigure /no/such/file'],
    ['an unlock without a terminal', 'unlock abc'],
    ['status of another kind', 'status yaml'],
  ])('refuses %s', async (_, exec) => {
    expect(await cli(exec)).toMatchObject({ code: 1 });
  });

  it('refuses an unknown option, JSON with a trailing comma, both changes at once, and a region that has no whole copy', async () => {
    expect(await cli('status json', '--tty')).toMatchObject({ code: 1 });
    expect((await fileconfigure('{"regions": [],}')).output).toContain('Invalid JSON');
    expect((await fileconfigure('{"regions": [], "usable_regions": 1}')).output).toContain('at the same time');
    expect((await fileconfigure('{"region": []}')).output).toContain('Unknown configuration parameter');
    await fdb.change((state) => void Object.assign(state, { copied: { east: 9, west: 0 }, copy_looks: 99 }));
    expect((await fileconfigure(await regions(0, 1))).output).toContain('must be fully replicated');
    expect((await fdb.state()).active).toBe('east');
  });

  it('[E1-02] a cluster moves back by itself to a region that is preferred', async () => {
    await fdb.change((state) => void Object.assign(state.dcs, { east: { up: false, processes: 3 } }));
    await cli('status json');
    expect(await fdb.state()).toMatchObject({ active: 'west' });
    await fdb.change((state) => void Object.assign(state.dcs, { east: { up: true, processes: 3 } }));
    await cli('status json');
    expect(await fdb.state()).toMatchObject({ active: 'east' });
  });
});
