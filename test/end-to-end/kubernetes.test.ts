/** A platform in two clusters, failed over by the real program: workloads at full size first, the value that leads clients afterwards, and not at all where too few pods come. The clusters are stand-ins. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fields } from '../systems/kubernetes/fields.ts';
import { deployment, podsOf, waitUntil } from '../systems/kubernetes/furniture.ts';
import { type KubernetesStandIn, startKubernetes } from '../systems/kubernetes/kubernetes.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { runHoldfast, type Where } from './holdfast-program.ts';

describe('a platform in two clusters (stand-in)', () => {
  let east: KubernetesStandIn;
  let west: KubernetesStandIn;
  let where: Where;
  let directory: string;

  beforeEach(async () => {
    directory = await temporaryDirectory('two-clusters');
    [east, west] = (await Promise.all([0, 1].map(() => startKubernetes({ namespaces: ['shop'] })))) as [
      KubernetesStandIn,
      KubernetesStandIn,
    ];
    for (const cluster of [east, west]) {
      cluster.add('configmaps', 'shop', { metadata: { name: 'ledger-config' }, data: { LEDGER_ENDPOINT: 'ledger.east:50051' } });
      cluster.add('deployments', 'shop', deployment('shop', 'engine', 1));
      cluster.add('deployments', 'shop', deployment('shop', 'genai-api', cluster === east ? 10 : 2));
    }
    const [eastConfig, westConfig] = [await east.writeKubeconfig('us-east'), await west.writeKubeconfig('eu-central')];
    const specFile = join(directory, 'shop.yaml');
    await writeFile(
      specFile,
      `holdfast: v1
name: shop
regions: { us-east-1: { role: active }, eu-central-1: { role: standby } }
watch: { timeout: 10s }
failover: { ready-share: 80% }
components:
  genai-api:
    driver: kubernetes-deployment
    namespace: shop
    name: genai-api
    full-replicas: 10
    standby-replicas: 2
    sites:
      us-east-1: { kubeconfig: "${eastConfig}", context: us-east }
      eu-central-1: { kubeconfig: "${westConfig}", context: eu-central }
  ledger-endpoint:
    driver: kubernetes-config
    needs: [genai-api]
    namespace: shop
    config-map: ledger-config
    key: LEDGER_ENDPOINT
    restart: [{ deployment: engine }]
    sites:
      us-east-1: { kubeconfig: "${eastConfig}", value: "ledger.east:50051" }
      eu-central-1: { kubeconfig: "${westConfig}", value: "ledger.west:50051" }
`,
    );
    where = { specFile, stateDirectory: join(directory, 'state'), env: {} };
  });
  afterEach(async () => {
    await Promise.all([east?.stop(), west?.stop()]);
    await removeDirectory(directory);
  });

  const valueIn = (cluster: KubernetesStandIn): unknown =>
    (cluster.store.find('configmaps', 'shop', 'ledger-config') as Fields).data.LEDGER_ENDPOINT;
  const failOver = () => runHoldfast(where, ['failover', '--to', 'eu-central-1', '--yes', '--reason', 'a test'], { timeoutMs: 150_000 });

  it('[S3-12, S2-34, S2-35] scales the standby up, waits for its pods, and only then leads clients there; a lost cluster holds nobody up', async () => {
    await waitUntil(() => podsOf(west, 'shop', 'engine').some(({ ready }) => ready), 'the engine');
    const [before] = podsOf(west, 'shop', 'engine');
    await east.kill();
    const end = await failOver();
    expect(end.exitCode, end.err + end.out).toBe(0);
    expect(podsOf(west, 'shop', 'genai-api').filter(({ ready }) => ready)).toHaveLength(10);
    expect(valueIn(west)).toBe('ledger.west:50051');
    expect(podsOf(west, 'shop', 'engine').map(({ name }) => name)).not.toContain(before?.name);
    expect(valueIn(east)).toBe('ledger.east:50051');
  });

  it('[E2-14] with the former region still there: the value is set in both, awaited with its restart, and what served there is fenced', async () => {
    await waitUntil(() => east.store.find('deployments', 'shop', 'genai-api')?.status?.readyReplicas === 10, 'the active region');
    const end = await failOver();
    expect(end.exitCode, end.err + end.out).toBe(0);
    expect([valueIn(east), valueIn(west)]).toEqual(['ledger.west:50051', 'ledger.west:50051']);
    expect(east.store.find('deployments', 'shop', 'genai-api')).toMatchObject({
      metadata: { annotations: { 'holdfast.dev/full-replicas': '10', 'holdfast.dev/fenced-under-epoch': '2' } },
      spec: { replicas: 0 },
    });
    expect(podsOf(east, 'shop', 'genai-api')).toEqual([]);
    expect(podsOf(west, 'shop', 'genai-api').filter(({ ready }) => ready)).toHaveLength(10);
  });

  it('[S3-12, S3-14] ends before clients are led anywhere where a quota allows 7 pods of 10', async () => {
    west.add('resourcequotas', 'shop', { metadata: { name: 'pods' }, spec: { hard: { pods: '8' } } });
    const end = await failOver();
    expect(end.exitCode).not.toBe(0);
    expect(end.out + end.err).toContain('has timed out progressing');
    expect(podsOf(west, 'shop', 'genai-api')).toHaveLength(7);
    expect(valueIn(west)).toBe('ledger.east:50051');
  });
});
