/**
 * A stand-in for Vault on integrated storage: its HTTP API as far as health, autopilot, snapshots, seals and policies go, with what Vault itself refuses: no token, a token of another cluster,
 * a sealed or uninitialized node, an archive that is not whole, shares of another cluster. What it keeps is encrypted under a key that its shares give, so that a snapshot of one cluster is
 * unreadable in another until its own shares are given. Told after the source of Vault 1.21 (logical_system_raft.go, sys_health.go, raft-snapshot).
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { packTar, unpackTar } from './plain-tar.ts';
import { Barrier, type Content, type StoredBarrier, sha256 } from './vault-barrier.ts';

export interface VaultStandInOptions {
  readonly initialized?: boolean;
  readonly threshold?: number;
  readonly servers?: number;
  readonly failureTolerance?: number;
  /** Nothing is applied until `applyNow`: Vault says yes before it does anything. */
  readonly appliesLate?: boolean;
}

export interface VaultStandIn {
  readonly url: string;
  readonly shares: readonly string[];
  readonly rootToken: string;
  readonly clusterId: () => string | undefined;
  readonly content: () => Content | undefined;
  /** What health says by number, whatever else is true; undefined: the truth. */
  healthStatus: number | undefined;
  autopilot: { healthy: boolean; failureTolerance: number; lag: number };
  /** What becomes of the next snapshots: as Vault does where its seal or disk fails, with status 200 all the same. */
  snapshotFault: 'none' | 'cut' | 'no-seal' | 'wrong-sum' | 'broken-off';
  seal(): void;
  applyNow(): void;
  /** Method and path of each request. */
  readonly seen: string[];
  stop(): Promise<void>;
}

const stateOf = { standby: 429, drSecondary: 472 } as const;
export const vaultStatus = stateOf;

