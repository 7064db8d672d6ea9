/** FoundationDB when a region is lost: what the cluster does by itself is found and held; what it can't is forced only under proof. */
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterState } from '../systems/foundationdb/foundationdb.ts';
import { type FdbWorld, forced, fdbHost as host, openFdbWorld } from './foundationdb-world.ts';
import { newJournal, runStep } from './step-runner.ts';

const soon = () => AbortSignal.timeout(20_000);
const promoteWest = { epoch: 2, standbys: [] };
let world: FdbWorld;

describe('FoundationDB, a lost region (stand-in)', () => {
  beforeEach(async () => {
    world = await openFdbWorld();
  });
  afterEach(() => world.standIn.stop());
  const person = { ...promoteWest, fence: 'person' };
  const settled = (promise: Promise<unknown> | undefined): Promise<unknown> =>
    (promise ?? Promise.resolve()).catch((error: unknown) => error);

  it('[S1-12, E1-04] with satellites the cluster goes over by itself; that is found, proven and held', async () => {
    await world.open('east').canary?.write({ number: 7, atMs: 1, epoch: 1 }, soon());
    await world.lose('east');
    const options = { controller: world.controller };
    expect(await world.open('west').observe(soon())).toMatchObject({ health: 'up', role: 'primary' });
    const fence = await runStep(host, world.open('east', { options }), 'fence', { survivors: ['west'], clean: false });
    expect(fence).toMatchObject({ proof: 'demoted', evidence: expect.stringContaining('the cluster serves in west') });
    expect(await runStep(host, world.open('west', { options }), 'promote', { ...promoteWest, fence: fence.proof })).toMatchObject({
      forced: false,
    });
    expect(await world.open('west').canary?.read(soon())).toMatchObject({ number: 7 });
    await world.bringBack('east');
    expect(await world.open('west').observe(soon())).toMatchObject({ role: 'primary' });
    expect(await world.asked(/force/)).toEqual([]);
    expect(await runStep(host, world.open('east', { options }), 'follow', { upstream: 'west' })).toMatchObject({
      method: 'copied by the cluster',
    });
  });

  it('[S1-15, E1-01, E1-03] without them it is forced: fenced, dead from two places, by the very data centre, then settled in two changes', async () => {
    for (const number of [1, 2, 3]) await world.open('east').canary?.write({ number, atMs: number, epoch: 1 }, soon());
    await world.standIn.change((state) => void Object.assign(state, { lag_versions: 1_500_000, force_settles: false }));
    await world.lose('east', { satellites: true });
    const journal = newJournal();
    const done = await runStep(host, world.open('west', { options: forced }), 'promote', person, journal);
    expect(done).toMatchObject({ forced: true, recovery: 'fully_recovered' });
    expect(await world.asked(/force/)).toEqual(['force_recovery_with_data_loss west']);
    const configured = await world.asked(/configure/);
    expect(configured.map((line) => line.split(' ')[0])).toEqual(['fileconfigure', 'configure']);
    expect(configured[1]).toBe('configure usable_regions=1');
    const { usable_regions, regions } = await world.standIn.state();
    expect([usable_regions, regions[0]?.datacenters[0]?.priority]).toEqual([1, -1]);
    // What had not arrived is lost, and the canaries say so.
    expect(await world.open('west').canary?.read(soon())).toMatchObject({ number: 1 });
    expect(await runStep(host, world.open('west', { options: forced }), 'promote', person, journal)).toMatchObject({ forced: true });
    expect(await world.asked(/force/)).toHaveLength(1);
  });

  it('[S1-15] what a newer version has settled by itself is not changed again', async () => {
    await world.lose('east', { satellites: true });
    expect(await runStep(host, world.open('west', { options: forced }), 'promote', person)).toMatchObject({ forced: true });
    expect(await world.asked(/configure/)).toEqual([]);
  });

  it('a controller that dies after the force: the next one settles the dead region, and forces nothing', async () => {
    await world.standIn.change((state) => void Object.assign(state, { force_settles: false }));
    await world.lose('east', { satellites: true });
    const journal = newJournal();
    await world.standIn.call('fdbcli', '-C', world.standIn.clusterFile('west'), '--exec', 'force_recovery_with_data_loss west');
    journal.note = { connection: 'shop:a1b2c3@127.0.0.1:4500', generation: 4, forced: true };
    expect(await runStep(host, world.open('west', { options: forced }), 'promote', person, journal)).toMatchObject({ forced: true });
    expect(await world.asked(/force/)).toHaveLength(1);
    expect((await world.standIn.state()).usable_regions).toBe(1);
  });

  it.each<[string, object, Record<string, unknown>, string]>([
    ['nothing was fenced', promoteWest, forced, 'FENCE_NOT_PROVEN'],
    ['the fence says that it lives', { ...promoteWest, fence: 'demoted' }, forced, 'FENCE_NOT_PROVEN'],
    ['the spec does not allow it', person, {}, 'SYSTEM_REFUSED'],
  ])('[S1-15] is not forced where %s', async (_, want, options, code) => {
    await world.lose('east', { satellites: true });
    expect(await settled(runStep(host, world.open('west', { options }), 'promote', want as never))).toMatchObject({ code });
    expect(await world.asked(/force/)).toEqual([]);
  });

  it.each<[string, (state: ClusterState) => void, string, string]>([
    [
      'processes of it still report',
      (state) => Object.assign(state, { overrides: { database_available: false } }),
      'SYSTEM_REFUSED',
      'east is not dead',
    ],
    [
      'there is no majority of the coordinators',
      (state) => {
        for (const dc of ['east', 'third']) Object.assign(state.dcs[dc] as object, { up: false });
      },
      'SYSTEM_NOT_SERVING',
      'wait for ever',
    ],
    [
      'there is no copy',
      (state) => {
        Object.assign(state.dcs.east as object, { up: false });
        Object.assign(state, { usable_regions: 1 });
      },
      'SYSTEM_REFUSED',
      'there is no copy',
    ],
  ])('[S1-15, E1-03] is not forced where %s', async (_, change, code, words) => {
    await world.standIn.change(change);
    expect(await settled(runStep(host, world.open('west', { options: forced }), 'promote', person))).toMatchObject({
      code,
      message: expect.stringContaining(words),
    });
    expect(await world.asked(/force/)).toEqual([]);
  });

  it('[S1-15] is not forced on the word of one place: a process that takes connections speaks against it', async () => {
    await world.lose('east', { satellites: true });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const address = server.address() as { port: number };
      const site = world.open('west', { options: forced, site: { addresses: [`127.0.0.1:${address.port}`] } });
      expect(await settled(runStep(host, site, 'promote', person))).toMatchObject({
        code: 'SYSTEM_REFUSED',
        message: expect.stringContaining('takes connections'),
      });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await world.asked(/force/)).toEqual([]);
  });

  it('silence is no fence; hands that stop the region are one', async () => {
    await world.lose('east', { satellites: true });
    expect(await settled(runStep(host, world.open('east'), 'fence', { survivors: ['west'], clean: false }))).toMatchObject({
      code: 'FENCE_NOT_PROVEN',
    });
    expect(await settled(runStep(host, world.open('east'), 'fence', { survivors: ['west'], clean: true }))).toMatchObject({
      code: 'SYSTEM_UNREACHABLE',
    });
    world.gone.delete('east');
    const flag = `${world.standIn.directory}/stopped`;
    const site = { stop: { apply: ['touch', flag], inspect: ['test', '-e', flag] } };
    expect(await runStep(host, world.open('east', { site }), 'fence', { survivors: ['west'], clean: false })).toMatchObject({
      proof: 'stopped',
    });
  });

  it('[E1-03] a region that came back after it was given up is copied anew, in changes of their own', async () => {
    await world.lose('east', { satellites: true });
    await runStep(host, world.open('west', { options: forced }), 'promote', person);
    await world.bringBack('east');
    await world.standIn.change((state) => void Object.assign(state, { copy_looks: 3 }));
    expect(await runStep(host, world.open('east'), 'fence', { survivors: ['west'], clean: false })).toMatchObject({ proof: 'demoted' });
    await runStep(host, world.open('east'), 'follow', { upstream: 'west' });
    const { usable_regions, regions, active } = await world.standIn.state();
    expect([usable_regions, regions[0]?.datacenters[0]?.priority, active]).toEqual([2, 0, 'west']);
    expect(await runStep(host, world.open('west'), 'protect', { standbys: ['east'], mode: 'asynchronous' })).toEqual({ inSync: ['east'] });
  });

  it('a lost region is dropped on its own, and never one that lives', async () => {
    const options = { run: { 'drop-region': 'east' } };
    expect(await settled(runStep(host, world.open('west', { options }), 'run', {}))).toMatchObject({ code: 'SYSTEM_REFUSED' });
    await world.lose('east');
    expect(await runStep(host, world.open('west', { options }), 'run', {})).toMatchObject({
      detail: expect.stringContaining('one region is usable'),
    });
    expect((await world.asked(/configure/)).map((line) => line.split(' ')[0])).toEqual(['fileconfigure', 'configure']);
  });
});
