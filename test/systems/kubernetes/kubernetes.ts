/**
 * A stand-in for a Kubernetes cluster, in this process: the API as real clients (kubectl too) speak it, with the controllers behind it that make pods come and go. Marked as a stand-in wherever it is
 * shown: no container runs.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, releasePort } from '../ports.ts';
import { everything, type User } from './access.ts';
import { createApiServer, type SeenRequest, type ServerFault } from './api-server.ts';
import { ArgoCd } from './argocd.ts';
import { type ClusterSettings, newOutsideWorld, type OutsideWorld, quickSettings } from './cluster-settings.ts';
import type { Fields, KubeObject } from './fields.ts';
import { customKinds, definitionOf, kindNamed } from './kinds.ts';
import { Pods, withCondition } from './pods.ts';
import { Store } from './store.ts';
import { setDefaults } from './validation.ts';
import { Velero } from './velero.ts';
import { Workloads } from './workloads.ts';

const run = promisify(execFile);
const tickMs = 5;

export interface KubernetesOptions {
  /** Nodes by name, with their zones. */
  readonly nodes?: Readonly<Record<string, string>>;
  readonly namespaces?: readonly string[];
  /** Whose definitions are there from the beginning. */
  readonly definitions?: readonly ('velero' | 'argocd')[];
  readonly users?: readonly User[];
  /** Plain HTTP on loopback, as `kubectl proxy` offers it; otherwise HTTPS with an authority of its own. */
  readonly plain?: boolean;
  readonly world?: OutsideWorld;
  readonly settings?: Partial<ClusterSettings>;
}

