/** One running node of the stand-in: its gRPC port, its metrics, and what it answers. */
import { createServer, type Server as HttpServer } from 'node:http';
import { type Server, type ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { Profile, StoredState } from './node-state.ts';
import { blockHash, type StoredVault, stateRoot } from './node-state.ts';
import { type NodeWorld, Refusal } from './parts.ts';

export interface NodeSettings {
  readonly data: string;
  readonly listen: string;
  readonly advertise: string;
  readonly metrics: string | undefined;
}

type Request = Record<string, never> & { organization?: { slug: string } | null; vault?: { slug: string } | null };
type Handler = (request: Request) => object | Promise<object>;

export class LedgerNode {
  readonly settings: NodeSettings;
  readonly profile: Profile;
  readonly #world: NodeWorld<LedgerNode>;
  readonly #server: Server;
  #http: HttpServer | undefined;
  /** Undefined until it is part of a cluster. */
  state: StoredState | undefined;
  /** Its id before it is part of a cluster, too. */
  readonly nodeId: string;
  readonly counters = { snapshots: 0, backups: 0, determinism: new Map<string, number>() };
  /** Calls in the order in which they came. */
  readonly calls: { readonly name: string; readonly request: Request }[] = [];

  constructor(world: NodeWorld<LedgerNode>, settings: NodeSettings, server: Server, nodeId: string, state: StoredState | undefined) {
    this.#world = world;
    this.profile = world.profile;
    this.settings = settings;
    this.#server = server;
    this.nodeId = state?.nodeId ?? nodeId;
    this.state = state;
  }

  get address(): string {
    return this.settings.advertise;
  }

  async listen(services: Readonly<Record<string, ServiceDefinition>>, credentials: ServerCredentials): Promise<void> {
    const answers = this.#handlers();
    for (const [name, definition] of Object.entries(services)) {
      const handlers: Record<string, (call: { request: Request }, done: (error: object | null, answer?: object) => void) => void> = {};
      for (const method of Object.keys(definition)) {
        const answer = answers[`${name}/${method}`];
        if (answer === undefined) continue;
        handlers[method] = (call, done) => {
          this.calls.push({ name: `${name}/${method}`, request: call.request });
          Promise.resolve()
            .then(() => answer(call.request))
            .then((said) => done(null, said))
            .catch((error: unknown) => {
              const code = error instanceof Refusal ? error.code : status.INTERNAL;
              done({ code, details: error instanceof Error ? error.message : String(error) });
            });
        };
      }
      this.#server.addService(definition, handlers as never);
    }
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(this.settings.listen, credentials, (error) => (error ? reject(error) : resolve()));
    });
    const { metrics } = this.settings;
    if (metrics === undefined) return;
    const [host = '', port = ''] = metrics.split(':');
    this.#http = createServer((_request, response) => response.end(this.#metricsText()));
    await new Promise<void>((resolve, reject) => this.#http?.once('error', reject).listen(Number(port), host, resolve));
  }

  async close(): Promise<void> {
    this.#server.forceShutdown();
    this.#http?.closeAllConnections();
    await new Promise<void>((resolve) => (this.#http ? this.#http.close(() => resolve()) : resolve()));
  }

  #handlers(): Readonly<Record<string, Handler>> {
    const vaults = this.profile === 'A' ? 'AdminService' : 'VaultService';
    const organizations = this.profile === 'A' ? 'AdminService' : 'OrganizationService';
    const world = this.#world;
    return {
      'AdminService/GetNodeInfo': () => this.#info(),
      'AdminService/GetClusterInfo': () => this.#cluster(),
      'AdminService/JoinCluster': (request) => world.joinAtLeader(this, String(request.node_id), String(request.address)),
      'AdminService/LeaveCluster': ({ node_id }) => world.leave(this, String(node_id)),
      'AdminService/InitCluster': () => world.init(this),
      'AdminService/CheckIntegrity': (request) => this.#checkIntegrity(request),
      'AdminService/RecoverVault': (request) => this.#recover(request),
      'AdminService/CreateSnapshot': () => this.#snapshot(),
      'AdminService/SimulateDivergence': (request) => this.#diverge(request),
      'AdminService/CreateBackup': (request) => world.backups.create(this, request),
      'AdminService/ListBackups': () => world.backups.list(),
      'AdminService/RestoreBackup': (request) => world.backups.restore(this, request),
      [`${vaults}/ListVaults`]: (request) => this.#list(request),
      [`${vaults}/GetVault`]: (request) => this.#vaultAnswer(this.find(request) ?? this.#noSuchVault()),
      // Who asks is not told, so that nothing is shown but in A.
      [`${organizations}/ListOrganizations`]: () => ({
        organizations: this.profile === 'A' ? this.#stored().organizations.map((slug) => ({ slug: { slug } })) : [],
      }),
      'SystemDiscoveryService/GetSystemState': () => ({
        version: '1',
        organizations: this.#stored().organizations.map((slug) => ({ slug: { slug } })),
      }),
      'ReadService/GetTip': (request) => {
        const vault = this.find(request);
        if (vault === undefined) return { height: '0' };
        return { height: String(vault.height), block_hash: { value: blockHash(vault) }, state_root: { value: stateRoot(vault) } };
      },
      // Entries of a map are these very messages; reflection would describe a map wrongly.
      'HealthService/Check': (request) => {
        const { details, ...said } = this.#health(request);
        return { ...said, details: Object.entries(details).map(([key, value]) => ({ key, value })) };
      },
    };
  }

  #stored(): StoredState {
    if (this.state === undefined) throw new Refusal(status.UNAVAILABLE, 'node is not initialized');
    return this.state;
  }

  #noSuchVault(): never {
    throw new Refusal(status.NOT_FOUND, 'vault not found');
  }

  find({ organization, vault }: Request): StoredVault | undefined {
    return this.state?.vaults.find((each) => each.organization === organization?.slug && each.vault === vault?.slug);
  }

  #info(): object {
    const { state } = this;
    const base = { node_id: this.nodeId, address: this.address, is_cluster_member: state !== undefined, term: String(state?.term ?? 0) };
    return this.profile === 'A' ? base : { ...base, cluster_id: state?.clusterId ?? '0', state: state ? 'running' : 'uninitialized' };
  }

  #cluster(): object {
    const { members = [], term = 0 } = this.state ?? {};
    const leader = this.#world.leaderOf(this)?.nodeId ?? '0';
    return {
      members: members.map(({ nodeId, address, role }) => ({
        node_id: nodeId,
        address,
        role: role === 'voter' ? 1 : 2,
        is_leader: nodeId === leader,
      })),
      leader_id: leader,
      term: String(term),
    };
  }

  #vaultAnswer({ organization, vault, height }: StoredVault): object {
    // As the real handlers: no root, no nodes, no leader, and always active.
    return { organization: { slug: organization }, vault: { slug: vault }, height: String(height), status: 1 };
  }

  #list(request: Request): object {
    const { vaults } = this.#stored();
    if (this.profile === 'A') return { vaults: vaults.map((each) => this.#vaultAnswer(each)) };
    const { organization, page_token, page_size } = request as unknown as {
      organization?: { slug: string };
      page_token: Buffer;
      page_size: number;
    };
    const wanted = vaults.filter((each) => organization == null || each.organization === organization.slug);
    const from = page_token.length === 0 ? 0 : page_token.readUInt32BE(0);
    const size = Math.min(page_size === 0 ? 100 : page_size, this.#world.pageSizeMax);
    const next = Buffer.alloc(4);
    next.writeUInt32BE(from + size);
    return {
      vaults: wanted.slice(from, from + size).map((each) => this.#vaultAnswer(each)),
      next_page_token: from + size < wanted.length ? next : Buffer.alloc(0),
    };
  }

  #checkIntegrity(request: Request): object {
    if (request.full_check && !this.#world.hasArchive)
      throw new Refusal(status.UNAVAILABLE, 'block archive is not available for a full check');
    const named = request.organization != null || request.vault != null;
    const vault = this.find(request);
    const looked = named ? (vault ? [vault] : []) : this.#stored().vaults;
    const sick = looked.filter(({ health }) => health === 'diverged');
    return {
      healthy: sick.length === 0,
      issues: sick.map(({ divergedAt, height }) => ({
        block_height: String(divergedAt ?? height),
        issue_type: 'state_root_mismatch',
        description: 'the state root differs from the block',
      })),
    };
  }

  #recover(request: Request): object {
    const vault = this.find(request) ?? this.#noSuchVault();
    if (vault.health === 'healthy' && !request.force)
      return {
        success: false,
        message: 'vault is healthy; use force to recover it anyway',
        health_status: 1,
        final_height: String(vault.height),
      };
    if (vault.beyondRepair)
      return { success: false, message: 'replay diverged again', health_status: 2, final_height: String(vault.divergedAt ?? 0) };
    vault.health = 'recovering';
    this.#world.later(() => {
      vault.health = 'healthy';
      delete vault.divergedAt;
      this.#world.save(this);
    });
    return { success: true, message: 'recovery started', health_status: 3, final_height: String(vault.height) };
  }

  #snapshot(): object {
    if (this.#world.snapshotsWork) this.counters.snapshots += 1;
    else if (this.profile === 'A') throw new Refusal(status.INTERNAL, 'snapshot failed');
    const height = Math.max(0, ...this.#stored().vaults.map((each) => each.height));
    return { block_height: String(height), snapshot_path: `/var/lib/ledger/snapshots/${height}.snap` };
  }

  #diverge(request: Request): object {
    const vault = this.find(request) ?? this.#noSuchVault();
    vault.health = 'diverged';
    vault.divergedAt = Number(request.at_height ?? 0) || vault.height;
    const labels = this.profile === 'A' ? `{organization="${vault.organization}",vault="${vault.vault}"}` : '';
    this.counters.determinism.set(labels, (this.counters.determinism.get(labels) ?? 0) + 1);
    this.#world.save(this);
    return { success: true };
  }

  #health(request: Request): { readonly status: number; readonly message: string; readonly details: Readonly<Record<string, string>> } {
    if (request.vault == null) {
      const leader = this.#world.leaderOf(this);
      const details: Record<string, string> =
        this.profile === 'B' ? { leader_id: leader?.nodeId ?? '0', current_term: String(this.state?.term ?? 0), phase: 'ready' } : {};
      return leader ? { status: 1, message: 'healthy', details } : { status: 3, message: 'no leader', details };
    }
    const vault = this.find(request);
    if (vault === undefined) return { status: 3, message: 'vault not found', details: {} };
    const details: Record<string, string> = { block_height: String(vault.height), health_status: vault.health };
    if (vault.divergedAt !== undefined)
      Object.assign(details, { diverged_at_height: String(vault.divergedAt), expected_root: 'aa', computed_root: 'bb' });
    return { status: vault.health === 'healthy' ? 1 : 3, message: '', details };
  }

  #metricsText(): string {
    const lines = [`ledger_snapshots_created_total ${this.counters.snapshots}`, `ledger_backups_created_total ${this.counters.backups}`];
    for (const [labels, count] of this.counters.determinism) lines.push(`ledger_determinism_bug_total${labels} ${count}`);
    lines.push(`ledger_cluster_quorum_status ${this.#world.leaderOf(this) ? 1 : 0}`);
    return `${lines.join('\n')}\n`;
  }
}
