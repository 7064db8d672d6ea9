/** How a cluster is reached, and what each way of not being answered is taken for: never for health. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/kubernetes-deployment/driver.ts';
import { driver as nodes } from '../../src/drivers/kubernetes-nodes/driver.ts';
import { everything } from '../systems/kubernetes/access.ts';
import { deployment, podsOf, waitUntil } from '../systems/kubernetes/furniture.ts';
import { type KubernetesStandIn, operatorToken, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, stepContext } from './step-runner.ts';

let cluster: KubernetesStandIn;
let directory: string;
beforeAll(async () => {
  directory = await temporaryDirectory('kubernetes-api');
  cluster = await startKubernetes({
    namespaces: ['shop'],
    users: [
      { name: 'operator', token: operatorToken, certificateName: 'operator', rules: everything },
      {
        name: 'narrow',
        token: 'narrow-token',
        rules: [
          { verbs: ['get', 'list'], groups: ['apps', ''], resources: ['deployments', 'pods'], namespaces: ['shop'] },
          {
            verbs: ['get', 'list', 'patch'],
            groups: ['apps', 'autoscaling'],
            resources: ['deployments', 'horizontalpodautoscalers'],
            namespaces: ['elsewhere'],
          },
        ],
      },
    ],
  });
  cluster.add('deployments', 'shop', deployment('shop', 'api', 2));
  await waitUntil(() => podsOf(cluster, 'shop', 'api').filter(({ ready }) => ready).length === 2, 'two pods');
});
afterAll(async () => {
  await cluster?.stop();
  await removeDirectory(directory);
});

const open = (site: object, probeTimeoutMs = 2_000) =>
  openAt(driver, { namespace: 'shop', name: 'api', 'full-replicas': 4, 'call-timeout': '1s' }, { east: site }, { probeTimeoutMs });
const withToken = (token = operatorToken): object => ({ server: cluster.server, ca: cluster.tls?.ca, token: new Secret(token, 'test') });

describe('reaching a cluster (stand-in)', () => {
  const write = async (name: string, change: (config: Record<string, never>) => void): Promise<string> => {
    const { readFile } = await import('node:fs/promises');
    const config = JSON.parse(await readFile(await cluster.writeKubeconfig('stand-in'), 'utf8')) as Record<string, never>;
    change(config);
    const path = join(directory, name);
    await writeFile(path, JSON.stringify(config));
    return path;
  };
  // biome-ignore lint/suspicious/noExplicitAny: a kubeconfig is changed in a way that no type of it would allow.
  const of = (config: any) => ({ cluster: config.clusters[0].cluster, user: config.users[0].user, config });

  it('works by kubeconfig with a token, with a certificate, with a file of the token, and by server, token and authority', async () => {
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, `${operatorToken}\n`);
    const byFile = await write('by-file', (config) => {
      of(config).config.users[0].user = { tokenFile: 'token' };
    });
    const key = new Secret(await host.files.readText(cluster.tls?.key as string), 'test');
    const ways = [
      { kubeconfig: await cluster.writeKubeconfig('stand-in'), context: 'stand-in' },
      { kubeconfig: await cluster.writeKubeconfig('stand-in', { user: 'certificate' }) },
      { kubeconfig: byFile },
      withToken(),
      { server: cluster.server, ca: cluster.tls?.ca, certificate: cluster.tls?.certificate, key },
    ];
    for (const way of ways)
      expect(await open(way).observe(probe()), JSON.stringify(way)).toMatchObject({ health: 'up', replicas: { ready: 2 } });
  });

  it('works by a plug-in that prints a token, and asks it once for as long as the token lasts', async () => {
    const calls = join(directory, 'calls');
    const status = { token: operatorToken, expirationTimestamp: '2999-01-01T00:00:00Z' };
    const script = `echo x >> ${calls}; echo '${JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status })}'`;
    const kubeconfig = await write('by-plug-in', (config) => {
      of(config).config.users[0].user = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] } };
    });
    const site = open({ kubeconfig });
    expect((await site.observe(probe())).health).toBe('up');
    expect((await site.observe(probe())).health).toBe('up');
    expect(await host.files.readText(calls)).toBe('x\n');
    // Four requests at once.
    expect((await openAt(nodes, {}, { east: { kubeconfig } }).observe(probe())).health).toBe('up');
    expect(await host.files.readText(calls)).toBe('x\nx\n');
    const failing = await write('failing-plug-in', (config) => {
      of(config).config.users[0].user = { exec: { command: 'sh', args: ['-c', 'echo expired >&2; exit 1'] } };
    });
    expect(await open({ kubeconfig: failing }).observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'not-allowed', detail: expect.stringContaining('expired') },
    });
  });

  it.each([
    [
      'that leaves the server unchecked',
      (config: object) => Object.assign(of(config).cluster, { 'insecure-skip-tls-verify': true }),
      'insecure-skip-tls-verify',
    ],
    ['with a proxy', (config: object) => Object.assign(of(config).cluster, { 'proxy-url': 'http://proxy' }), 'proxy-url'],
    ['without its cluster', (config: object) => Object.assign(of(config).config, { clusters: [] }), 'has no cluster'],
    ['without the context', (config: object) => Object.assign(of(config).config, { contexts: [] }), 'has no context stand-in'],
    ['in the clear', (config: object) => Object.assign(of(config).cluster, { server: 'http://10.0.0.1:6443' }), 'without https'],
  ])('refuses a kubeconfig %s', async (_, change, words) => {
    const kubeconfig = await write('wrong', change as never);
    expect(await open({ kubeconfig }).observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error', detail: expect.stringContaining(words) },
    });
  });

  it('takes up a token that was changed in the kubeconfig, once the old one is not accepted any more', async () => {
    const kubeconfig = await write('changed', (config) => {
      of(config).user.token = 'ended';
    });
    const site = open({ kubeconfig });
    expect((await site.observe(probe())).evidence.kind).toBe('not-allowed');
    await write('changed', () => {});
    expect((await site.observe(probe())).health).toBe('up');
  });

  it('says which options contradict each other', () => {
    const faultsOf = (site: object) =>
      driver
        .validate?.({
          options: driver.componentOptions.parse({ namespace: 'a', name: 'b' }),
          sites: new Map([['east', driver.siteOptions.parse(site)]]),
          replication: 'asynchronous',
        })
        .map(({ message }) => message);
    expect(faultsOf({})).toEqual(['nothing says how the cluster is reached']);
    expect(faultsOf({ kubeconfig: '/k', server: 'https://a' })).toEqual(['kubeconfig and server exclude each other']);
    expect(faultsOf({ server: 'http://10.0.0.1' })).toEqual(['the token would go over the network in the clear']);
    expect(faultsOf({ kubeconfig: '/k', token: new Secret('x', 'test') })).toEqual(['token is for server, which is missing']);
    expect(faultsOf({ 'in-cluster': true, context: 'x' })).toEqual(['context says nothing without a kubeconfig']);
  });
});

describe('a cluster (stand-in) that does not answer as it should', () => {
  beforeEach(() => cluster.heal());
  afterEach(() => {
    cluster.heal();
    cluster.setSilent(false);
  });

  it.each([
    ['a wrong token', () => withToken('wrong'), 'not-allowed', 'Unauthorized'],
    [
      'an authority that did not sign it',
      () => ({ server: cluster.server, token: new Secret(operatorToken, 'test') }),
      'error',
      /self-signed|unable to verify/,
    ],
    ['another cluster', () => ({ ...withToken(), 'cluster-id': '11111111-1111-4111-8111-111111111111' }), 'error', 'another cluster'],
    ['nobody there', () => ({ server: 'https://127.0.0.1:1', token: new Secret('x', 'test') }), 'unreachable', 'says nothing of the pods'],
  ])('%s is unknown, never healthy', async (_, site, kind, words) => {
    const reading = await open(site()).observe(probe());
    expect(reading).toMatchObject({
      health: 'unknown',
      evidence: { kind, detail: typeof words === 'string' ? expect.stringContaining(words) : expect.stringMatching(words) },
    });
  });

  it.each([
    ['status 500', { kind: 'status', status: 500 }, 'error'],
    ['status 429', { kind: 'status', status: 429 }, 'error'],
    ['a web page', { kind: 'web-page' }, 'error'],
    ['half an answer', { kind: 'half-answer' }, 'error'],
    ['a reset', { kind: 'reset' }, 'unreachable'],
    ['silence', { kind: 'hang' }, 'timeout'],
  ] as const)('%s is unknown, never healthy, and does not hold the probe up', async (_, fault, kind) => {
    cluster.order({ ...fault, times: 10 });
    const begunMs = performance.now();
    expect(await open(withToken(), 300).observe(probe())).toMatchObject({ health: 'unknown', evidence: { kind } });
    expect(performance.now() - begunMs).toBeLessThan(5_000);
  });

  it('is down where the deployment is not there at all', async () => {
    const site = openAt(driver, { namespace: 'shop', name: 'nothing' }, { east: withToken() });
    expect(await site.observe(probe())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringContaining('not found') },
    });
  });

  it('changes nothing in another cluster than the spec says', async () => {
    const site = open({ ...withToken(), 'cluster-id': '11111111-1111-4111-8111-111111111111' });
    await expect(site.verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_IDENTITY',
    });
    expect(cluster.store.find('deployments', 'shop', 'api')?.spec.replicas).toBe(2);
  });

  it('does with few rights what few rights allow, and names the one that is missing', async () => {
    const site = open(withToken('narrow-token'));
    expect(await site.observe(probe())).toMatchObject({ health: 'up', replicas: { ready: 2 } });
    expect((await site.observe(probe())).facts).not.toHaveProperty('zones');
    await expect(site.verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_CREDENTIALS',
      message: expect.stringContaining('cannot patch resource "deployments"'),
    });
  });

  it('is as well as it is where an Application keeps it that may not be read, says so, and is not changed', async () => {
    cluster.add('customresourcedefinitions', undefined, {
      metadata: { name: 'applications.argoproj.io' },
      spec: { group: 'argoproj.io', names: {}, scope: 'Namespaced', versions: [] },
    });
    const kept = deployment('shop', 'kept', 1);
    cluster.add('deployments', 'shop', {
      ...kept,
      metadata: { ...kept.metadata, annotations: { 'argocd.argoproj.io/tracking-id': 'shop:apps/Deployment:shop/kept' } },
    });
    await waitUntil(() => podsOf(cluster, 'shop', 'kept').some(({ ready }) => ready), 'its pod');
    const site = openAt(driver, { namespace: 'shop', name: 'kept', 'full-replicas': 4 }, { east: withToken('narrow-token') });
    expect(await site.observe(probe())).toMatchObject({
      health: 'up',
      faults: [{ message: expect.stringContaining('an Application keeps it, and scaling is refused') }],
    });
    await expect(site.verbs.scale?.apply({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_CREDENTIALS',
    });
    expect(cluster.store.find('deployments', 'shop', 'kept')?.spec.replicas).toBe(1);
  });

  it('does not guess when the answer to a change is lost, and finds the effect', async () => {
    const isPatch = (method: string) => method === 'PATCH';
    cluster.order({ kind: 'lose-answer', matches: isPatch });
    const site = open(withToken());
    const journal = newJournal();
    await expect(site.verbs.scale?.apply({ size: 'full' }, stepContext(host, journal))).rejects.toMatchObject({
      code: 'SYSTEM_OUTCOME_UNKNOWN',
    });
    expect(await site.verbs.scale?.inspect({ size: 'full' }, stepContext(host, journal))).toMatchObject({
      state: 'done',
      output: { wanted: 4, previous: 2 },
    });
  });
});
