/** The route suite on a value in a ConfigMap, in one cluster for each region, and what is special to it: secrets, restarts, a cluster that is gone, Argo CD. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/kubernetes-config/driver.ts';
import type { Fields } from '../systems/kubernetes/fields.ts';
import { deployment, podsOf, waitUntil } from '../systems/kubernetes/furniture.ts';
import { kindNamed } from '../systems/kubernetes/kinds.ts';
import { type KubernetesStandIn, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { describeRoute, type RouteHarness, type RouteRegion, type RouteSubject } from './route.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const values = { east: 'ledger.east.internal:50051', west: 'ledger.dr-region.internal:50051' } as const;
const options = { namespace: 'shop', 'config-map': 'ledger-config', key: 'LEDGER_ENDPOINT' };

interface Clusters {
  readonly east: KubernetesStandIn;
  readonly west: KubernetesStandIn;
}

async function startClusters(): Promise<Clusters> {
  const [east, west] = await Promise.all(
    ['a', 'b'].map(() => startKubernetes({ plain: true, namespaces: ['shop', 'argocd'], definitions: ['argocd'] })),
  );
  for (const cluster of [east, west])
    cluster?.add('configmaps', 'shop', { metadata: { name: 'ledger-config' }, data: { LEDGER_ENDPOINT: values.east, OTHER: 'kept' } });
  return { east: east as KubernetesStandIn, west: west as KubernetesStandIn };
}

const siteOf = (cluster: KubernetesStandIn, value: unknown, token = cluster.token) => ({
  server: cluster.server,
  token: new Secret(token, 'test'),
  value,
});

function dataOf(cluster: KubernetesStandIn, resource = 'configmaps', name = 'ledger-config'): Fields {
  return (cluster.store.find(resource, 'shop', name) as Fields).data as Fields;
}

const harness: RouteHarness = {
  name: 'kubernetes-config (stand-in)',
  traits: { weights: false, compareAndSwap: true },
  proves: { route: '[S2-34]' },
  async start(): Promise<RouteSubject> {
    const { east, west } = await startClusters();
    const each = [east, west];
    return {
      host,
      openSite: (region, { host: own = host, credentials, probeTimeoutMs = 2_000 } = {}) => {
        const token = credentials === 'wrong' ? 'wrong' : east.token;
        return openAt(
          driver,
          { ...options, 'call-timeout': '1s' },
          { east: siteOf(east, values.east, token), west: siteOf(west, values.west, token) },
          { region, host: own, probeTimeoutMs },
        );
      },
      clientRegion: async () =>
        (Object.keys(values) as RouteRegion[]).find((region) =>
          each.every((cluster) => dataOf(cluster).LEDGER_ENDPOINT === values[region]),
        ),
      changes: async () => undefined,
      routeByHand: async (to) => {
        for (const { store } of each) {
          const found = store.get(kindNamed('configmaps'), 'shop', 'ledger-config');
          store.update(kindNamed('configmaps'), {
            ...found,
            data: { ...found.data, LEDGER_ENDPOINT: values[to], by: `hand ${store.version}` },
          });
        }
      },
      isChange: (data) => /^(PATCH|POST|PUT|DELETE) /.test(Buffer.from(data).toString()),
      kill: async () => {
        await Promise.all(each.map((cluster) => cluster.kill()));
      },
      hang: () => {
        for (const cluster of each) cluster.setSilent(true);
      },
      dispose: async () => {
        await Promise.all(each.map((cluster) => cluster.stop()));
      },
    };
  },
};

describeRoute(harness);

describe('a value in a cluster (stand-in)', () => {
  let east: KubernetesStandIn;
  let west: KubernetesStandIn;
  beforeEach(async () => {
    ({ east, west } = await startClusters());
  });
  afterEach(async () => {
    await Promise.all([east.stop(), west.stop()]);
  });
  const open = (
    more: object = {},
    sites: Readonly<Record<string, object>> = { east: siteOf(east, values.east), west: siteOf(west, values.west) },
    probeTimeoutMs = 500,
  ) => openAt(driver, { ...options, ...more }, sites, { region: 'west', probeTimeoutMs });
  const run = async (cluster: KubernetesStandIn, name: string): Promise<void> => {
    cluster.add('deployments', 'shop', deployment('shop', name, 2));
    await waitUntil(() => podsOf(cluster, 'shop', name).filter(({ ready }) => ready).length === 2, 'two pods');
  };

  it('[S2-34] is set in the namespace that the spec names, with the old value recorded, and nothing else in it touched', async () => {
    const output = await runStep(host, open(), 'route', { to: 'west' }, newJournal(3));
    expect(output).toEqual({ confirmedBy: ['east', 'west'], unconfirmed: [], previous: { east: values.east, west: values.east } });
    const object = west.store.find('configmaps', 'shop', 'ledger-config') as Fields;
    expect(object.data).toEqual({ LEDGER_ENDPOINT: values.west, OTHER: 'kept' });
    expect(JSON.parse(object.metadata.annotations['holdfast.dev/previous-value'])).toEqual({ LEDGER_ENDPOINT: values.east });
  });

  it('[S2-35] restarts what reads it, waits for the whole rollout, and restarts nothing twice', async () => {
    for (const cluster of [east, west]) await run(cluster, 'engine');
    const before = podsOf(west, 'shop', 'engine').map(({ name }) => name);
    const site = open({ restart: [{ deployment: 'engine' }] });
    const journal = newJournal();
    await runStep(host, site, 'route', { to: 'west' }, journal);
    const after = podsOf(west, 'shop', 'engine').map(({ name }) => name);
    expect(after.filter((name) => before.includes(name))).toEqual([]);
    await runStep(host, open({ restart: [{ deployment: 'engine' }] }), 'route', { to: 'west' }, journal);
    expect(podsOf(west, 'shop', 'engine').map(({ name }) => name)).toEqual(after);
  });

  it('[S2-35] goes on with the restart where its controller died between the value and the restart', async () => {
    for (const cluster of [east, west]) await run(cluster, 'engine');
    west.order({ kind: 'status', status: 500, matches: (method, path) => method === 'PATCH' && path.includes('/deployments/') });
    const journal = newJournal();
    const verb = () => open({ restart: [{ deployment: 'engine' }] }).verbs.route;
    await expect(verb()?.apply({ to: 'west' }, stepContext(host, journal))).rejects.toMatchObject({ code: 'SYSTEM_NOT_SERVING' });
    expect(dataOf(west).LEDGER_ENDPOINT).toBe(values.west);
    expect(await verb()?.inspect({ to: 'west' }, stepContext(host, journal))).toMatchObject({
      state: 'absent',
      why: expect.stringContaining('was not restarted'),
    });
    await runStep(host, open({ restart: [{ deployment: 'engine' }] }), 'route', { to: 'west' }, journal);
  });

  it('[S2-35] fails where the rollout is stuck', async () => {
    for (const cluster of [east, west]) await run(cluster, 'engine');
    west.settings.badImages.add('app:1');
    const site = open({ restart: [{ deployment: 'engine' }] });
    const journal = newJournal();
    await site.verbs.route?.apply({ to: 'west' }, stepContext(host, journal));
    await expect
      .poll(() => site.verbs.route?.inspect({ to: 'west' }, stepContext(host, journal)).catch((error: unknown) => error))
      .toMatchObject({ code: 'SYSTEM_REFUSED', message: expect.stringContaining('timed out progressing') });
  });

  it('waits for no cluster that is gone, and names it', async () => {
    await east.kill();
    expect(await runStep(host, open(), 'route', { to: 'west' })).toMatchObject({
      confirmedBy: ['west'],
      unconfirmed: [{ region: 'east', why: expect.stringContaining('can not be reached') }],
    });
    await east.start();
    east.setSilent(true);
    const begunMs = performance.now();
    await runStep(host, open(), 'route', { to: 'west' }, newJournal(2));
    expect(performance.now() - begunMs).toBeLessThan(5_000);
    expect(dataOf(west).LEDGER_ENDPOINT).toBe(values.west);
  });

  it('[S4-33] switches a Secret without showing either value, and keeps the old one in it', async () => {
    const passwords = { east: 'postgres://primary-secret', west: 'postgres://recovered-secret' };
    for (const cluster of [east, west]) {
      cluster.add('secrets', 'shop', { metadata: { name: 'database' }, stringData: { DATABASE_URL: passwords.east } });
      await run(cluster, 'llm-agent-service');
    }
    const site = open(
      { 'config-map': undefined, secret: 'database', key: 'DATABASE_URL', restart: [{ deployment: 'llm-agent-service' }] },
      {
        east: siteOf(east, new Secret(passwords.east, 'test')),
        west: siteOf(west, new Secret(passwords.west, 'test')),
      },
    );
    const journal = newJournal();
    const output = await runStep(host, site, 'route', { to: 'west' }, journal);
    const decoded = Object.fromEntries(
      Object.entries(dataOf(west, 'secrets', 'database')).map(([key, value]) => [key, Buffer.from(String(value), 'base64').toString()]),
    );
    expect(decoded).toEqual({ DATABASE_URL: passwords.west, 'DATABASE_URL.previous': passwords.east });
    const reading = await site.observe(probe());
    expect(reading.role).toBe('primary');
    const shown = JSON.stringify([output, journal.note ?? null, reading, west.store.find('secrets', 'shop', 'database')?.metadata]);
    for (const value of Object.values(passwords)) expect(shown).not.toContain(value);
  });

  it('[S4-33, E4-13] is not changed behind the back of Argo CD, and through it stays changed', async () => {
    for (const cluster of [east, west]) {
      cluster.world.repositories.set('https://git.test/apps shop', {
        revision: 'abc',
        manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ledger-config' }, data: { LEDGER_ENDPOINT: values.east } }],
      });
      cluster.add('applications', 'argocd', {
        metadata: { name: 'shop' },
        spec: {
          project: 'default',
          source: { repoURL: 'https://git.test/apps', path: 'shop' },
          destination: { namespace: 'shop' },
          syncPolicy: { automated: { selfHeal: true } },
        },
      });
      const isTracked = (): boolean =>
        cluster.store.find('configmaps', 'shop', 'ledger-config')?.metadata.annotations?.['argocd.argoproj.io/tracking-id'] !== undefined;
      cluster.store.change('configmaps', cluster.store.find('configmaps', 'shop', 'ledger-config') as never, (copy) => {
        copy.data.LEDGER_ENDPOINT = 'else';
      });
      await waitUntil(isTracked, 'Argo CD to keep it');
    }
    await expect(open().verbs.route?.apply({ to: 'west' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('heals itself'),
    });
    await runStep(host, open({ argocd: { through: 'suspend' } }), 'route', { to: 'west' });
    await new Promise((resolve) => setTimeout(resolve, west.settings.argoIntervalMs * 4));
    expect(dataOf(west).LEDGER_ENDPOINT).toBe(values.west);
  });

  it('says that a value leads nowhere, and that a ConfigMap is immutable', async () => {
    const change = (how: (copy: Fields) => void) =>
      west.store.change('configmaps', west.store.find('configmaps', 'shop', 'ledger-config') as never, how);
    change((copy) => {
      copy.data.LEDGER_ENDPOINT = 'elsewhere';
    });
    expect(await open().observe(probe())).toMatchObject({
      health: 'up',
      role: 'unknown',
      faults: [{ message: expect.stringContaining('none of the regions') }],
    });
    change((copy) => {
      copy.immutable = true;
    });
    await expect(open().verbs.route?.apply({ to: 'west' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('immutable'),
    });
  });

  it('says which options contradict each other', () => {
    const faultsOf = (component: object, west: unknown = 'b') =>
      driver
        .validate?.({
          options: driver.componentOptions.parse({ namespace: 'shop', key: 'K', ...component }),
          sites: new Map([
            ['east', driver.siteOptions.parse({ kubeconfig: '/k', value: 'a' })],
            ['west', driver.siteOptions.parse({ kubeconfig: '/k', value: west })],
          ]),
          replication: 'asynchronous',
        })
        .map(({ message }) => message);
    expect(faultsOf({ 'config-map': 'c' })).toEqual([]);
    expect(faultsOf({})).toEqual(['neither config-map nor secret is named']);
    expect(faultsOf({ 'config-map': 'c', secret: 's' })).toEqual(['config-map and secret exclude each other']);
    expect(faultsOf({ 'config-map': 'c' }, new Secret('b', 'test'))).toEqual([
      'a secret does not belong in a ConfigMap, which everybody may read',
    ]);
    expect(faultsOf({ secret: 's' }, new Secret('b', 'test'))).toEqual(['a value of a Secret does not belong in the spec']);
    expect(faultsOf({ 'config-map': 'c' }, 'a')).toEqual(['two regions have the same value: nothing would tell them apart']);
    expect(faultsOf({ 'config-map': 'c', restart: [{}] })).toEqual(['it names not exactly one workload']);
    expect(faultsOf({ 'config-map': 'c', argocd: { through: 'kustomize' } })).toEqual(['kustomize sets replicas only']);
  });
});
