/** The workload suite on deployments and stateful sets, and what is special to them: zones, quotas, rollouts, autoscalers, Argo CD, lost nodes. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import type { AnyDriver } from '../../src/contracts/driver.ts';
import type { Reading } from '../../src/contracts/observation.ts';
import { driver as deployments } from '../../src/drivers/kubernetes-deployment/driver.ts';
import { driver as statefulSets } from '../../src/drivers/kubernetes-statefulset/driver.ts';
import type { Fields } from '../systems/kubernetes/fields.ts';
import { deployment, podsOf, statefulSet, waitUntil } from '../systems/kubernetes/furniture.ts';
import { type KubernetesStandIn, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { connectionTo, clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';
import { describeWorkload, type WorkloadHarness } from './workload.ts';

const messagesOf = ({ faults = [] }: Reading): string => faults.map(({ message }) => message).join('\n');

function harnessOf(driver: AnyDriver, resource: 'deployments' | 'statefulsets'): WorkloadHarness {
  return {
    name: `${driver.name} (stand-in)`,
    overHttp: false,
    deadEvidence: 'wrong-answer',
    needsHands: false,
    async start() {
      const cluster = await startKubernetes({ namespaces: ['shop'], plain: true });
      cluster.add(resource, 'shop', resource === 'deployments' ? deployment('shop', 'api', 0) : statefulSet('shop', 'api', 0));
      const site = { server: cluster.server, ...tokenOf(cluster) };
      return {
        host,
        full: 3,
        counts: true,
        barsOlderEpochs: true,
        openSite: ({ probeTimeoutMs } = {}) =>
          openAt(
            driver,
            { namespace: 'shop', name: 'api', 'full-replicas': 3, 'standby-replicas': 1 },
            { east: site },
            probeTimeoutMs === undefined ? {} : { probeTimeoutMs },
          ),
        running: async () => {
          const wanted = Number(cluster.store.find(resource, 'shop', 'api')?.spec.replicas);
          await waitUntil(() => podsOf(cluster, 'shop', 'api').length === wanted, `${wanted} pods`);
          return podsOf(cluster, 'shop', 'api').length;
        },
        kill: async () => {
          for (const { metadata } of cluster.store.list('nodes')) cluster.setNodeReady(metadata.name, false);
          await waitUntil(() => !cluster.store.find(resource, 'shop', 'api')?.status?.readyReplicas, 'no pod to be ready');
        },
        dispose: () => cluster.stop(),
      };
    },
  };
}

/** A token as the spec loader hands it over. */
function tokenOf(cluster: KubernetesStandIn): object {
  return { token: new Secret(cluster.token, 'test') };
}

describeWorkload(harnessOf(deployments, 'deployments'));
describeWorkload(harnessOf(statefulSets, 'statefulsets'));

