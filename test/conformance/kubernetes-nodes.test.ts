/** Nodes of a cluster: judged by labels and conditions, and drained as budgets allow. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/kubernetes-nodes/driver.ts';
import { deployment, podsOf, statefulSet, waitUntil } from '../systems/kubernetes/furniture.ts';
import { type KubernetesStandIn, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

describe('nodes (stand-in)', () => {
  let cluster: KubernetesStandIn;
  beforeEach(async () => {
    cluster = await startKubernetes({
      plain: true,
      namespaces: ['application'],
      nodes: { 'ip-10-0-1-7': 'us-east-1a', 'ip-10-0-2-7': 'us-east-1b', 'ip-10-0-3-7': 'us-east-1c' },
    });
  });
  afterEach(() => cluster.stop());
  const open = (options: object = {}) =>
    openAt(driver, options, { east: { server: cluster.server, token: new Secret(cluster.token, 'test') } });
  const look = (options: object = {}) => open(options).observe(probe());
  const run = async (replicas: number): Promise<void> => {
    cluster.add('deployments', 'application', deployment('application', 'api', replicas));
    await waitUntil(() => podsOf(cluster, 'application', 'api').filter(({ ready }) => ready).length === replicas, 'the pods');
  };

  it('[S1-21, S3-18, S5-20] are healthy only where all are ready: one that is not blocks', async () => {
    await run(3);
    const options = { pods: { namespace: 'application' }, 'least-nodes': 3 };
    expect(await look(options)).toMatchObject({ health: 'up', faults: [] });
    expect(await runStep(host, open(options), 'check', {})).toMatchObject({ detail: expect.stringContaining('3 nodes') });
    cluster.setNodeReady('ip-10-0-2-7', false);
    expect(await look(options)).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringContaining('ip-10-0-2-7 (NodeStatusUnknown)') },
    });
    expect(await open(options).verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({
      state: 'pending',
      why: expect.stringContaining('2 of 3 nodes are ready'),
    });
    expect(await look({ 'least-nodes': 4 })).toMatchObject({ health: 'down' });
  });

  it('[S4-22, E4-10] count pods by the zone label of nodes, whatever the nodes are called', async () => {
    await run(4);
    const reading = await look({ zones: 3, pods: { namespace: 'application', 'least-per-zone': 1 } });
    const zones = (reading.facts as { zones: Record<string, { pods: number; nodes: number }> }).zones;
    expect(Object.keys(zones).sort()).toEqual(['us-east-1a', 'us-east-1b', 'us-east-1c']);
    expect(Object.values(zones).reduce((sum, { pods }) => sum + pods, 0)).toBe(4);
    expect(await look({ zones: 4 })).toMatchObject({ health: 'down', evidence: { detail: expect.stringContaining('and 4 are wanted') } });
    expect(await look({ pods: { namespace: 'application', 'least-per-zone': 3 } })).toMatchObject({ health: 'down' });
  });

  it('see pods go elsewhere when a node is lost', async () => {
    await run(3);
    cluster.setNodeReady('ip-10-0-1-7', false);
    await waitUntil(
      () => podsOf(cluster, 'application', 'api').filter(({ ready, node }) => ready && node !== 'ip-10-0-1-7').length === 3,
      'the pods elsewhere',
    );
    const reading = await look({ 'ready-share': '60%' });
    expect(reading).toMatchObject({ health: 'up', facts: { zones: { 'us-east-1a': { nodes: 1, ready: 0, room: 0 } } } });
  });

  it('say how many zones are left when one is lost', async () => {
    cluster.setNodeReady('ip-10-0-3-7', false);
    expect((await look({ zones: 3 })).faults?.map(({ message }) => message).join()).toContain(
      'ready nodes are in 2 zones (us-east-1a, us-east-1b), and 3 are wanted',
    );
  });

  it('[S3-53] have volumes that are bound', async () => {
    cluster.add('statefulsets', 'application', statefulSet('application', 'db', 1));
    await waitUntil(() => podsOf(cluster, 'application', 'db').length === 1, 'its pod');
    expect(await look({ claims: { namespace: 'application' } })).toMatchObject({ health: 'up', facts: { claims: 1 } });
    cluster.add('persistentvolumeclaims', 'application', { metadata: { name: 'lost' }, spec: { accessModes: ['ReadWriteOnce'] } });
    expect(await look({ claims: { namespace: 'application' } })).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining('1 of 2 volume claims are not bound: lost') },
    });
  });

  it('[S5-36] say what room the standby cluster has', async () => {
    const reading = await look();
    expect(reading.facts).toMatchObject({
      zones: { 'us-east-1a': { room: 110 }, 'us-east-1b': { room: 110 }, 'us-east-1c': { room: 110 } },
    });
  });

  it('[S3-44] are drained as far as budgets allow, and the pods are ready elsewhere', async () => {
    await run(3);
    cluster.add('poddisruptionbudgets', 'application', {
      metadata: { name: 'api' },
      spec: { minAvailable: 2, selector: { matchLabels: { app: 'api' } } },
    });
    cluster.settings.podReadyMs = 60;
    let least = 3;
    const stop = cluster.store.listen(() => {
      least = Math.min(least, podsOf(cluster, 'application', 'api').filter(({ ready }) => ready).length);
    });
    const options = { drain: { zone: 'us-east-1a' } };
    expect(await runStep(host, open(options), 'run', {})).toEqual({ detail: 'ip-10-0-1-7 cordoned and empty' });
    stop();
    expect(least).toBeGreaterThanOrEqual(2);
    await waitUntil(
      () => podsOf(cluster, 'application', 'api').filter(({ ready, node }) => ready && node !== 'ip-10-0-1-7').length === 3,
      'the pods elsewhere',
    );
    expect(await runStep(host, open(options), 'run', {})).toBeDefined();
    expect((await look()).evidence.detail).toContain('ip-10-0-1-7 (cordoned)');
  });

  it('[S3-44] are not drained against a budget: it waits, and deletes nothing', async () => {
    await run(3);
    cluster.add('poddisruptionbudgets', 'application', {
      metadata: { name: 'api' },
      spec: { minAvailable: 3, selector: { matchLabels: { app: 'api' } } },
    });
    const before = podsOf(cluster, 'application', 'api').map(({ name }) => name);
    const site = open({ drain: { nodes: ['ip-10-0-1-7'] } });
    await expect(site.verbs.run?.apply({}, stepContext(host, newJournal(), { signal: AbortSignal.timeout(700) }))).rejects.toThrow();
    expect(podsOf(cluster, 'application', 'api').map(({ name }) => name)).toEqual(before);
    expect(await site.verbs.run?.inspect({}, stepContext(host, newJournal()))).toMatchObject({
      state: 'absent',
      why: expect.stringContaining('still to be evicted'),
    });
    expect(cluster.seen.filter(({ method }) => method === 'DELETE')).toEqual([]);
  });

  it('are not drained of what nobody would start again, nor when they are not there', async () => {
    cluster.add('pods', 'application', { metadata: { name: 'by-hand' }, spec: { containers: [{ name: 'a', image: 'a' }] } });
    await waitUntil(() => cluster.store.find('pods', 'application', 'by-hand')?.spec.nodeName !== undefined, 'it to be placed');
    const node = String(cluster.store.find('pods', 'application', 'by-hand')?.spec.nodeName);
    await expect(open({ drain: { nodes: [node] } }).verbs.run?.apply({}, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('application/by-hand belong to no controller'),
    });
    expect(cluster.store.find('nodes', undefined, node)?.spec.unschedulable).toBeUndefined();
    await expect(open({ drain: { nodes: ['none'] } }).verbs.run?.inspect({}, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(open().verbs.run).toBeUndefined();
  });

  it('are down where the API refuses, and unknown where it is silent', async () => {
    cluster.setSilent(true);
    expect(await openAt(driver, {}, { east: { server: cluster.server } }, { probeTimeoutMs: 200 }).observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'timeout' },
    });
    await cluster.kill();
    expect(await look()).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
  });
});