export async function startVaultStandIn(options: VaultStandInOptions = {}): Promise<VaultStandIn> {
  const node = new Node(options);
  const server = createServer((request, response) => {
    node.answer(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(node, {
    url,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

class Node {
  readonly shares: readonly string[] = [0, 1, 2, 3, 4].map(() => randomBytes(33).toString('hex'));
  readonly rootToken = `hvs.${randomBytes(12).toString('hex')}`;
  readonly seen: string[] = [];
  healthStatus: number | undefined;
  autopilot: { healthy: boolean; failureTolerance: number; lag: number };
  snapshotFault: VaultStandIn['snapshotFault'] = 'none';
  readonly #options: VaultStandInOptions;
  #content: Content | undefined;
  /** The key and shares that open what is stored now. */
  #barrier: Barrier;
  #given: string[] = [];
  #index = 40;
  #pending: Buffer | undefined;

  constructor(options: VaultStandInOptions) {
    this.#options = options;
    this.autopilot = { healthy: true, failureTolerance: options.failureTolerance ?? 1, lag: 0 };
    this.#barrier = new Barrier(
      this.shares.map((share) => sha256(Buffer.from(share))),
      options.threshold ?? 3,
    );
    if (options.initialized === false) return;
    this.#content = {
      clusterId: randomUUID(),
      tokens: { [this.rootToken]: 'root' },
      mounts: { 'cubbyhole/': 'cubbyhole', 'identity/': 'identity', 'sys/': 'system' },
      policies: { default: '', root: '' },
      secrets: {},
    };
    this.#barrier.store(this.#content);
  }

  clusterId = (): string | undefined => this.#content?.clusterId;
  content = (): Content | undefined => this.#content;
  seal(): void {
    if (this.#content) this.#barrier.store(this.#content);
    this.#content = undefined;
  }

  applyNow(): void {
    const state = this.#pending;
    this.#pending = undefined;
    if (state === undefined) return;
    // A snapshot of other keys: the node can't go on with its own and seals itself.
    const stored = JSON.parse(state.toString()) as StoredBarrier;
    const opened = Barrier.of(stored).open(this.#barrier.key);
    this.#barrier = Barrier.of(stored);
    this.#content = opened;
    this.#given = [];
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.seen.push(`${request.method} ${(request.url ?? '').split('?')[0]}`);
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    const { status, content, archive, location } = this.#reply(request, body);
    const type = archive ? 'application/gzip' : content ? 'application/json' : undefined;
    response.writeHead(status, { ...(type ? { 'content-type': type } : {}), ...(location ? { location } : {}) });
    response.end(archive ?? (content ? `${JSON.stringify(content)}\n` : undefined));
  }

  #reply(request: IncomingMessage, body: Buffer): Reply {
    const path = (request.url ?? '').split('?')[0] as string;
    const method = request.method === 'POST' ? 'PUT' : (request.method ?? 'GET');
    if (path === '/v1/sys/health') return this.#health();
    if (path === '/v1/sys/unseal' && method === 'PUT') return this.#unseal(body);
    if (this.#content === undefined) return refuse(503, 'Vault is sealed');
    if (!this.#allows(String(request.headers['x-vault-token'] ?? ''), path)) return refuse(403, 'permission denied');
    if (path === '/v1/sys/storage/raft/snapshot' && this.healthStatus === stateOf.standby)
      return { status: 307, location: 'http://127.0.0.1:1/v1/sys/storage/raft/snapshot' };
    if (path === '/v1/sys/storage/raft/snapshot' && method === 'GET') return this.#snapshot();
    if (path === '/v1/sys/storage/raft/snapshot' && method === 'PUT')
      return refuse(
        400,
        'could not verify hash file, possibly the snapshot is using a different set of unseal keys; use the snapshot-force API to bypass this check',
      );
    if (path === '/v1/sys/storage/raft/snapshot-force' && method === 'PUT') return this.#restore(body);
    return path.startsWith('/v1/sys/') ? this.#system(method, path, body, this.#content) : this.#secret(method, path, body, this.#content);
  }

  #health(): Reply {
    const isInitialized = this.#barrier.isStored;
    const isSealed = this.#content === undefined;
    const status = this.healthStatus ?? (isInitialized ? (isSealed ? 503 : 200) : 501);
    const content = {
      initialized: isInitialized,
      sealed: isSealed,
      standby: isSealed || status === stateOf.standby || status === 473 || status === 474,
      replication_dr_mode: status === stateOf.drSecondary ? 'secondary' : 'disabled',
      server_time_utc: 1_760_000_000,
      version: '1.21.4',
      ...(this.#content ? { cluster_name: 'vault-cluster', cluster_id: this.#content.clusterId } : {}),
    };
    return { status, content };
  }

  #unseal(body: Buffer): Reply {
    const { key, reset } = JSON.parse(body.toString() || '{}') as { key?: string; reset?: boolean };
    if (!this.#barrier.isStored) return refuse(400, 'Vault is not initialized');
    if (reset) this.#given = [];
    else if (key === undefined || !/^[0-9a-f]{66}$/.test(key)) return refuse(400, "'key' must be a valid hex or base64 string");
    else if (!this.#given.includes(key)) this.#given.push(key);
    if (this.#given.length >= this.#barrier.threshold && this.#content === undefined) {
      this.#content = this.#barrier.open(this.#barrier.join(this.#given));
      this.#given = [];
      if (this.#content === undefined) return refuse(400, 'failed to decrypt root key: cipher: message authentication failed');
    }
    return {
      status: 200,
      content: {
        type: 'shamir',
        initialized: true,
        sealed: this.#content === undefined,
        t: this.#barrier.threshold,
        n: 5,
        progress: this.#given.length,
      },
    };
  }

  #allows(token: string, path: string): boolean {
    const may = this.#content?.tokens[token];
    return (
      may === 'root' || (may ?? []).some((allowed) => path === allowed || (allowed.endsWith('*') && path.startsWith(allowed.slice(0, -1))))
    );
  }

  #snapshot(): Reply {
    this.#index += 1;
    if (this.#content) this.#barrier.store(this.#content);
    const state = Buffer.from(JSON.stringify(this.#barrier.stored));
    const meta = Buffer.from(
      `${JSON.stringify({ Version: 1, ID: `bolt-snapshot-${this.#index}`, Index: this.#index, Term: 3, Size: state.length })}\n`,
    );
    const sums = Buffer.from(
      `${sha256(meta)}  meta.json\n${sha256(this.snapshotFault === 'wrong-sum' ? Buffer.from('x') : state)}  state.bin\n`,
    );
    const members: [string, Buffer][] = [
      ['meta.json', meta],
      ['state.bin', state],
      ['SHA256SUMS', sums],
    ];
    if (this.snapshotFault !== 'no-seal') members.push(['SHA256SUMS.sealed', this.#barrier.encrypt(sums)]);
    const tar = packTar(members);
    const archive = gzipSync(this.snapshotFault === 'broken-off' ? tar.subarray(0, 1_536) : tar);
    return { status: 200, archive: this.snapshotFault === 'cut' ? archive.subarray(0, archive.length - 20) : archive };
  }

  #restore(body: Buffer): Reply {
    let state: Buffer | undefined;
    try {
      const members = unpackTar(gunzipSync(body));
      state = members.get('state.bin');
      for (const line of (members.get('SHA256SUMS') ?? Buffer.alloc(0)).toString().trim().split('\n')) {
        const [sum, name = ''] = line.split('  ');
        if (sha256(members.get(name) ?? Buffer.alloc(0)) !== sum) throw new Error(`hash check failed for "${name}"`);
      }
    } catch (error) {
      return refuse(500, `failed to read snapshot file: ${(error as Error).message}`);
    }
    if (state === undefined) return refuse(500, 'failed checking integrity of snapshot: file missing for "state.bin"');
    this.#pending = state;
    if (!this.#options.appliesLate) setImmediate(() => this.applyNow());
    return { status: 204 };
  }

  #system(method: string, path: string, body: Buffer, content: Content): Reply {
    const policy = /^\/v1\/sys\/policies\/acl\/([\w-]+)$/.exec(path)?.[1];
    if (policy !== undefined) return this.#policy(method, policy, body, content);
    if (method !== 'GET') return refuse(405, 'unsupported operation');
    const node = (at: number): object => ({ node_id: `node${at}`, leader: at === 0, voter: true });
    switch (path) {
      case '/v1/sys/mounts':
        return dataOf(typed(content.mounts));
      case '/v1/sys/auth':
        return dataOf(typed({ 'token/': 'token' }));
      case '/v1/sys/storage/raft/configuration':
        return dataOf({ config: { servers: Array.from({ length: this.#options.servers ?? 1 }, (_, at) => node(at)) } });
      case '/v1/sys/storage/raft/autopilot/state':
        return dataOf(this.#autopilotState());
      default:
        return refuse(404, `no handler for route "${path.slice(4)}". route entry not found.`);
    }
  }

  #policy(method: string, name: string, body: Buffer, content: Content): Reply {
    if (method === 'GET') return content.policies[name] === undefined ? refuse(404) : dataOf({ name, policy: content.policies[name] });
    const text = (JSON.parse(body.toString()) as { policy?: string }).policy ?? '';
    if (!/^\s*(?:#.*\n|path "[^"]+" \{[^}]*\}\s*)*$/.test(text))
      return refuse(400, 'failed to parse policy: object expected closing RBRACE');
    content.policies[name] = text;
    return { status: 204 };
  }

  #secret(method: string, path: string, body: Buffer, content: Content): Reply {
    const mount = /^\/v1\/(\w+\/)/.exec(path)?.[1] ?? '';
    if (content.mounts[mount] !== 'kv') return refuse(404, `no handler for route "${path.slice(4)}". route entry not found.`);
    if (method === 'GET') return content.secrets[path] === undefined ? refuse(404) : dataOf(JSON.parse(content.secrets[path]) as object);
    content.secrets[path] = body.toString();
    return { status: 204 };
  }

  #autopilotState(): object {
    const { healthy, failureTolerance, lag } = this.autopilot;
    const server = (index: number, isHealthy: boolean): object => ({
      healthy: isHealthy,
      last_index: index,
      last_term: 3,
      node_status: 'alive',
    });
    return {
      healthy,
      failure_tolerance: failureTolerance,
      leader: 'node0',
      voters: ['node0', 'node1'],
      servers: { node0: server(this.#index, true), node1: server(this.#index - lag, healthy) },
    };
  }
}

interface Reply {
  readonly status: number;
  readonly content?: object;
  readonly archive?: Buffer;
  readonly location?: string;
}

const refuse = (status: number, ...errors: string[]): Reply => ({ status, content: { errors } });
const dataOf = (data: object): Reply => ({ status: 200, content: { data } });
const typed = (kinds: Record<string, string>): object => Object.fromEntries(Object.entries(kinds).map(([name, type]) => [name, { type }]));