describe('a deployment (stand-in)', () => {
  let cluster: KubernetesStandIn;
  let connection: object;
  beforeEach(async () => {
    cluster = await startKubernetes({
      plain: true,
      namespaces: ['shop', 'argocd'],
      definitions: ['argocd'],
      nodes: { 'worker-1': 'eu-central-1a', 'worker-2': 'eu-central-1b', 'worker-3': 'eu-central-1c' },
    });
    connection = await connectionTo(cluster);
  });
  afterEach(() => cluster.stop());

  const open = (options: object = {}, site: object = {}) =>
    openAt(deployments, { namespace: 'shop', name: 'api', ...options }, { east: { ...connection, ...site } });
  const run = (replicas: number, name = 'api') => {
    cluster.add('deployments', 'shop', deployment('shop', name, replicas));
    return waitUntil(() => cluster.store.find('deployments', 'shop', name)?.status?.readyReplicas === replicas, `${replicas} pods`);
  };
  const object = (): Fields => cluster.store.find('deployments', 'shop', 'api') as Fields;

  it('[S3-01, S5-14] shows active and standby sizes, and a standby at 0 as a problem', async () => {
    await run(2);
    const site = open({ 'full-replicas': 10, 'standby-replicas': 2 });
    expect(await site.observe(probe())).toMatchObject({
      health: 'up',
      replicas: { wanted: 2, ready: 2 },
      faults: [],
      identity: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    await runStep(host, site, 'scale', { size: 'none' });
    await runStep(host, site, 'await-ready', { size: 'none' });
    const reading = await site.observe(probe());
    expect(reading).toMatchObject({
      health: 'down',
      faults: [{ severity: 'problem', message: expect.stringContaining('0 replicas are set, and the spec wants at least 2') }],
    });
  });

  it('[S3-12, S5-36] scales to 10 and waits for them', async () => {
    await run(2);
    const site = open({ 'full-replicas': 10, 'standby-replicas': 2 });
    expect(await runStep(host, site, 'scale', { size: 'full' }, newJournal(4))).toEqual({ wanted: 10, previous: 2 });
    expect(await runStep(host, site, 'await-ready', { size: 'full', share: 0.8 })).toMatchObject({ wanted: 10 });
    expect(await site.readEpoch?.(probe())).toBe(4);
  });

  it('[S3-12, S3-14] stays pending below the share where a quota allows no more, and says why', async () => {
    cluster.add('resourcequotas', 'shop', { metadata: { name: 'pods' }, spec: { hard: { pods: '7' } } });
    cluster.settings.progressDeadlineMs = 60_000;
    await run(2);
    const site = open({ 'full-replicas': 10 });
    await runStep(host, site, 'scale', { size: 'full' });
    await waitUntil(() => object().status.readyReplicas === 7, 'seven');
    const context = stepContext(host, newJournal());
    expect(await site.verbs['await-ready']?.inspect({ size: 'full', share: 0.8 }, context)).toMatchObject({
      state: 'pending',
      why: expect.stringContaining('7 of 10 ready, 8 needed'),
    });
    expect(messagesOf(await site.observe(probe()))).toContain('exceeded quota: pods');
    cluster.settings.progressDeadlineMs = 50;
    await waitUntil(
      () => (object().status.conditions as Fields[]).some(({ reason }) => reason === 'ProgressDeadlineExceeded'),
      'the rollout to fail',
    );
    await expect(site.verbs['await-ready']?.inspect({ size: 'full', share: 0.8 }, context)).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('timed out progressing'),
    });
  });

  it('[S3-25] goes back to its standby size', async () => {
    await run(10);
    const site = open({ 'full-replicas': 10, 'standby-replicas': 2 });
    await runStep(host, site, 'scale', { size: 'standby' });
    expect(await runStep(host, site, 'await-ready', { size: 'standby', share: 1 })).toMatchObject({ wanted: 2 });
    await waitUntil(() => podsOf(cluster, 'shop', 'api').length === 2, 'two to be left');
  });

  it('[S1-08, S3-43, S5-18] takes no action when one pod dies: it is ready again by itself', async () => {
    await run(3);
    const site = open();
    await site.observe(probe());
    cluster.settings.podReadyMs = 150;
    cluster.seen.splice(0);
    const crashedMs = performance.now();
    cluster.crashPod('shop', podsOf(cluster, 'shop', 'api')[0]?.name as string);
    await waitUntil(() => object().status.readyReplicas === 2, 'one to be missing');
    expect(await site.observe(probe())).toMatchObject({ health: 'up', replicas: { wanted: 3, ready: 2 } });
    await waitUntil(() => object().status.readyReplicas === 3, 'all again');
    expect((await site.observe(probe())).replicas).toEqual({ wanted: 3, ready: 3 });
    expect(performance.now() - crashedMs).toBeLessThan(120_000);
    expect(cluster.seen.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it('[S4-20, S4-21, S4-22] counts pods by the zones of their nodes, and sees them move when a zone is lost', async () => {
    await run(3);
    const site = open({ zones: 3 });
    expect(await site.observe(probe())).toMatchObject({
      facts: { zones: { 'eu-central-1a': 1, 'eu-central-1b': 1, 'eu-central-1c': 1 } },
      faults: [],
    });
    const lostMs = performance.now();
    cluster.setNodeReady('worker-1', false);
    await waitUntil(
      () => podsOf(cluster, 'shop', 'api').filter(({ ready, node }) => ready && node !== 'worker-1').length === 3,
      'the pods elsewhere',
    );
    expect(performance.now() - lostMs).toBeLessThan(300_000);
    const reading = await site.observe(probe());
    expect(Object.keys((reading.facts as Fields).zones).sort()).toEqual(['eu-central-1b', 'eu-central-1c']);
    expect(messagesOf(reading)).toContain('ready pods are in 2 of the 3 zones wanted');
  });

  it('[S1-30] restores the counts that it recorded itself, also after its controller was replaced', async () => {
    await run(5);
    await runStep(host, open(), 'fence', {}, newJournal(3));
    expect(object().metadata.annotations).toMatchObject({
      'holdfast.dev/full-replicas': '5',
      'holdfast.dev/epoch': '3',
      'holdfast.dev/fenced-under-epoch': '3',
    });
    const later = open();
    expect((await later.observe(probe())).facts).toMatchObject({ fullReplicas: 5 });
    expect(await runStep(host, later, 'scale', { size: 'full' }, newJournal(4))).toMatchObject({ wanted: 5, previous: 0 });
    await waitUntil(() => podsOf(cluster, 'shop', 'api').length === 5, 'all five');
    expect(object().metadata.annotations).not.toHaveProperty('holdfast.dev/full-replicas');
  });

  it('[S4-26] is up only while its service answers as it should, however many pods are ready', async () => {
    await run(2);
    let healthy = true;
    const service = createServer((_, response) => response.end(JSON.stringify({ status: healthy ? 'healthy' : 'degraded' })));
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
      const smoke = [{ path: '/anything', expect: { json: { status: 'healthy' } } }];
      const site = open({ health: { path: '/health', json: { status: 'healthy' } }, smoke }, { service: { url } });
      expect(await site.observe(probe())).toMatchObject({ health: 'up', replicas: { wanted: 2, ready: 2 } });
      expect(await runStep(host, site, 'check', {})).toMatchObject({ detail: expect.stringContaining('1 smoke checks passed') });
      healthy = false;
      expect(await site.observe(probe())).toMatchObject({ health: 'down', evidence: { kind: 'wrong-answer' }, replicas: { ready: 2 } });
      expect(await site.verbs['await-ready']?.inspect({ size: 'full', share: 1 }, stepContext(host, newJournal()))).toMatchObject({
        state: 'pending',
      });
      expect(await site.verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({ state: 'pending' });
    } finally {
      await new Promise((resolve) => service.close(resolve));
    }
  });

  it('will not guess how many there were', async () => {
    cluster.add('deployments', 'shop', deployment('shop', 'api', 0));
    await expect(open().verbs.scale?.inspect({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      hint: expect.stringContaining('full-replicas'),
    });
  });

  it('is fenced only once no pod is left, also none on a node that nobody hears of', async () => {
    await run(3);
    cluster.settings.podEndMs = 500;
    const site = open({ 'deny-network': true });
    const journal = newJournal(2);
    await site.verbs.fence?.apply({}, stepContext(host, journal));
    await waitUntil(() => podsOf(cluster, 'shop', 'api').length === 0, 'all to be ending');
    expect(await site.verbs.fence?.inspect({}, stepContext(host, journal))).toMatchObject({ state: 'pending' });
    expect(await runStep(host, site, 'fence', {}, journal)).toMatchObject({ proof: 'stopped' });
    expect(cluster.store.find('networkpolicies', 'shop', 'holdfast-fence-api')?.spec).toEqual({
      podSelector: { matchLabels: { app: 'api' } },
      policyTypes: ['Ingress', 'Egress'],
    });
    await runStep(host, site, 'scale', { size: 'full' }, newJournal(3));
    expect(cluster.store.list('networkpolicies', 'shop')).toEqual([]);
    await waitUntil(() => podsOf(cluster, 'shop', 'api').filter(({ ready }) => ready).length === 3, 'all again');
    cluster.setNodeReady('worker-1', false);
    const lost = newJournal(4);
    await site.verbs.fence?.apply({}, stepContext(host, lost));
    await waitUntil(() => cluster.store.list('pods', 'shop').length === 1, 'one to be left');
    await expect
      .poll(() => site.verbs.fence?.inspect({}, stepContext(host, lost)))
      .toMatchObject({ state: 'pending', why: expect.stringContaining('1 pods are still there') });
  });

  it('[S2-35, S3-19] restarts its pods once, waits for the whole rollout, and fails with one that is stuck', async () => {
    await run(4);
    const before = podsOf(cluster, 'shop', 'api').map(({ name }) => name);
    const site = open();
    const journal = newJournal();
    expect(await runStep(host, site, 'run', {}, journal)).toMatchObject({ detail: expect.stringContaining('4 replicas are new') });
    const after = podsOf(cluster, 'shop', 'api').map(({ name }) => name);
    expect(after.filter((name) => before.includes(name))).toEqual([]);
    await site.verbs.run?.apply({}, stepContext(host, journal));
    expect(await runStep(host, open(), 'run', {}, journal)).toBeDefined();
    expect(podsOf(cluster, 'shop', 'api').map(({ name }) => name)).toEqual(after);
    cluster.settings.badImages.add('app:1');
    cluster.settings.podReadyMs = 10_000;
    const stuck = newJournal();
    await site.verbs.run?.apply({}, stepContext(host, { ...stuck, executionId: 'another' }));
    await waitUntil(
      () => (object().status.conditions as Fields[]).some(({ reason }) => reason === 'ProgressDeadlineExceeded'),
      'the rollout to be stuck',
    );
    await expect(site.verbs.run?.inspect({}, stepContext(host, { ...stuck, executionId: 'another' }))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      hint: expect.stringContaining('rollout undo'),
    });
  });

  it('refuses a number that an autoscaler would change, and warns of it beforehand', async () => {
    await run(4);
    cluster.add('horizontalpodautoscalers', 'shop', {
      metadata: { name: 'api' },
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'api' }, minReplicas: 3, maxReplicas: 8 },
    });
    const site = open({ 'full-replicas': 10 });
    expect(messagesOf(await site.observe(probe()))).toContain('the autoscaler api holds it between 3 and 8');
    await expect(site.verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('between 3 and 8'),
    });
    expect(await runStep(host, site, 'fence', {})).toMatchObject({ proof: 'stopped' });
  });

  describe('kept by Argo CD', () => {
    const source = { repoURL: 'https://git.test/apps', path: 'shop' };
    const application = (): Fields => cluster.store.find('applications', 'argocd', 'shop') as Fields;
    beforeEach(async () => {
      cluster.world.repositories.set('https://git.test/apps shop', { revision: 'abc', manifests: [deployment('shop', 'api', 2)] });
      cluster.add('applications', 'argocd', {
        metadata: { name: 'shop' },
        spec: {
          project: 'default',
          source,
          destination: { namespace: 'shop' },
          syncPolicy: { automated: { selfHeal: true, prune: false } },
        },
      });
      await waitUntil(() => podsOf(cluster, 'shop', 'api').length === 2, 'the first sync');
    });

    it('is not scaled behind its back', async () => {
      const site = open({ 'full-replicas': 6 });
      expect((await site.observe(probe())).faults?.map(({ message }) => message)).toContainEqual(
        expect.stringContaining('the Application shop heals itself'),
      );
      await expect(site.verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
        code: 'SYSTEM_REFUSED',
        hint: expect.stringContaining('argocd.through'),
      });
      expect(object().spec.replicas).toBe(2);
    });

    it('has its automated sync suspended while another number stands, and gets it back', async () => {
      const site = open({ argocd: { through: 'suspend' } });
      await runStep(host, site, 'fence', {}, newJournal(2));
      expect(application().spec.syncPolicy.automated).toBeUndefined();
      await new Promise((resolve) => setTimeout(resolve, cluster.settings.argoIntervalMs * 4));
      expect(object().spec.replicas).toBe(0);
      await runStep(host, site, 'scale', { size: 'full' }, newJournal(3));
      expect(application()).toMatchObject({ spec: { syncPolicy: { automated: { selfHeal: true, prune: false } } } });
      expect(application().metadata.annotations).not.toHaveProperty('holdfast.dev/suspended-sync');
      expect(object().spec.replicas).toBe(2);
    });

    it('is scaled by the parameters of its Application, and healing keeps that number', async () => {
      const site = open({ 'full-replicas': 6, argocd: { through: 'kustomize' } });
      expect(await runStep(host, site, 'scale', { size: 'full' }, newJournal(2))).toMatchObject({ wanted: 6 });
      expect(application().spec.source.kustomize.replicas).toEqual([{ name: 'api', count: 6 }]);
      await waitUntil(() => podsOf(cluster, 'shop', 'api').length === 6, 'six');
      expect(await site.readEpoch?.(probe())).toBe(2);
    });

    it('is refused where the Application itself is kept by another one', async () => {
      cluster.store.change('applications', application() as never, (copy) => {
        copy.metadata.annotations = { 'argocd.argoproj.io/tracking-id': 'root:argoproj.io/Application:argocd/shop' };
      });
      const site = open({ argocd: { through: 'suspend' } });
      await expect(site.verbs.fence?.apply({}, stepContext(host, newJournal()))).rejects.toMatchObject({
        code: 'SYSTEM_REFUSED',
        message: expect.stringContaining('itself kept by root'),
      });
    });
  });
});

