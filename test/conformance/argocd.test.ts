/** Argo CD by its Applications: synced and healthy by name, deletions counted before a sync, and no older operation taken for ours. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/argocd/driver.ts';
import type { Fields } from '../systems/kubernetes/fields.ts';
import { deployment, podsOf, waitUntil } from '../systems/kubernetes/furniture.ts';
import { type KubernetesStandIn, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const repoURL = 'https://git.test/platform.git';

describe('Argo CD (stand-in)', () => {
  let cluster: KubernetesStandIn;
  beforeEach(async () => {
    cluster = await startKubernetes({ plain: true, namespaces: ['argocd', 'shop'], definitions: ['argocd'] });
  });
  afterEach(() => cluster.stop());

  const git = (path: string, manifests: readonly Fields[], revision = 'abc'): void =>
    void cluster.world.repositories.set(`${repoURL} ${path}`, { revision, manifests });
  const config = (name: string): Fields => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { of: name } });
  const application = (name: string, more: Fields = {}): void =>
    void cluster.add('applications', 'argocd', {
      metadata: { name },
      spec: { project: 'default', source: { repoURL, path: name }, destination: { namespace: 'shop' }, ...more },
    });
  const found = (name: string): Fields => cluster.store.find('applications', 'argocd', name) as Fields;
  const open = (applications: readonly string[], options: object = {}) =>
    openAt(driver, { applications, ...options }, { east: { server: cluster.server, token: new Secret(cluster.token, 'test') } });
  const sync = (applications: readonly string[], options: object = {}, journal = newJournal()) =>
    runStep(host, open(applications, { sync: {}, ...options }), 'run', {}, journal);
  const refused = (promise: Promise<unknown> | undefined): Promise<unknown> =>
    (promise ?? Promise.resolve()).catch((error: unknown) => error);

  it('[S4-38] syncs applications in order, and waits by name until they are synced and healthy', async () => {
    git('infrastructure', [config('settings')]);
    git('apps', [deployment('shop', 'api', 2)]);
    for (const name of ['infrastructure', 'apps']) application(name);
    const site = open(['infrastructure', 'apps']);
    await waitUntil(() => found('apps').status?.sync?.status === 'OutOfSync', 'the first comparison');
    expect(await site.observe(probe())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringContaining('infrastructure is OutOfSync and Missing') },
    });
    expect(await sync(['infrastructure', 'apps'])).toMatchObject({ detail: '2 applications are synced and healthy' });
    expect(podsOf(cluster, 'shop', 'api').filter(({ ready }) => ready)).toHaveLength(2);
    expect(await runStep(host, site, 'check', {})).toMatchObject({
      applications: { apps: { sync: 'Synced', health: 'Healthy', revision: 'abc' } },
    });
    expect(await site.observe(probe())).toMatchObject({ health: 'up', faults: [] });
    expect(await open(['infrastructure', 'none']).observe(probe())).toMatchObject({
      health: 'down',
      evidence: { detail: 'there is no application none' },
    });
  });

  it('is told by its absence: the definitions come first', async () => {
    const bare = await startKubernetes({ plain: true });
    try {
      const site = openAt(driver, { applications: ['apps'] }, { east: { server: bare.server, token: new Secret(bare.token, 'test') } });
      expect(await site.observe(probe())).toMatchObject({
        health: 'down',
        evidence: { detail: expect.stringContaining('could not find the requested resource') },
      });
    } finally {
      await bare.stop();
    }
  });

  it('[S4-38] fails with a degraded application, and stays pending while one is not healthy yet', async () => {
    git('apps', [deployment('shop', 'api', 2, 'missing:1')]);
    application('apps');
    cluster.settings.badImages.add('missing:1');
    cluster.settings.progressDeadlineMs = 60_000;
    const site = open(['apps'], { sync: {} });
    const journal = newJournal();
    await site.verbs.run?.apply({}, stepContext(host, journal));
    await expect
      .poll(() => site.verbs.run?.inspect({}, stepContext(host, journal)))
      .toMatchObject({ state: 'pending', why: expect.stringContaining('Progressing') });
    expect(await site.verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({ state: 'pending' });
    cluster.settings.progressDeadlineMs = 30;
    await expect
      .poll(() => refused(site.verbs.run?.inspect({}, stepContext(host, journal))))
      .toMatchObject({ code: 'SYSTEM_REFUSED', message: expect.stringContaining('Degraded') });
  });

  it('[S5-26, E5-05] compares first, and refuses to delete more than is allowed, naming what would go', async () => {
    git('apps', [config('one'), config('two'), config('three')]);
    application('apps');
    await sync(['apps']);
    git('apps', [config('one')], 'def');
    const before = cluster.store.list('configmaps', 'shop').length;
    expect(
      await refused(sync(['apps'], { sync: { prune: true, 'most-prunes': 1 } }, { ...newJournal(), executionId: 'two' })),
    ).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringMatching(
        /would delete 2 objects, and 1 are allowed: ConfigMap shop\/(two|three) \(apps\), ConfigMap shop\/(two|three) \(apps\)/,
      ),
    });
    expect(cluster.store.list('configmaps', 'shop')).toHaveLength(before);
    expect(await sync(['apps'], { sync: {} }, { ...newJournal(), executionId: 'three' })).toMatchObject({
      applications: [{ name: 'apps', revision: 'def', leftToPrune: 2 }],
    });
    expect(cluster.store.list('configmaps', 'shop')).toHaveLength(before);
    await sync(['apps'], { sync: { prune: true, 'most-prunes': 2 } }, { ...newJournal(), executionId: 'four' });
    expect(cluster.store.list('configmaps', 'shop')).toHaveLength(before - 2);
  });

  it('[S5-26, E5-05] deletes nothing where Git renders nothing', async () => {
    git('apps', [config('one')]);
    application('apps');
    await sync(['apps']);
    git('apps', [], 'empty');
    expect(await refused(sync(['apps'], { sync: { prune: true } }, { ...newJournal(), executionId: 'two' }))).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('would delete 1 objects'),
    });
    cluster.world.repositories.clear();
    expect(await refused(sync(['apps'], { sync: { prune: true } }, { ...newJournal(), executionId: 'three' }))).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('repository not found'),
    });
    expect(cluster.store.find('configmaps', 'shop', 'one')).toBeDefined();
  });

  it('takes no older operation for its own, and starts none beside another', async () => {
    git('apps', [config('one')]);
    application('apps');
    await sync(['apps']);
    expect(found('apps').status.operationState.phase).toBe('Succeeded');
    cluster.settings.argoOperationMs = 300;
    const site = open(['apps'], { sync: {} });
    const journal = { ...newJournal(), executionId: 'second' };
    expect(await site.verbs.run?.inspect({}, stepContext(host, journal))).toMatchObject({ state: 'absent' });
    await site.verbs.run?.apply({}, stepContext(host, journal));
    expect(await site.verbs.run?.inspect({}, stepContext(host, journal))).toMatchObject({ state: 'pending' });
    const third = { ...newJournal(), executionId: 'third' };
    await site.verbs.run?.apply({}, stepContext(host, third));
    expect(await runStep(host, site, 'run', {}, third)).toBeDefined();
    const operations = cluster.seen.filter(({ method, body }) => method === 'PATCH' && body.includes('"operation"'));
    expect(new Set(operations.map(({ body }) => /"value":"(\w+)/.exec(body)?.[1]))).toEqual(new Set(['failover', 'second', 'third']));
  });

  it('goes on after its controller died: what was begun is found, not begun again', async () => {
    git('apps', [config('one')]);
    application('apps');
    const journal = newJournal();
    await open(['apps'], { sync: {} }).verbs.run?.apply({}, stepContext(host, journal));
    await open(['apps'], { sync: {} }).verbs.run?.apply({}, stepContext(host, journal));
    expect(await sync(['apps'], {}, journal)).toBeDefined();
    expect(cluster.seen.filter(({ method, body }) => method === 'PATCH' && body.includes('"operation"'))).toHaveLength(1);
  });

  it('says that a sync failed, and in time that one hangs', async () => {
    git('apps', [config('one')]);
    application('apps');
    cluster.settings.argoFault = 'fail';
    expect(await refused(sync(['apps']))).toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('one or more objects failed to apply'),
    });
    cluster.settings.argoFault = 'hang';
    const site = open(['apps'], { sync: {} });
    const journal = { ...newJournal(), executionId: 'hangs' };
    await site.verbs.run?.apply({}, stepContext(host, journal));
    await expect
      .poll(() => site.verbs.run?.inspect({}, stepContext(host, journal)))
      .toMatchObject({ state: 'pending', why: expect.stringContaining('Running') });
  });

  it('says that an application comes from a repository that the spec does not name', async () => {
    git('apps', []);
    application('apps');
    await waitUntil(() => found('apps').status?.sync?.status === 'Synced', 'the comparison');
    expect(await open(['apps'], { repositories: [repoURL] }).observe(probe())).toMatchObject({ health: 'up' });
    expect(await open(['apps'], { repositories: ['https://git.test/other.git'] }).observe(probe())).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining('which the spec does not name') },
    });
  });

  it('is unknown without rights, and down where the API refuses', async () => {
    expect(await openAt(driver, { applications: ['apps'] }, { east: { server: cluster.server } }).observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'not-allowed' },
    });
    await cluster.kill();
    expect(await open(['apps']).observe(probe())).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
  });
});
