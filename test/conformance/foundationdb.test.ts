/** FoundationDB over two regions: looked at by field, moved by priorities, forced only where it is dead. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Reading } from '../../src/contracts/observation.ts';
import { metricsOfDriver } from '../../src/control/metrics/metric-definitions.ts';
import { computeWatchMetrics } from '../../src/control/metrics/watch-metrics.ts';
import { driver } from '../../src/drivers/foundationdb/driver.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { siteKey } from '../../src/watch/site-key.ts';
import type { ClusterState } from '../systems/foundationdb/foundationdb.ts';
import { type FdbWorld, forced, fdbHost as host, openFdbWorld } from './foundationdb-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const soon = () => AbortSignal.timeout(20_000);
const messages = (reading: Reading) => (reading.faults ?? []).map(({ message }) => message).join('\n');
const oneRegion: ClusterState['regions'] = [{ datacenters: [{ id: 'east', priority: 1 }] }];
const withoutSatellites = (): ClusterState['regions'] => [
  { datacenters: [{ id: 'east', priority: 1 }] },
  { datacenters: [{ id: 'west', priority: 0 }] },
];
const promoteWest = { epoch: 2, standbys: [] };
let world: FdbWorld;

describe('FoundationDB, a look (stand-in)', () => {
  beforeEach(async () => {
    world = await openFdbWorld();
  });
  afterEach(() => world.standIn.stop());

  it('[S1-01, S1-13] reads roles, lag and identity from both regions, by status json', async () => {
    const [east, west] = await Promise.all([world.open('east').observe(soon()), world.open('west').observe(soon())]);
    expect(east).toMatchObject({
      health: 'up',
      role: 'primary',
      writable: true,
      identity: 'shop:a1b2c3',
      replication: { synchronous: true, standbys: [{ member: 'west', link: 'up', inSync: true, lagMs: 400 }] },
      facts: { generation: 4, usableRegions: 2, lagSeconds: 0.4, recovery: 'fully_recovered' },
      faults: [],
    });
    expect(west).toMatchObject({
      health: 'up',
      role: 'standby',
      identity: 'shop:a1b2c3',
      replication: { upstream: { link: 'up', region: 'east' } },
    });
    expect(await world.asked(/./)).toEqual(['status json', 'status json']);
  });

  it.each<[string, (state: ClusterState) => void, object]>([
    ['silence', (state) => Object.assign(state, { deaf: true }), { health: 'unknown', evidence: { kind: 'timeout' } }],
    ['half an answer', (state) => Object.assign(state, { says: '{"client": {"coord' }), { health: 'unknown', evidence: { kind: 'error' } }],
    [
      'prose',
      (state) => Object.assign(state, { says: 'Replication health - Healthy' }),
      { health: 'unknown', evidence: { kind: 'error' } },
    ],
    [
      'JSON of another kind',
      (state) => Object.assign(state, { says: '{"client": 7}' }),
      { health: 'unknown', evidence: { kind: 'error' } },
    ],
    [
      'an empty status',
      (state) => Object.assign(state, { says: '{"client": {}}' }),
      { health: 'unknown', evidence: { kind: 'unreachable' } },
    ],
    [
      'no majority of the coordinators',
      (state) =>
        Object.assign(state, {
          cuts: [
            ['east', 'west'],
            ['east', 'third'],
          ],
        }),
      { health: 'unknown', evidence: { kind: 'unreachable', detail: '3 of 9 coordinators are reached: no majority' } },
    ],
    [
      'a status without its processes',
      (state) => Object.assign(state, { overrides: { processes: undefined, active_primary_dc: null } }),
      { health: 'unknown', evidence: { kind: 'error' } },
    ],
    [
      'a database that is not available',
      (state) => Object.assign(state, { overrides: { database_available: false } }),
      { health: 'down', evidence: { kind: 'wrong-answer' } },
    ],
    [
      'no process of its own',
      (state) => Object.assign(state.dcs, { east: { up: true, processes: 0 } }),
      { health: 'down', evidence: { kind: 'wrong-answer' } },
    ],
  ])('[S1-13, E1-06] %s is not health', async (_, change, reading) => {
    await world.standIn.change(change);
    expect(await world.open('east', { probeTimeoutMs: 1_000 }).observe(soon())).toMatchObject(reading);
  });

  it('[S1-13] a machine that is gone, a program that is missing and another cluster are told apart, and none is health', async () => {
    const look = async (open: Parameters<FdbWorld['open']>[1]) => (await world.open('east', open).observe(soon())).evidence;
    expect(await look({ options: { cluster: 'other:ffff' } })).toMatchObject({
      kind: 'error',
      detail: expect.stringContaining('the cluster shop:a1b2c3@'),
    });
    expect(await look({ site: { fdbcli: ['/no/such/fdbcli'] } })).toMatchObject({ kind: 'error' });
    expect(await look({ site: { 'cluster-file': '/no/such/file' } })).toMatchObject({ kind: 'error' });
    world.gone.add('east');
    expect(await look({})).toMatchObject({ kind: 'unreachable' });
  });

  it.each<[string, Partial<ClusterState>, string]>([
    [
      '[E1-04] one region, as the public manifests have it',
      { usable_regions: 1, regions: oneRegion },
      'usable_regions is 1: no second copy exists',
    ],
    ['a region that no data centre is configured for', { regions: oneRegion }, 'west is in no configured region'],
    ['[E1-05] no satellites', { regions: withoutSatellites() }, 'the other region follows asynchronously'],
    ['a lag over the limit', { lag_versions: 6_000_000 }, 'the other region is 6 s behind; 5.00 s are allowed'],
    ['a copy that is not whole', { copied: { east: 9, west: 0 }, copy_looks: 9 }, 'the data are not fully replicated'],
    ['few coordinators', { cuts: [['east', 'west']] }, '6 of 9 coordinators are reached'],
    ['a lock', { lock: 'abc' }, 'the database is locked (abc)'],
  ])('[S1-04] finds %s', async (_, changes, words) => {
    await world.standIn.change((state) => void Object.assign(state, changes));
    const reading = await world.open('east').observe(soon());
    expect(reading.health).toBe('up');
    expect(messages(reading)).toContain(words);
  });

  it('[S1-04, E1-04] a second region that may never be active is no readiness, and numbers that are turned round are seen', async () => {
    await world.standIn.change((state) => {
      state.stuck = true;
      const [east, west] = state.regions.map(({ datacenters: [main] }) => main);
      Object.assign(east as object, { priority: 1 });
      Object.assign(west as object, { priority: 2 });
    });
    expect(messages(await world.open('east').observe(soon()))).toContain('west has the higher priority (2), and east is active');
    await world.standIn.change((state) => void Object.assign(state.regions[1]?.datacenters[0] as object, { priority: -1 }));
    expect(messages(await world.open('west').observe(soon()))).toContain('the priority of west is -1: it can never take over');
  });

  it('[E1-05] no zero loss is claimed over an asynchronous copy; a satellite without processes is none', async () => {
    await world.standIn.change((state) => void Object.assign(state.dcs, { 'east-sat': { up: true, processes: 0 } }));
    const reading = await world.open('east', { replication: 'synchronous' }).observe(soon());
    expect(reading.replication).toMatchObject({ synchronous: false, standbys: [{ inSync: false }] });
    expect(reading.faults).toMatchObject([{ severity: 'problem' }]);
    const protect = world.open('east').verbs.protect;
    await expect(protect?.inspect({ standbys: ['west'], mode: 'synchronous' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
    });
    expect(await runStep(host, world.open('east'), 'protect', { standbys: ['west'], mode: 'asynchronous' })).toEqual({ inSync: [] });
  });

  it('[S1-02] a canary is at the standby only as far as the lag tells, and at none where the lag is not told', async () => {
    const [east, west] = [world.open('east').canary, world.open('west').canary];
    const now = host.clock.nowMs();
    for (const number of [1, 2, 3]) await east?.write({ number, atMs: now - 10_000 + number * 2_000, epoch: 1 }, soon());
    await world.standIn.change((state) => void Object.assign(state, { lag_versions: 5_000_000 }));
    expect(await east?.read(soon())).toMatchObject({ number: 3 });
    expect(await west?.read(soon())).toMatchObject({ number: 2 });
    await world.standIn.change((state) => void Object.assign(state, { overrides: { datacenter_lag: {} } }));
    await expect(west?.read(soon())).rejects.toMatchObject({ code: 'SYSTEM_NOT_SERVING' });
  });

  it('a canary whose answer never came counts as neither written nor lost', async () => {
    await world.standIn.change((state) => void Object.assign(state, { deaf: true }));
    await expect(world.open('east').canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon())).rejects.toMatchObject({
      code: 'SYSTEM_OUTCOME_UNKNOWN',
    });
  });

  it('[S1-39] tells its own metrics, with what is not seen left out', async () => {
    const options = { 'backup-behind': { limit: '10m' } };
    await world.standIn.change((state) => {
      state.cuts = [['east', 'third']];
      state.backups = { default: { running: true, container: '/none', log_end: state.version - 30_000_000 } };
    });
    const { metrics } = await world.open('east', { options }).observe(soon());
    expect(metrics).toEqual({
      fdb_database_available: 1,
      fdb_replication_lag_seconds: 0.4,
      fdb_coordinators_connected: 6,
      fdb_coordinators: 9,
      fdb_quorum_reachable: 1,
      fdb_full_replication: 1,
      fdb_backup_restorable_lag_seconds: 30,
    });
    expect(Object.keys(metricsOfDriver(driver)).toSorted()).toEqual(Object.keys(metrics ?? {}).toSorted());
    expect(driverCatalog.get('foundationdb')?.metrics).toHaveProperty(['fdb_database_available']);
    await world.lose('east', { satellites: true });
    const lost = (await world.open('west').observe(soon())).metrics;
    expect(lost).toMatchObject({ fdb_database_available: 0, fdb_quorum_reachable: 1 });
    expect(lost).not.toHaveProperty('fdb_replication_lag_seconds');
    expect((await world.open('east').observe(soon())).metrics).toBeUndefined();
  });

  it('[S1-39] the alert rules ask for numbers that it tells, and for each of them', () => {
    const rules = readFileSync(join(import.meta.dirname, '../../deploy/prometheus/foundationdb.rules.yml'), 'utf8');
    const asked = new Set([...rules.matchAll(/\bfdb_[a-z_]+/g)].map(([name]) => name));
    expect([...asked].toSorted()).toEqual(Object.keys(driver.metrics ?? {}).toSorted());
  });

  it('[S1-39] each number becomes a sample of the site that saw it', async () => {
    const reading = await world.open('west').observe(soon());
    const spec = { components: new Map([['store', { name: 'store', sites: new Map([['west', {}]]) }]]), watch: { failures: 3 } };
    const observation = { ...reading, component: 'store', region: 'west', atMs: 1, tookMs: 1, failures: 0 };
    const samples = computeWatchMetrics(spec as never, {
      observations: new Map([[siteKey('store', 'west'), observation]]) as never,
      acknowledged: new Map(),
      standbyCanaries: new Map(),
    });
    expect(samples).toContainEqual({ name: 'fdb_replication_lag_seconds', labels: { component: 'store', region: 'west' }, value: 0.4 });
  });

  it('[S1-42] a backup that is behind, or does not run, is a fault', async () => {
    const options = { 'backup-behind': { limit: '10s' } };
    const look = async () => messages(await world.open('east', { options }).observe(soon()));
    expect(await look()).toContain('no backup runs under the tag default');
    await world.standIn.change((state) => {
      state.backups = { default: { running: true, container: '/none', log_end: state.version - 30_000_000 } };
    });
    expect(await look()).toContain('the backup default is 30 s behind; 10 s are allowed');
  });
});

describe('FoundationDB, a planned change (stand-in)', () => {
  beforeEach(async () => {
    world = await openFdbWorld();
  });
  afterEach(() => world.standIn.stop());

  /** As a switchover does it. */
  async function switchTo(to: 'east' | 'west', from: 'east' | 'west', epoch: number): Promise<void> {
    const fence = await runStep(host, world.open(from), 'fence', { survivors: [to], clean: true });
    expect(fence).toMatchObject({ proof: 'demoted', position: { history: 'shop:a1b2c3' } });
    await runStep(host, world.open(to), 'await-position', { position: fence.position });
    const done = await runStep(host, world.open(to), 'promote', { epoch, standbys: [] });
    expect(done).toMatchObject({ forced: false, recovery: 'fully_recovered' });
  }

  it('[S1-01, S1-17, S1-23, E1-02] goes over and back by priorities, and force is in no argument', async () => {
    await world.open('east').canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
    await switchTo('west', 'east', 2);
    expect(await world.open('west').observe(soon())).toMatchObject({ role: 'primary', writable: true });
    expect(await world.open('east').observe(soon())).toMatchObject({ role: 'standby' });
    expect(await runStep(host, world.open('east'), 'follow', { upstream: 'west' })).toEqual({ method: 'copied by the cluster' });
    await switchTo('east', 'west', 3);
    expect(await world.open('east').observe(soon())).toMatchObject({ role: 'primary' });
    expect(await world.open('east').readEpoch?.(soon())).toBe(3);
    expect(await world.open('east').canary?.read(soon())).toMatchObject({ number: 1 });
    expect(await world.asked(/fileconfigure/)).toHaveLength(2);
    expect(await world.asked(/force/)).toEqual([]);
    expect((await world.standIn.state()).usable_regions).toBe(2);
  });

  it.each<[string, Partial<ClusterState>, string]>([
    ['the copy is not whole', { copied: { east: 99, west: 0 }, copy_looks: 99 }, 'it is not fully replicated'],
    ['it is too far behind', { lag_versions: 9_000_000 }, 'is 9 s behind'],
    [
      'words say so and numbers do not',
      { overrides: { full_replication: false, data: { state: { name: 'Fully replicated' } } } },
      'it is not fully replicated',
    ],
    ['there is one region', { usable_regions: 1, regions: oneRegion }, 'usable_regions is 1'],
    [
      'its processes are gone',
      { dcs: { east: { up: true, processes: 3 }, west: { up: false, processes: 3 }, third: { up: true, processes: 3 } } },
      'no process of west reports',
    ],
  ])('[S1-21, S1-22] does not move where %s', async (_, changes, words) => {
    await world.standIn.change((state) => void Object.assign(state, changes));
    const journal = newJournal();
    await expect(
      world.open('east').verbs.fence?.apply({ survivors: ['west'], clean: true }, stepContext(host, journal)),
    ).rejects.toMatchObject({
      code: 'SYSTEM_NOT_SERVING',
      kind: 'transient',
      message: expect.stringContaining(words),
    });
    expect(await world.asked(/configure|force/)).toEqual([]);
  });

  it('[S1-22] waits for the copy, and goes on once it is whole', async () => {
    await world.standIn.change((state) => void Object.assign(state, { copied: { east: 9, west: 0 }, copy_looks: 9 }));
    const site = world.open('east');
    const context = stepContext(host, newJournal());
    await expect
      .poll(
        async () =>
          await site.verbs.fence?.apply({ clean: true }, context).then(
            () => 'moved',
            () => 'waits',
          ),
        { interval: 5 },
      )
      .toBe('moved');
    expect(await runStep(host, site, 'fence', { clean: true })).toMatchObject({ proof: 'demoted' });
  });

  it('[S1-14, E1-03] a degraded primary is moved, not forced: also in a failover', async () => {
    await world.standIn.change((state) => void Object.assign(state, { healthy: false }));
    const fence = await runStep(host, world.open('east', { options: forced }), 'fence', { survivors: ['west'], clean: false });
    expect(fence).toMatchObject({ proof: 'demoted' });
    expect(await runStep(host, world.open('west', { options: forced }), 'promote', { ...promoteWest, fence: 'demoted' })).toMatchObject({
      forced: false,
    });
    expect(await world.asked(/force/)).toEqual([]);
  });

  it('a move that is given up is taken back', async () => {
    await runStep(host, world.open('east'), 'fence', { clean: true });
    await runStep(host, world.open('east'), 'thaw', {});
    expect(await world.open('east').observe(soon())).toMatchObject({ role: 'primary' });
  });

  it('an order of an older epoch is refused', async () => {
    await switchTo('west', 'east', 5);
    await expect(runStep(host, world.open('west'), 'promote', { epoch: 4, standbys: [] })).rejects.toMatchObject({
      code: 'EPOCH_SUPERSEDED',
    });
  });

  it('a step does not go on upon another cluster, nor upon an older state of its own', async () => {
    const journal = newJournal();
    journal.note = { connection: 'shop:ffffff@127.0.0.1:4500', generation: 4 };
    await expect(runStep(host, world.open('east'), 'fence', { clean: true }, journal)).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_IDENTITY',
    });
    journal.note = { connection: 'shop:a1b2c3@127.0.0.1:4500', generation: 40 };
    await expect(runStep(host, world.open('east'), 'fence', { clean: true }, journal)).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_IDENTITY',
    });
    expect(await world.asked(/configure/)).toEqual([]);
  });

  it('[S1-17] check writes, reads and clears a probe; a lock or a copy that lacks is no pass', async () => {
    expect(await runStep(host, world.open('east'), 'check', {})).toMatchObject({
      detail: expect.stringContaining('a probe was written, read and cleared'),
    });
    expect((await world.standIn.state()).keys).toEqual({});
    await world.standIn.change((state) => void Object.assign(state, { lag_versions: 9_000_000 }));
    expect(await world.open('east').verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({ state: 'pending' });
    await world.standIn.change((state) => void Object.assign(state, { lock: 'abc' }));
    await expect(world.open('east').verbs.check?.inspect({}, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
    });
  });
});
