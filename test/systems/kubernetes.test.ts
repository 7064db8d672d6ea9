/**
 * The stand-in for a cluster, driven by a real client (kubectl) and by plain requests: it must take what the real API takes and refuse what that refuses, or tests on it say nothing. Among them the
 * commands of runbooks as people have written them down, which do nothing, or something else than was meant.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { driver as workloads } from '../../src/drivers/kubernetes-deployment/driver.ts';
import { clusterHost, openAt } from '../conformance/kubernetes-world.ts';
import { runStep } from '../conformance/step-runner.ts';
import { everything } from './kubernetes/access.ts';
import type { Fields } from './kubernetes/fields.ts';
import { deployment, podsOf, statefulSet, waitUntil } from './kubernetes/furniture.ts';
import { type KubernetesStandIn, operatorToken, startKubernetes } from './kubernetes/kubernetes.ts';
import { describeSystem } from './requirement.ts';
import { removeDirectory, temporaryDirectory } from './temporary-directory.ts';

const run = promisify(execFile);

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let directory: string;
let cluster: KubernetesStandIn;
let kubeconfig: string;

beforeAll(async () => {
  directory = await temporaryDirectory('kubectl');
  cluster = await startKubernetes({
    namespaces: ['shop', 'argocd'],
    users: [
      { name: 'operator', token: operatorToken, certificateName: 'operator', rules: everything },
      {
        name: 'reader',
        token: 'reader-token',
        rules: [{ verbs: ['get', 'list', 'watch'], groups: ['', 'apps'], resources: ['*'], namespaces: ['shop'] }],
      },
    ],
  });
  kubeconfig = await cluster.writeKubeconfig('stand-in');
});
afterAll(async () => {
  await cluster?.stop();
  await removeDirectory(directory);
});

async function kubectl(words: string, input?: Fields, config = kubeconfig): Promise<Said> {
  const args = [
    '--kubeconfig',
    config,
    '--cache-dir',
    join(directory, 'cache'),
    ...(words.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'|'$/g, '')),
  ];
  if (input !== undefined) {
    const file = join(directory, `${input.kind}-${input.metadata.name}.json`);
    await writeFile(file, JSON.stringify(input));
    args.push('-f', file);
  }
  try {
    return { code: 0, ...(await run('kubectl', args, { timeout: 60_000, env: { PATH: process.env.PATH, HOME: directory } })) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
    return { code: code ?? -1, stdout: stdout ?? '', stderr: stderr ?? String(error) };
  }
}

async function answer(
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: Fields; warning: string | undefined }> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(
      `${cluster.server}${path}`,
      {
        method,
        rejectUnauthorized: false,
        timeout: 10_000,
        headers: { authorization: `Bearer ${operatorToken}`, 'content-type': 'application/json', ...headers },
      },
      (response) => {
        let received = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          received += piece;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: JSON.parse(received) as Fields,
            warning: response.headers.warning as string | undefined,
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}

const deployments = '/apis/apps/v1/namespaces/shop/deployments';
const merge = { 'content-type': 'application/merge-patch+json' };

describeSystem('kubectl', 'a cluster (stand-in), driven by kubectl', () => {
  it('shows nodes and versions, also to a client with a certificate', async () => {
    expect((await kubectl('version')).stdout).toContain('Server Version: v1.31.4');
    const certificate = await cluster.writeKubeconfig('stand-in', { user: 'certificate' });
    expect((await kubectl('get nodes', undefined, certificate)).stdout).toMatch(/node-a\s+Ready/);
    expect((await kubectl('get nodes --token=wrong', undefined, certificate)).stderr).toMatch(/Unauthorized|logged in/);
  });

  it('applies, scales, waits, restarts and follows a rollout', async () => {
    expect(await kubectl('apply', deployment('shop', 'api', 3))).toMatchObject({ code: 0, stdout: expect.stringContaining('created') });
    expect(await kubectl('apply', deployment('shop', 'api', 3))).toMatchObject({ stdout: expect.stringContaining('unchanged') });
    expect(await kubectl('-n shop scale deployment api --replicas=5')).toMatchObject({ code: 0 });
    expect(await kubectl('-n shop wait --for=condition=Available deployment/api --timeout=20s')).toMatchObject({ code: 0 });
    expect(await kubectl('-n shop rollout restart deployment/api')).toMatchObject({ code: 0 });
    expect(await kubectl('-n shop rollout status deployment/api --timeout=20s')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('successfully rolled out'),
    });
    expect(podsOf(cluster, 'shop', 'api')).toHaveLength(5);
  });

  it('[X-10] takes "kubectl patch service ... trafficPolicy" (stand-in) with a warning, and nothing changes', async () => {
    cluster.add('services', 'shop', { metadata: { name: 'genai-api' }, spec: { selector: { app: 'api' }, ports: [{ port: 80 }] } });
    const said = await kubectl(`-n shop patch service genai-api -p '{"spec":{"trafficPolicy":{"canary":{"weight":10}}}}'`);
    expect(said).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('no change'),
      stderr: expect.stringContaining('unknown field "spec.trafficPolicy"'),
    });
    const strict = await answer(
      'PATCH',
      '/api/v1/namespaces/shop/services/genai-api?fieldValidation=Strict',
      { spec: { trafficPolicy: { canary: { weight: 10 } } } },
      merge,
    );
    expect(strict).toMatchObject({
      status: 400,
      body: { kind: 'Status', message: expect.stringContaining('strict decoding error: unknown field "spec.trafficPolicy"') },
    });
    expect(cluster.store.find('services', 'shop', 'genai-api')?.spec.trafficPolicy).toBeUndefined();
  });

  it('[X-10] does not find (stand-in) what was named without its namespace, or is not a stateful set', async () => {
    cluster.add('configmaps', 'shop', { metadata: { name: 'ledger-config' }, data: { LEDGER_ENDPOINT: 'east:50051' } });
    const patched = await kubectl(`patch configmap ledger-config -p '{"data":{"LEDGER_ENDPOINT":"ledger.dr-region.internal:50051"}}'`);
    expect(patched).toMatchObject({ code: 1, stderr: expect.stringContaining('configmaps "ledger-config" not found') });
    expect(cluster.store.find('configmaps', 'shop', 'ledger-config')?.data.LEDGER_ENDPOINT).toBe('east:50051');
    // Pods of an operator that knows no stateful sets.
    cluster.add('pods', 'shop', {
      metadata: { name: 'inferadb-fdb-storage-0', labels: { app: 'fdb' } },
      spec: { containers: [{ name: 'foundationdb', image: 'fdb' }] },
    });
    expect(await kubectl('-n shop scale statefulset inferadb-fdb-storage --replicas=0')).toMatchObject({ code: 1 });
    await waitUntil(() => cluster.store.find('pods', 'shop', 'inferadb-fdb-storage-0')?.status?.phase === 'Running', 'the pod runs on');
  });

  it('[X-10] counts nodes by their names (stand-in) where somebody greps for a zone', async () => {
    await waitUntil(() => podsOf(cluster, 'shop', 'api').length === 5, 'five pods');
    const { stdout } = await kubectl('get pods -n shop -o wide');
    expect(stdout).toContain('node-a');
    expect(stdout).not.toContain('zone-a');
  });

  it('[X-10] loses what "kubectl set env" has set (stand-in) where Argo CD heals', async () => {
    cluster.add('customresourcedefinitions', undefined, {
      metadata: { name: 'applications.argoproj.io' },
      spec: { group: 'argoproj.io', names: {}, scope: 'Namespaced', versions: [] },
    });
    const manifest = deployment('shop', 'llm-agent-service', 1);
    cluster.world.repositories.set('https://git.test/apps shop', { revision: 'abc', manifests: [withEnv(manifest, 'postgres://primary')] });
    cluster.add('applications', 'argocd', {
      metadata: { name: 'shop' },
      spec: {
        project: 'default',
        source: { repoURL: 'https://git.test/apps', path: 'shop' },
        destination: { namespace: 'shop' },
        syncPolicy: { automated: { selfHeal: true } },
      },
    });
    const valueNow = (): unknown =>
      cluster.store.find('deployments', 'shop', 'llm-agent-service')?.spec.template.spec.containers[0].env?.[0]?.value;
    await waitUntil(() => valueNow() === 'postgres://primary', 'the first sync');
    expect(await kubectl('-n shop set env deployment/llm-agent-service DATABASE_URL=postgres://recovered')).toMatchObject({ code: 0 });
    await waitUntil(() => valueNow() === 'postgres://primary', 'Argo CD to undo it');
  });

  it('[S3-12] reads back what Holdfast has set', async () => {
    cluster.add('deployments', 'shop', deployment('shop', 'genai-api', 2));
    const site = openAt(workloads, { namespace: 'shop', name: 'genai-api', 'full-replicas': 10 }, { east: { kubeconfig } });
    await runStep(clusterHost, site, 'scale', { size: 'full' });
    expect((await kubectl('-n shop get deployment genai-api -o jsonpath={.spec.replicas}')).stdout).toBe('10');
    expect(await kubectl('-n shop rollout status deployment/genai-api --timeout=20s')).toMatchObject({ code: 0 });
    expect(await runStep(clusterHost, site, 'await-ready', { size: 'full', share: 1 })).toEqual({ wanted: 10, ready: 10 });
  });

  it('knows a kind only once its definition is there', async () => {
    const schedule = {
      apiVersion: 'velero.io/v1',
      kind: 'Schedule',
      metadata: { name: 'daily', namespace: 'shop' },
      spec: { schedule: '0 2 * * *', template: {} },
    };
    expect(await kubectl('apply --validate=false', schedule)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no matches for kind "Schedule"'),
    });
  });

  it('drains a node as far as budgets allow', async () => {
    const zones = await startKubernetes({ namespaces: ['shop'], nodes: { 'node-a': 'zone-a', 'node-b': 'zone-b' } });
    try {
      const config = await zones.writeKubeconfig('stand-in');
      zones.add('deployments', 'shop', deployment('shop', 'api', 2));
      zones.add('poddisruptionbudgets', 'shop', {
        metadata: { name: 'api' },
        spec: { minAvailable: 2, selector: { matchLabels: { app: 'api' } } },
      });
      await waitUntil(() => podsOf(zones, 'shop', 'api').filter(({ ready }) => ready).length === 2, 'two pods');
      expect(await kubectl('drain node-a --timeout=2s', undefined, config)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('disruption budget'),
      });
      expect((await kubectl('uncordon node-a', undefined, config)).code).toBe(0);
      expect((await kubectl('-n shop scale deployment api --replicas=3', undefined, config)).code).toBe(0);
      await waitUntil(() => podsOf(zones, 'shop', 'api').filter(({ ready }) => ready).length === 3, 'one to spare');
      expect(await kubectl('drain node-a --timeout=20s', undefined, config)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('drained'),
      });
      expect(podsOf(zones, 'shop', 'api').filter(({ node }) => node === 'node-a')).toEqual([]);
    } finally {
      await zones.stop();
    }
  });
});

describe('a cluster (stand-in), by plain requests', () => {
  beforeAll(() => {
    cluster.add('deployments', 'shop', deployment('shop', 'web', 2));
    cluster.add('statefulsets', 'shop', statefulSet('shop', 'db', 2));
  });

  it('[X-10] refuses (stand-in) what the real API refuses', async () => {
    const at = `${deployments}/web`;
    const cases: readonly (readonly [string, string, unknown, Readonly<Record<string, string>>, number, string])[] = [
      ['GET', `${deployments}/none`, undefined, {}, 404, 'deployments.apps "none" not found'],
      ['GET', '/apis/velero.io/v2/backups', undefined, {}, 404, 'could not find the requested resource'],
      ['GET', at, undefined, { authorization: 'Bearer wrong' }, 401, 'Unauthorized'],
      [
        'PATCH',
        at,
        { spec: { replicas: 1 } },
        { authorization: 'Bearer reader-token', ...merge },
        403,
        'cannot patch resource "deployments" in API group "apps" in the namespace "shop"',
      ],
      ['GET', '/api/v1/nodes', undefined, { authorization: 'Bearer reader-token' }, 403, 'at the cluster scope'],
      ['PATCH', at, { spec: { replicas: 1 } }, { 'content-type': 'application/json-patch+json' }, 400, 'cannot unmarshal object'],
      ['PATCH', at, { spec: { replicas: 1 } }, {}, 415, 'unknown format'],
      ['PATCH', at, { spec: { replicas: 'three' } }, merge, 400, 'cannot unmarshal string'],
      ['PATCH', at, { spec: { replicas: -1 } }, merge, 422, 'spec.replicas'],
      ['PATCH', at, { spec: { selector: { matchLabels: { app: 'other' } } } }, merge, 422, 'field is immutable'],
      ['PATCH', at, { metadata: { resourceVersion: '1' } }, merge, 409, 'the object has been modified'],
      ['POST', deployments, deployment('shop', 'web', 1), {}, 409, 'already exists'],
      ['POST', deployments, { ...deployment('shop', 'x', 1), spec: {} }, {}, 422, 'spec.selector'],
      [
        'POST',
        '/apis/apps/v1/namespaces/none/deployments',
        { ...deployment('shop', 'x', 1), metadata: { name: 'x' } },
        {},
        404,
        'namespaces "none" not found',
      ],
      ['PATCH', '/apis/apps/v1/namespaces/shop/statefulsets/db', { spec: { serviceName: 'other' } }, merge, 422, 'are forbidden'],
      ['PUT', `${at}/scale`, { spec: { replicas: 'x' } }, {}, 400, 'cannot unmarshal'],
      ['GET', `${deployments}/web/nothing`, undefined, {}, 404, 'could not find'],
    ];
    for (const [method, path, body, headers, status, words] of cases) {
      const said = await answer(method, path, body, headers);
      expect(said, `${method} ${path} ${JSON.stringify(body)}`).toMatchObject({
        status,
        body: { kind: 'Status', code: status, message: expect.stringContaining(words) },
      });
    }
  });

  it('scales by the sub-resource, and the object is another one afterwards', async () => {
    const before = (await answer('GET', `${deployments}/web`)).body;
    expect((await answer('PATCH', `${deployments}/web/scale`, { spec: { replicas: 4 } }, merge)).body).toMatchObject({
      kind: 'Scale',
      spec: { replicas: 4 },
      status: { selector: 'app=web' },
    });
    const after = (await answer('GET', `${deployments}/web`)).body;
    expect(after.metadata.generation).toBe(before.metadata.generation + 1);
    expect(after.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion);
    await waitUntil(() => podsOf(cluster, 'shop', 'web').filter(({ ready }) => ready).length === 4, 'four pods');
  });

  it('knows who owns a field when somebody applies', async () => {
    const applied = (replicas: number) => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: { ...deployment('shop', 'web', replicas).spec },
    });
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    const refused = await answer('PATCH', `${deployments}/web?fieldManager=git`, applied(9), apply);
    expect(refused).toMatchObject({
      status: 409,
      body: {
        details: { causes: expect.arrayContaining([expect.objectContaining({ reason: 'FieldManagerConflict', field: '.spec.replicas' })]) },
      },
    });
    expect((await answer('PATCH', `${deployments}/web?fieldManager=git&force=true`, applied(3), apply)).body.spec.replicas).toBe(3);
    expect((await answer('PATCH', `${deployments}/web`, applied(3), apply)).status).toBe(422);
  });

  it('keeps a stateful set in order, and its pods stay with a node that is lost', async () => {
    const set = (): Fields | undefined => cluster.store.find('statefulsets', 'shop', 'db')?.status;
    await waitUntil(() => set()?.readyReplicas === 2, 'both');
    expect(cluster.store.list('persistentvolumeclaims', 'shop').map(({ metadata }) => metadata.name)).toEqual(['data-db-0', 'data-db-1']);
    const node = String(cluster.store.find('pods', 'shop', 'db-1')?.spec.nodeName);
    cluster.setNodeReady(node, false);
    await waitUntil(() => cluster.store.find('pods', 'shop', 'db-1')?.metadata.deletionTimestamp !== undefined, 'it to be ending');
    await waitUntil(() => podsOf(cluster, 'shop', 'web').filter(({ ready }) => ready).length === 3, 'the deployment to have moved');
    expect(cluster.store.find('pods', 'shop', 'db-1')?.spec.nodeName).toBe(node);
    cluster.setNodeReady(node, true);
    await waitUntil(() => set()?.readyReplicas === 2, 'both again');
  });

  it('makes no pods beyond a quota, and says so in the status', async () => {
    const small = await startKubernetes({ namespaces: ['shop'] });
    try {
      small.add('resourcequotas', 'shop', { metadata: { name: 'pods' }, spec: { hard: { pods: '2' } } });
      small.add('deployments', 'shop', deployment('shop', 'api', 4));
      const failure = (): Fields | undefined =>
        (small.store.find('deployments', 'shop', 'api')?.status?.conditions as Fields[] | undefined)?.find(
          ({ type }) => type === 'ReplicaFailure',
        );
      await waitUntil(() => failure() !== undefined, 'the refusal');
      expect(failure()?.message).toContain('exceeded quota: pods');
      expect(podsOf(small, 'shop', 'api')).toHaveLength(2);
    } finally {
      await small.stop();
    }
  });
});

function withEnv(manifest: Fields, url: string): Fields {
  const copy = structuredClone(manifest);
  copy.spec.template.spec.containers[0].env = [{ name: 'DATABASE_URL', value: url }];
  return copy;
}