describe('a stateful set (stand-in)', () => {
  it('[S1-27, S1-30] records its count, goes to none and comes back with its volumes', async () => {
    const cluster = await startKubernetes({ plain: true, namespaces: ['shop'] });
    try {
      cluster.add('statefulsets', 'shop', statefulSet('shop', 'db', 3));
      await waitUntil(() => podsOf(cluster, 'shop', 'db').filter(({ ready }) => ready).length === 3, 'three');
      const site = openAt(statefulSets, { namespace: 'shop', name: 'db' }, { east: await connectionTo(cluster) });
      expect(await runStep(host, site, 'scale', { size: 'none' })).toEqual({ wanted: 0, previous: 3 });
      expect(await runStep(host, site, 'await-ready', { size: 'none' })).toEqual({ wanted: 0, ready: 0 });
      expect(await runStep(host, site, 'scale', { size: 'full' })).toMatchObject({ wanted: 3 });
      expect(await runStep(host, site, 'await-ready', { size: 'full', share: 1 })).toEqual({ wanted: 3, ready: 3 });
      expect(cluster.store.list('persistentvolumeclaims', 'shop')).toHaveLength(3);
      expect(await runStep(host, site, 'run', {})).toMatchObject({ detail: expect.stringContaining('3 replicas are new and ready') });
    } finally {
      await cluster.stop();
    }
  });
});
