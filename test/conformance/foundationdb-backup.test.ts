/** fdbbackup and fdbrestore through the driver, the specs of its README, and what its options refuse. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { driver } from '../../src/drivers/foundationdb/driver.ts';
import { containerName } from '../../src/drivers/foundationdb/options.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { type FdbWorld, fdbHost as host, openFdbWorld } from './foundationdb-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const range = { begin: 'orders/', end: 'orders0' };
let world: FdbWorld;

describe('FoundationDB, backups (stand-in)', () => {
  beforeEach(async () => {
    world = await openFdbWorld();
    await world.standIn.addCluster('spare');
    await write('shop', 'orders/1', 'two');
    await write('shop', 'orders/2', 'a b\\x22c;');
  });
  afterEach(() => world.standIn.stop());

  const write = async (cluster: string, key: string, value: string) => {
    const file = world.standIn.clusterFile('west', cluster);
    const written = await world.standIn.call('fdbcli', '-C', file, '--exec', `writemode on; set ${key} "${value}"`);
    expect(written).toMatchObject({ code: 0 });
  };
  const url = () => `file://${world.standIn.directory}/backup`;
  const backup = (more: object = {}) =>
    world.open('east', { options: { run: { backup: { tag: 'nightly', url: url(), digest: range, ...more } } } });
  const restore = (container: unknown, more: object = {}) =>
    world.open('west', {
      options: { run: { restore: { container, 'dest-cluster-file': world.standIn.clusterFile('west', 'spare'), ...more } } },
    });
  const settled = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

  it('[S1-41, S1-42, E1-11] is started compressed and continuous, found running, judged by JSON and by the container itself', async () => {
    const output = await runStep(host, backup(), 'run', {});
    expect(output).toMatchObject({
      lagSeconds: 0,
      newestVersion: expect.any(Number),
      digest: { keys: 2, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    expect(String(output.container)).toMatch(containerName);
    expect(await runStep(host, backup(), 'run', {})).toMatchObject({ container: output.container });
    const asked = await world.asked(/^fdbbackup/);
    expect(asked.filter((line) => line.includes(' start '))).toEqual([
      `fdbbackup start -C ${world.standIn.clusterFile('east')} -t nightly -d ${url()} -z -s 86400`,
    ]);
    expect(asked.filter((line) => line.includes(' status '))[0]).toMatch(/-t nightly --json$/);
    expect(asked.join()).not.toMatch(/status [^,]*-d /);
  });

  it('[S1-41] a start that is refused is reported, and a backup into another place is no backup of ours', async () => {
    await runStep(host, backup(), 'run', {});
    const second = backup().verbs.run?.apply({}, stepContext(host, newJournal()));
    expect(await settled(second as Promise<unknown>)).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('already running'),
    });
    expect(await settled(runStep(host, backup({ url: 'file:///elsewhere' }), 'run', {}))).toMatchObject({ code: 'SYSTEM_REFUSED' });
  });

  it('[S1-43, S1-44] is restored into an empty cluster, and the keys are those that were backed up', async () => {
    const { container, digest } = (await runStep(host, backup(), 'run', {})) as {
      container: string;
      digest: { version: number; sha256: string };
    };
    await write('shop', 'orders/3', 'later');
    const expect3 = { version: digest.version, expect: { range, sha256: digest.sha256 } };
    const journal = newJournal();
    expect(await runStep(host, restore(container, expect3), 'run', {}, journal)).toMatchObject({ keys: 2, sha256: digest.sha256 });
    expect(await runStep(host, restore(container, expect3), 'run', {}, journal)).toMatchObject({ keys: 2 });
    const { ran, keys } = await world.standIn.state('spare');
    expect(ran.filter(([program]) => program === 'fdbrestore').map((words) => words.join(' '))).toEqual([
      `fdbrestore start --dest-cluster-file ${world.standIn.clusterFile('west', 'spare')} -r ${container} -v ${digest.version} -w`,
    ]);
    expect(keys).toMatchObject({ 'orders/2': 'a b"c;' });
    expect(await settled(runStep(host, restore(container), 'run', {}, { ...newJournal(), executionId: 'another' }))).toMatchObject({
      code: 'RESTORE_TARGET_NOT_EMPTY',
    });
  });

  it('[S1-44] a single changed byte in the container fails the restore', async () => {
    const { container, digest } = (await runStep(host, backup(), 'run', {})) as {
      container: string;
      digest: { version: number; sha256: string };
    };
    const log = join(container.replace('file://', ''), 'log.json');
    await writeFile(log, (await readFile(log, 'utf8')).replace('two', 'twp'));
    const restored = runStep(host, restore(container, { expect: { range, sha256: digest.sha256 } }), 'run', {});
    expect(await settled(restored)).toMatchObject({ code: 'BACKUP_DAMAGED' });
  });

  it('[S1-43, E1-11] a target that holds anything is refused before anything is asked of fdbrestore; so is what is no container', async () => {
    const { container } = await runStep(host, backup(), 'run', {});
    await write('spare', 'other/1', 'x');
    expect(await settled(runStep(host, restore(container), 'run', {}))).toMatchObject({ code: 'RESTORE_TARGET_NOT_EMPTY' });
    expect((await world.standIn.state('spare')).ran.filter(([program]) => program === 'fdbrestore')).toEqual([]);
    expect(() => restore(url())).toThrow(/not the container of one backup/);
    expect((await readdir(join(world.standIn.directory, 'backup')))[0]).toMatch(/^backup-/);
  });

  it('a restore whose end nobody saw asks a person', async () => {
    const { container } = await runStep(host, backup(), 'run', {});
    await write('spare', 'orders/1', 'half');
    const journal = newJournal();
    journal.note = { phase: 'begun' };
    expect(await restore(container).verbs.run?.inspect({}, stepContext(host, journal))).toMatchObject({ state: 'unknown' });
  });

  it('a lock is read back by its id, and clients are refused', async () => {
    const site = world.open('east', { options: { run: { lock: true } } });
    const { lockUid } = await runStep(host, site, 'run', {});
    expect((await world.standIn.state()).lock).toBe(lockUid);
    expect(
      await settled(site.canary?.write({ number: 1, atMs: 1, epoch: 1 }, AbortSignal.timeout(5_000)) as Promise<unknown>),
    ).toMatchObject({
      code: 'SYSTEM_REFUSED',
    });
  });
});

describe('what the options of FoundationDB refuse', () => {
  const siteOf = (dcid: string, more: object = {}) => driver.siteOptions.parse({ dcid, ...more });
  const faults = (
    options: object,
    sites = { east: siteOf('east'), west: siteOf('west') },
    replication: 'asynchronous' | 'none' = 'asynchronous',
  ) =>
    driver
      .validate?.({ options: driver.componentOptions.parse(options), sites: new Map(Object.entries(sites)), replication })
      .map(({ path, message }) => `${path.join('.')}: ${message}`)
      .join('\n');

  it('is what could never work', () => {
    expect(faults({})).toBe('');
    expect(faults({}, { east: siteOf('one'), west: siteOf('one') })).toContain('two sites have the dcid one');
    expect(faults({}, undefined, 'none')).toContain('the two sites are one cluster');
    expect(faults({ 'force-recovery': 'fenced' })).toContain('sites.east.addresses: force-recovery: fenced needs addresses');
    expect(faults({ run: {} })).toContain('run: it is not exactly one thing');
    expect(faults({ run: { 'drop-region': 'north' } })).toContain('there is no site in north');
    expect(faults({ run: { backup: { url: 'blobstore://KEY:SECRET@host/name?bucket=b' } } })).toContain('the URL holds a key');
  });

  it('[E1-06] a terminal is refused where there is none', () => {
    const fdbcli = ['kubectl', 'exec', '-it', 'inferadb-fdb-storage-0', '--', 'fdbcli'];
    expect(faults({}, { east: siteOf('east', { fdbcli }), west: siteOf('west') })).toContain('sites.east.fdbcli: it asks for a terminal');
  });

  it('the specs of its README load', async () => {
    const readme = await readFile(join(import.meta.dirname, '..', '..', 'src', 'drivers', 'foundationdb', 'README.md'), 'utf8');
    const fragments = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text as string);
    expect(fragments).toHaveLength(2);
    const components = fragments.join('').replace(/^(?=.)/gm, '  ');
    const spec = `holdfast: v1\nname: shop\nregions:\n  us-east-1: { role: active }\n  us-west-2: { role: standby }\ncomponents:\n${components}`;
    const loaded = await loadSpec(['shop.yaml'], {
      catalog: driverCatalog,
      repositories: fakeRepositories,
      host: fakeHost({ files: { 'shop.yaml': spec } }),
      resolveSecrets: false,
    });
    expect([...loaded.components.keys()]).toEqual(['store', 'store-backup']);
  });
});
