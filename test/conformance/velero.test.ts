/** Velero by its resources: schedules as the spec says them, backups and restores judged by phases and counts, two clusters at one bucket. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/velero/driver.ts';
import { newOutsideWorld } from '../systems/kubernetes/cluster-settings.ts';
import type { Fields } from '../systems/kubernetes/fields.ts';
import { deployment, statefulSet, waitUntil } from '../systems/kubernetes/furniture.ts';
import { type KubernetesStandIn, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const schedule = { name: 'daily-backup', cron: '0 2 * * *', namespaces: ['application', 'data', 'monitoring'], ttl: '720h' };
const template = { includedNamespaces: ['application', 'data', 'monitoring'], ttl: '720h0m0s', snapshotMoveData: true };

describe('Velero (stand-in)', () => {
  let primary: KubernetesStandIn;
  let standby: KubernetesStandIn;
  beforeEach(async () => {
    const world = newOutsideWorld();
    world.buckets.set('platform-velero-backups', { reachable: true, backups: new Map() });
    const start = () =>
      startKubernetes({ plain: true, namespaces: ['velero', 'application', 'data', 'monitoring'], definitions: ['velero'], world });
    [primary, standby] = (await Promise.all([start(), start()])) as [KubernetesStandIn, KubernetesStandIn];
    location(primary, 'ReadWrite');
    location(standby, 'ReadOnly');
    primary.add('deployments', 'application', deployment('application', 'api', 2));
    primary.add('configmaps', 'application', { metadata: { name: 'settings' }, data: { MODE: 'live' } });
    primary.add('statefulsets', 'data', statefulSet('data', 'db', 1));
    primary.add('schedules', 'velero', { metadata: { name: 'daily-backup' }, spec: { schedule: '0 2 * * *', template } });
    await waitUntil(
      () =>
        [primary, standby].every(({ store }) => store.find('backupstoragelocations', 'velero', 'default')?.status?.phase === 'Available'),
      'both locations',
    );
  });
  afterEach(async () => {
    await Promise.all([primary.stop(), standby.stop()]);
  });

  function location(cluster: KubernetesStandIn, accessMode: string): void {
    cluster.add('backupstoragelocations', 'velero', {
      metadata: { name: 'default' },
      spec: { provider: 'aws', default: true, accessMode, objectStorage: { bucket: 'platform-velero-backups' } },
    });
  }
  const open = (cluster: KubernetesStandIn, options: object = {}, site: object = {}) =>
    openAt(
      driver,
      { bucket: 'platform-velero-backups', ...options },
      { east: { server: cluster.server, token: new Secret(cluster.token, 'test'), ...site } },
    );
  const messages = async (cluster: KubernetesStandIn, options: object, site: object = {}): Promise<string> =>
    ((await open(cluster, options, site).observe(probe())).faults ?? []).map(({ message }) => message).join('\n');
  const takeScheduled = async (): Promise<string> => {
    const { name } = primary.takeScheduledBackup('velero', 'daily-backup').metadata;
    await waitUntil(
      () => ['Completed', 'PartiallyFailed', 'Failed'].includes(primary.store.find('backups', 'velero', name)?.status?.phase),
      'the backup',
    );
    return name;
  };
  const settled = (promise: Promise<unknown> | undefined): Promise<unknown> =>
    (promise ?? Promise.resolve(undefined)).catch((error: unknown) => error);

  it('[S4-13] has a storage location that is available, leads to the bucket and is used as it may be', async () => {
    expect(await open(primary, {}, { 'access-mode': 'ReadWrite' }).observe(probe())).toMatchObject({
      health: 'up',
      faults: [],
      facts: { location: 'Available' },
    });
    expect(await messages(standby, {}, { 'access-mode': 'ReadWrite' })).toContain('is ReadOnly here, not ReadWrite');
    expect(await messages(primary, { bucket: 'another' })).toContain('leads to the bucket platform-velero-backups, not another');
    (primary.world.buckets.get('platform-velero-backups') as { reachable: boolean }).reachable = false;
    await waitUntil(
      () => primary.store.find('backupstoragelocations', 'velero', 'default')?.status?.phase === 'Unavailable',
      'it to be seen',
    );
    expect(await open(primary).observe(probe())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringContaining('Unavailable: rpc error') },
    });
    expect(await open(primary, { 'storage-location': 'none' }).observe(probe())).toMatchObject({ health: 'down' });
  });

  it('[S4-14] compares the schedule, its namespaces and its time to live with the spec, and what a backup says when it expires', async () => {
    expect(await messages(primary, { schedule, 'volumes-off-site': true })).toBe('');
    expect(await runStep(host, open(primary, { schedule }), 'check', {})).toMatchObject({
      detail: expect.stringContaining('is available'),
    });
    await takeScheduled();
    const facts = (await open(primary, { schedule }).observe(probe())).facts as { newest: Fields };
    expect(facts.newest).toMatchObject({ phase: 'Completed' });
    expect((Date.parse(facts.newest.expires) - Date.now()) / 86_400_000).toBeCloseTo(30, 1);
    const change = (how: (copy: Fields) => void) =>
      primary.store.change('schedules', primary.store.find('schedules', 'velero', 'daily-backup') as never, how);
    change((copy) => {
      Object.assign(copy.spec, { schedule: '0 3 * * *', paused: true, template: { includedNamespaces: ['application'], ttl: '168h0m0s' } });
    });
    const said = await messages(primary, { schedule, 'volumes-off-site': true });
    for (const words of [
      'it is paused',
      'runs at "0 3 * * *"',
      'it backs up application, not',
      'it keeps backups for 7 d, not 30 d',
      'stays where the volumes are',
    ])
      expect(said).toContain(words);
    change((copy) => {
      copy.spec.schedule = 'every day';
    });
    await waitUntil(
      () => primary.store.find('schedules', 'velero', 'daily-backup')?.status?.phase === 'FailedValidation',
      'it to be judged',
    );
    expect(await open(primary, { schedule }).verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({
      state: 'pending',
      why: expect.stringContaining('FailedValidation'),
    });
    expect(await messages(primary, { schedule: { ...schedule, name: 'none' } })).toContain('there is no schedule none');
  });

  it('takes a backup, counts its items, and takes no second one when asked again', async () => {
    const options = { run: { backup: { namespaces: ['application', 'data'], ttl: '48h' } } };
    const journal = newJournal();
    const output = await runStep(host, open(primary, options), 'run', {}, journal);
    expect(output).toMatchObject({ items: 4, warnings: 0 });
    await open(primary, options).verbs.run?.apply({}, stepContext(host, journal));
    expect(await runStep(host, open(primary, options), 'run', {}, journal)).toEqual(output);
    expect(primary.store.list('backups', 'velero')).toHaveLength(1);
    expect(primary.store.list('backups', 'velero')[0]?.spec).toMatchObject({
      ttl: '48h0m0s',
      snapshotMoveData: true,
      storageLocation: 'default',
    });
  });

  it.each([
    ['partial', 'it ended PartiallyFailed; 1 errors; 3 of 4 items'],
    ['fail', 'error uploading backup'],
  ] as const)('[S4-15] a backup that goes %s is a failure', async (fault, words) => {
    primary.settings.veleroFault = fault;
    const options = { run: { backup: { namespaces: ['application', 'data'] } } };
    const error = await settled(runStep(host, open(primary, options), 'run', {}));
    expect(error).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining(words),
      hint: expect.stringContaining('velero backup delete'),
    });
    expect(await settled(runStep(host, open(standby, options), 'run', {}, { ...newJournal(), executionId: 'elsewhere' }))).toMatchObject({
      message: expect.stringContaining('read-only mode'),
    });
  });

  it('says that the newest backup failed, and that the last whole one is too old', async () => {
    primary.settings.veleroFault = 'partial';
    await takeScheduled();
    const said = await messages(primary, { schedule, 'newest-within': '26h' });
    expect(said).toContain('PartiallyFailed');
    expect(said).toContain('no backup of daily-backup has completed');
    primary.settings.veleroFault = 'none';
    await takeScheduled();
    await expect.poll(() => messages(primary, { schedule, 'newest-within': '250ms' })).toContain('are allowed');
  });

  it('[S4-15] restores into the standby cluster what was backed up in the other, and the objects are the same', async () => {
    const backup = await takeScheduled();
    const options = { run: { restore: { schedule: 'daily-backup' } } };
    await waitUntil(() => standby.store.find('backups', 'velero', backup) !== undefined, 'the backup to appear');
    const output = await runStep(host, open(standby, options), 'run', {});
    expect(output).toMatchObject({ backup, items: 4, itemsInBackup: 4, warnings: 0 });
    for (const [resource, namespace, name] of [
      ['deployments', 'application', 'api'],
      ['configmaps', 'application', 'settings'],
      ['statefulsets', 'data', 'db'],
      ['persistentvolumeclaims', 'data', 'data-db-0'],
    ] as const) {
      const [was, is] = [primary, standby].map(({ store }) => store.find(resource, namespace, name));
      expect(is?.spec ?? is?.data, name).toEqual(was?.spec ?? was?.data);
      expect(is).toBeDefined();
    }
  });

  it('[S4-15] a restore over what is there already fails, for Velero leaves it and says Completed', async () => {
    const backup = await takeScheduled();
    primary.store.change('configmaps', primary.store.find('configmaps', 'application', 'settings') as never, (copy) => {
      copy.data.MODE = 'damaged';
    });
    const over = { run: { restore: { backup } } };
    const error = await settled(runStep(host, open(primary, over), 'run', {}));
    expect(error).toMatchObject({ code: 'SYSTEM_REFUSED', message: expect.stringContaining('were left as they are') });
    expect(primary.store.list('restores', 'velero')[0]?.status).toMatchObject({ phase: 'Completed', warnings: 1 });
    const beside = { run: { restore: { backup, 'into-namespaces': { application: 'application-drill', data: 'data-drill' } } } };
    expect(await runStep(host, open(primary, beside), 'run', {}, { ...newJournal(), executionId: 'drill' })).toMatchObject({ items: 4 });
    expect(primary.store.find('configmaps', 'application-drill', 'settings')?.data).toEqual({ MODE: 'live' });
    const update = { run: { restore: { backup, existing: 'update' } } };
    expect(await runStep(host, open(primary, update), 'run', {}, { ...newJournal(), executionId: 'update' })).toMatchObject({
      warnings: 1,
    });
    expect(primary.store.find('configmaps', 'application', 'settings')?.data).toEqual({ MODE: 'live' });
  });

  it('restores from no backup that is not whole or not there', async () => {
    primary.settings.veleroFault = 'partial';
    const backup = await takeScheduled();
    const refused = (restore: object) => settled(open(primary, { run: { restore } }).verbs.run?.apply({}, stepContext(host, newJournal())));
    expect(await refused({ backup })).toMatchObject({ code: 'SYSTEM_REFUSED', message: expect.stringContaining('PartiallyFailed') });
    expect(await refused({ backup: 'none' })).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('there is no backup none'),
    });
    expect(primary.store.list('restores', 'velero')).toEqual([]);
  });

  it('is pending while Velero works, and has no verb where nothing is to be run', async () => {
    primary.settings.veleroFault = 'hang';
    const site = open(primary, { run: { backup: { namespaces: ['application'] } } });
    const journal = newJournal();
    expect(await site.verbs.run?.inspect({}, stepContext(host, journal))).toMatchObject({ state: 'absent' });
    await site.verbs.run?.apply({}, stepContext(host, journal));
    await expect
      .poll(() => site.verbs.run?.inspect({}, stepContext(host, journal)))
      .toMatchObject({ state: 'pending', why: expect.stringContaining('InProgress') });
    expect(open(primary).verbs.run).toBeUndefined();
  });

  it('deletes a backup for good only by a request, and not from a cluster that may only read', async () => {
    const backup = await takeScheduled();
    await waitUntil(() => standby.store.find('backups', 'velero', backup) !== undefined, 'the backup to appear');
    standby.add('deletebackuprequests', 'velero', { metadata: { name: 'one' }, spec: { backupName: backup } });
    await waitUntil(() => standby.store.find('deletebackuprequests', 'velero', 'one')?.status?.phase === 'Processed', 'the request');
    expect(standby.store.find('deletebackuprequests', 'velero', 'one')?.status?.errors?.[0]).toContain('read-only');
    primary.store.remove('backups', primary.store.find('backups', 'velero', backup) as never);
    await waitUntil(() => primary.store.find('backups', 'velero', backup) !== undefined, 'it to come back from the bucket');
    primary.add('deletebackuprequests', 'velero', { metadata: { name: 'two' }, spec: { backupName: backup } });
    await waitUntil(() => standby.store.find('backups', 'velero', backup) === undefined, 'it to be gone everywhere');
  });

  it('is told by its absence: without its definitions, and without rights', async () => {
    const bare = await startKubernetes({ plain: true });
    try {
      expect(await open(bare).observe(probe())).toMatchObject({
        health: 'down',
        evidence: { detail: expect.stringContaining('could not find the requested resource') },
      });
      expect(await openAt(driver, {}, { east: { server: bare.server } }).observe(probe())).toMatchObject({
        health: 'unknown',
        evidence: { kind: 'not-allowed' },
      });
    } finally {
      await bare.stop();
    }
  });
});