export interface KubernetesStandIn {
  readonly server: string;
  readonly token: string;
  /** Files: the authority, a client's certificate of the user `operator` and its key. Undefined where it is plain. */
  readonly tls: { readonly ca: string; readonly certificate: string; readonly key: string } | undefined;
  readonly settings: ClusterSettings;
  readonly world: OutsideWorld;
  readonly store: Store;
  readonly seen: SeenRequest[];
  /** Puts an object in place past the API: how a test begins. */
  add(resource: string, namespace: string | undefined, object: Fields): KubeObject;
  setNodeReady(name: string, ready: boolean): void;
  crashPod(namespace: string, name: string): void;
  takeScheduledBackup(namespace: string, schedule: string): KubeObject;
  order(fault: Omit<ServerFault, 'times' | 'matches'> & { readonly times?: number; readonly matches?: ServerFault['matches'] }): void;
  heal(): void;
  /** Answers nothing while true. */
  setSilent(silent: boolean): void;
  /** A kubeconfig whose only context has this name. Returns its path. */
  writeKubeconfig(
    context: string,
    how?: { readonly user?: 'token' | 'certificate'; readonly namespace?: string; readonly token?: string },
  ): Promise<string>;
  /** The host refuses from now on; what was there is kept. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export const operatorToken = 'operator-token';
const standardUsers: readonly User[] = [{ name: 'operator', token: operatorToken, certificateName: 'operator', rules: everything }];

export async function startKubernetes(options: KubernetesOptions = {}): Promise<KubernetesStandIn> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-kubernetes-'));
  const port = await freePort();
  const settings: ClusterSettings = { ...quickSettings(), ...options.settings };
  const world = options.world ?? newOutsideWorld();
  const store = new Store();
  const pods = new Pods(store, settings);
  const workloads = new Workloads(store, pods, settings);
  const velero = new Velero(store, settings, world);
  const argo = new ArgoCd(store, settings, world);
  const files = options.plain ? undefined : await certificateFiles(directory);
  const tls = files && {
    key: await readFile(files.serverKey, 'utf8'),
    cert: await readFile(files.serverCertificate, 'utf8'),
    ca: await readFile(files.ca, 'utf8'),
  };
  const faults: ServerFault[] = [];
  const seen: SeenRequest[] = [];
  let silent = false;
  let server: Server | undefined;
  let timer: NodeJS.Timeout | undefined;

  const start = async (): Promise<void> => {
    const created = createApiServer({
      store,
      ends: pods,
      users: options.users ?? standardUsers,
      faults,
      seen,
      isSilent: () => silent,
      ...(tls ? { tls } : {}),
    });
    server = created;
    await new Promise<void>((resolve, reject) => {
      created.once('error', reject);
      created.listen({ host: '127.0.0.1', port }, resolve);
    });
    timer ??= setInterval(() => {
      workloads.reconcile();
      pods.reconcile();
      velero.reconcile();
      argo.reconcile();
    }, tickMs);
  };
  const kill = async (): Promise<void> => {
    const ending = server;
    server = undefined;
    if (!ending) return;
    const closed = new Promise((resolve) => ending.close(resolve));
    ending.closeAllConnections();
    await closed;
  };
  furnish(store, options);
  await start();
  const address = server as unknown as Server;
  const url = `${options.plain ? 'http' : 'https'}://127.0.0.1:${(address.address() as AddressInfo).port}`;
  return {
    server: url,
    token: operatorToken,
    tls: files && { ca: files.ca, certificate: files.clientCertificate, key: files.clientKey },
    settings,
    world,
    store,
    seen,
    add: (resource, namespace, object) => {
      const copy = structuredClone(object);
      setDefaults(kindNamed(resource), copy);
      return store.create(kindNamed(resource), namespace, copy, { manager: 'test' });
    },
    setNodeReady: (name, ready) => {
      const node = store.find('nodes', undefined, name);
      if (node === undefined) throw new Error(`no node ${name}`);
      store.change('nodes', node, (copy) =>
        withCondition(copy, { type: 'Ready', status: ready ? 'True' : 'Unknown', reason: ready ? 'KubeletReady' : 'NodeStatusUnknown' }),
      );
    },
    crashPod: (namespace, name) => {
      const pod = store.find('pods', namespace, name);
      if (pod === undefined) throw new Error(`no pod ${name}`);
      pods.crash(pod);
    },
    takeScheduledBackup: (namespace, name) => {
      const schedule = store.find('schedules', namespace, name);
      if (schedule === undefined) throw new Error(`no schedule ${name}`);
      return velero.takeScheduled(schedule);
    },
    order: ({ times = 1, matches = () => true, ...fault }) => void faults.push({ ...fault, times, matches }),
    heal: () => void faults.splice(0),
    setSilent: (next) => {
      silent = next;
    },
    writeKubeconfig: (context, how = {}) =>
      writeKubeconfig(join(directory, `kubeconfig-${context}-${how.user ?? 'token'}`), url, context, files, how),
    kill,
    start,
    stop: async () => {
      clearInterval(timer);
      await kill();
      releasePort(port);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function furnish(store: Store, options: KubernetesOptions): void {
  for (const name of ['default', 'kube-system', ...(options.namespaces ?? [])])
    store.create(kindNamed('namespaces'), undefined, { metadata: { name }, status: { phase: 'Active' } });
  for (const [name, zone] of Object.entries(options.nodes ?? { 'node-a': 'zone-a', 'node-b': 'zone-b', 'node-c': 'zone-c' }))
    store.create(kindNamed('nodes'), undefined, {
      metadata: { name, labels: { 'topology.kubernetes.io/zone': zone, 'kubernetes.io/hostname': name } },
      spec: {},
      status: {
        allocatable: { pods: '110', cpu: '4', memory: '16Gi' },
        capacity: { pods: '110', cpu: '4', memory: '16Gi' },
        nodeInfo: { kubeletVersion: 'v1.31.4' },
        conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }],
      },
    });
  for (const [definition, kind] of customKinds) {
    const product = kind.group === 'velero.io' ? 'velero' : 'argocd';
    if (!(options.definitions ?? []).includes(product)) continue;
    store.create(kindNamed('customresourcedefinitions'), undefined, {
      metadata: { name: definitionOf(kind) },
      spec: {
        group: kind.group,
        scope: 'Namespaced',
        names: { plural: kind.resource, kind: kind.kind },
        versions: [{ name: kind.version, served: true, storage: true }],
      },
      status: { acceptedNames: {}, conditions: [{ type: 'Established', status: 'True' }] },
    });
    if (definition !== definitionOf(kind)) throw new Error('a definition is named by its resource and group');
  }
}

interface CertificateFiles {
  readonly ca: string;
  readonly serverKey: string;
  readonly serverCertificate: string;
  readonly clientKey: string;
  readonly clientCertificate: string;
}

async function certificateFiles(directory: string): Promise<CertificateFiles> {
  const at = (name: string): string => join(directory, name);
  const openssl = (...words: string[]) => run('openssl', words, { timeout: 30_000 });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...ec, '-days', '2', '-subj', '/CN=stand-in-ca', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  await writeFile(at('server.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const sign = async (name: string, subject: string, ...more: string[]): Promise<void> => {
    await openssl('req', ...ec, '-subj', subject, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`));
    await openssl(
      'x509',
      '-req',
      '-in',
      at(`${name}.csr`),
      '-CA',
      at('ca.pem'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-days',
      '2',
      '-out',
      at(`${name}.pem`),
      ...more,
    );
  };
  await sign('server', '/CN=kube-apiserver', '-extfile', at('server.ext'));
  await sign('client', '/O=operators/CN=operator');
  return {
    ca: at('ca.pem'),
    serverKey: at('server.key'),
    serverCertificate: at('server.pem'),
    clientKey: at('client.key'),
    clientCertificate: at('client.pem'),
  };
}

async function writeKubeconfig(
  path: string,
  server: string,
  context: string,
  files: CertificateFiles | undefined,
  {
    user = 'token',
    namespace,
    token = operatorToken,
  }: { readonly user?: 'token' | 'certificate'; readonly namespace?: string; readonly token?: string },
): Promise<string> {
  const inline = async (file: string): Promise<string> => Buffer.from(await readFile(file)).toString('base64');
  const credentials =
    user === 'token' || files === undefined
      ? { token }
      : { 'client-certificate-data': await inline(files.clientCertificate), 'client-key': files.clientKey };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': context,
    clusters: [{ name: 'stand-in', cluster: { server, ...(files ? { 'certificate-authority-data': await inline(files.ca) } : {}) } }],
    users: [{ name: 'operator', user: credentials }],
    contexts: [{ name: context, context: { cluster: 'stand-in', user: 'operator', ...(namespace ? { namespace } : {}) } }],
  };
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
