/**
 * A stand-in for clusters of InferaDB's Ledger, of either interface: nodes that serve gRPC on ports of their own, keep their state in their data directories, elect a leader where a majority of
 * voters runs, and refuse what the real one refuses. All of them live in this process; what would go between them goes by calls.
 *
 * A node that finds state in its data directory goes on as the member that it was, whatever its arguments say. There is no way to force a new cluster.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoOf } from './interface.ts';
import { LedgerBackups, withContent } from './ledger-backups.ts';
import { LedgerNode } from './ledger-node.ts';
import { type Profile, readState, type StoredState, type StoredVault, writeState } from './node-state.ts';
import { type BackedUpNode, type BackupSettings, Refusal } from './parts.ts';
import { addReflection } from './reflection.ts';
import { readSettings, type StartSettings } from './settings.ts';
import { requireKinds } from './wire.ts';

export interface WorldOptions {
  readonly profile: Profile;
  readonly version?: string;
  readonly backups?: BackupSettings;
  readonly tls?: { readonly certificate: Buffer; readonly key: Buffer };
}

interface ProgramResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ended = (exitCode: number, stdout = '', stderr = ''): ProgramResult => ({ exitCode, stdout, stderr });

/** Of all worlds: no two nodes are one by chance. */
let ids = 0n;

export class LedgerWorld {
  readonly profile: Profile;
  version: string;
  backupSettings: BackupSettings | undefined;
  readonly backups = new LedgerBackups(this);
  readonly running = new Map<string, LedgerNode>();
  readonly pendingRestore = new Map<string, Pick<StoredState, 'organizations' | 'vaults'>>();
  pageSizeMax = 1_000;
  hasArchive = true;
  snapshotsWork = true;
  /** How long a learner takes to be a voter, and a vault to recover. */
  delayMs = 20;
  readonly protoFile: string;
  readonly #directory: string;
  readonly #services: Readonly<Record<string, ServiceDefinition>>;
  readonly #files: readonly Buffer[];
  readonly #credentials: ServerCredentials;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #waiting = new Map<LedgerNode, StartSettings>();

  static async make(options: WorldOptions): Promise<LedgerWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-ledger-'));
    await writeFile(join(directory, 'ledger.proto'), protoOf[options.profile]);
    return new LedgerWorld(options, directory);
  }

  private constructor({ profile, version = '0.1.0', backups, tls }: WorldOptions, directory: string) {
    this.profile = profile;
    this.version = version;
    this.backupSettings = backups;
    this.#directory = directory;
    this.protoFile = join(directory, 'ledger.proto');
    this.#credentials = tls
      ? ServerCredentials.createSsl(null, [{ cert_chain: tls.certificate, private_key: tls.key }])
      : ServerCredentials.createInsecure();
    const services: Record<string, ServiceDefinition> = {};
    let files: readonly Buffer[] = [];
    for (const [name, entry] of Object.entries(loadSync(this.protoFile, { keepCase: true, longs: String, defaults: true, arrays: true }))) {
      if ('format' in entry) files = entry.fileDescriptorProtos as Buffer[];
      else services[name.replace('ledger.v1.', '')] = strict(entry as unknown as ServiceDefinition);
    }
    this.#services = services;
    this.#files = files;
  }

  /** As the real program is run; what goes on running is a node. */
  async program(args: readonly string[], env: Readonly<Record<string, string>>): Promise<ProgramResult> {
    if (args[0] === '--version') return ended(0, `inferadb-ledger ${this.version}\n`);
    const after = (flag: string): string => args[args.indexOf(flag) + 1] ?? '';
    if (args[0] === 'init' && this.profile === 'B') {
      const node = this.running.get(after('--host'));
      if (node === undefined) return ended(1, '', 'connection refused');
      return ended(0, this.init(node).already_initialized ? 'already_initialized\n' : 'initialized\n');
    }
    if (args[0] === 'restore' && args[1] === 'apply' && this.profile === 'B') {
      const { exitCode, stderr } = this.backups.apply(
        after('--data-dir'),
        after('--staging'),
        after('--region'),
        after('--organization-id'),
      );
      return ended(exitCode, '', stderr);
    }
    const settings = readSettings(this.profile, args, env);
    if ('refused' in settings) return ended(2, '', settings.refused);
    try {
      await this.start(settings);
      return ended(0);
    } catch (error) {
      return ended(1, '', error instanceof Error ? error.message : String(error));
    }
  }

  async start(settings: StartSettings): Promise<LedgerNode> {
    if (this.isInUse(settings.data)) throw new Error('data directory is locked by a running node');
    let state = readState(settings.data);
    const restored = this.pendingRestore.get(settings.data);
    if (state && restored) {
      state = withContent(state, restored as never);
      writeState(settings.data, state);
      this.pendingRestore.delete(settings.data);
    }
    ids += 1n;
    // Larger than a double holds exactly.
    const server = new Server();
    if (this.profile === 'B')
      addReflection(
        server,
        this.#files,
        Object.keys(this.#services).map((name) => `ledger.v1.${name}`),
      );
    const node = new LedgerNode(this, settings, server, String(9_007_199_254_740_993n + ids * 2n), state);
    await node.listen(this.#services, this.#credentials);
    this.running.set(node.address, node);
    if (node.state === undefined) this.#begin(node, settings);
    return node;
  }

  /** What a node without state does at its start. */
  #begin(node: LedgerNode, settings: StartSettings): void {
    if (settings.cluster === 1) this.init(node);
    else if (settings.cluster !== undefined && settings.cluster > 1) this.#bootstrap(node, settings);
    else if (settings.join.length > 0) this.#joinAny(node, settings.join);
  }

  /** The nodes that list each other make a cluster once as many of them run as each wants. */
  #bootstrap(node: LedgerNode, settings: StartSettings): void {
    this.#waiting.set(node, settings);
    const listed = settings.peers?.includes('/') ? (JSON.parse(readFileSync(settings.peers, 'utf8')) as string[]) : [node.address];
    const ready = [...this.#waiting.keys()].filter(({ address }) => listed.includes(address));
    if (ready.length < (settings.cluster as number)) return;
    const members = ready.map(({ nodeId, address }) => ({ nodeId, address, role: 'voter' as const }));
    for (const each of ready) {
      each.state = { nodeId: each.nodeId, clusterId: `7${node.nodeId}`, term: 1, members, organizations: [], vaults: [] };
      this.save(each);
      this.#waiting.delete(each);
    }
  }

  #joinAny(node: LedgerNode, members: readonly string[]): void {
    const leader = members
      .map((address) => this.running.get(address))
      .map((each) => each && this.leaderOf(each))
      .find((each) => each);
    if (leader) this.#join(leader, node);
    else this.later(() => void (this.running.get(node.address) === node && node.state === undefined && this.#joinAny(node, members)));
  }

  init(node: LedgerNode): { readonly already_initialized: boolean; readonly cluster_id: string } {
    if (node.state) return { already_initialized: true, cluster_id: node.state.clusterId };
    const members = [{ nodeId: node.nodeId, address: node.address, role: 'voter' as const }];
    node.state = { nodeId: node.nodeId, clusterId: `7${node.nodeId}`, term: 1, members, organizations: [], vaults: [] };
    this.save(node);
    return { already_initialized: false, cluster_id: node.state.clusterId };
  }

  joinAtLeader(node: LedgerNode, nodeId: string, address: string): object {
    const leader = this.leaderOf(node);
    if (leader !== node) return { success: false, message: `not the leader; the leader is ${leader?.nodeId ?? 'unknown'}` };
    const joining = this.running.get(address);
    if (joining?.nodeId !== nodeId) return { success: false, message: `no node ${nodeId} at ${address}` };
    if (joining.state) return { success: false, message: 'node is already a member of a cluster' };
    this.#join(leader, joining);
    return { success: true };
  }

  #join(leader: LedgerNode, node: LedgerNode): void {
    const state = leader.state as StoredState;
    const members = [...state.members, { nodeId: node.nodeId, address: node.address, role: 'learner' as const }];
    node.state = { ...(structuredClone(state) as StoredState), nodeId: node.nodeId, members };
    // What has diverged is of one node: who joins has the log played from the start.
    for (const vault of node.state.vaults) Object.assign(vault, { health: 'healthy', divergedAt: undefined });
    this.#setMembers(leader, members);
    this.later(() => this.#makeVoter(node));
  }

  #makeVoter(node: LedgerNode): void {
    if (this.running.get(node.address) !== node || node.state === undefined) return;
    const leader = this.leaderOf(node);
    if (leader === undefined) {
      this.later(() => this.#makeVoter(node));
      return;
    }
    const members = (leader.state as StoredState).members.map((each) =>
      each.nodeId === node.nodeId ? { ...each, role: 'voter' as const } : each,
    );
    this.#setMembers(leader, members);
  }

  leave(node: LedgerNode, nodeId: string): object {
    const leader = this.leaderOf(node);
    if (leader !== node) return { success: false, message: `not the leader; the leader is ${leader?.nodeId ?? 'unknown'}` };
    const { members } = leader.state as StoredState;
    if (!members.some((each) => each.nodeId === nodeId)) return { success: false, message: `node ${nodeId} is not a member` };
    const rest = members.filter((each) => each.nodeId !== nodeId);
    if (!rest.some(({ role }) => role === 'voter')) return { success: false, message: 'cannot remove the last voter' };
    this.#setMembers(leader, rest);
    return { success: true };
  }

  #setMembers(leader: LedgerNode, members: StoredState['members']): void {
    const clusterId = (leader.state as StoredState).clusterId;
    for (const node of this.running.values()) {
      if (node.state?.clusterId !== clusterId) continue;
      node.state.members = members;
      this.save(node);
    }
  }

  /** The running voter that leads, as this node knows: none without a majority of the voters that it has saved. */
  leaderOf(node: LedgerNode): LedgerNode | undefined {
    const { state } = node;
    if (state === undefined) return undefined;
    const voters = state.members.filter(({ role }) => role === 'voter');
    const alive = voters.flatMap(({ address, nodeId }) => {
      const other = this.running.get(address);
      return other?.nodeId === nodeId && other.state?.clusterId === state.clusterId ? [other] : [];
    });
    return alive.length * 2 > voters.length ? alive[0] : undefined;
  }

  hasLeader(node: BackedUpNode): boolean {
    return this.leaderOf(node as LedgerNode) !== undefined;
  }

  save(node: LedgerNode): void {
    if (node.state) writeState(node.settings.data, node.state);
  }

  /** A client's write, through whoever leads. */
  write(organization: string, vault: string, blocks = 1): void {
    const leader = [...this.running.values()].map((each) => this.leaderOf(each)).find((each) => each !== undefined);
    if (leader?.state === undefined) throw new Refusal(status.UNAVAILABLE, 'no leader');
    const { clusterId } = leader.state;
    for (const node of this.running.values()) {
      const { state } = node;
      if (state?.clusterId !== clusterId) continue;
      if (!state.organizations.includes(organization)) state.organizations.push(organization);
      const known = state.vaults.find((each) => each.organization === organization && each.vault === vault);
      const made: StoredVault = known ?? { organization, vault, height: 0, content: 'as written', health: 'healthy' };
      if (known === undefined) state.vaults.push(made);
      made.height += blocks;
      this.save(node);
    }
  }

  isInUse(data: string): boolean {
    return [...this.running.values()].some(({ settings }) => settings.data === data);
  }

  async stopNode(address: string): Promise<void> {
    const node = this.running.get(address);
    if (node === undefined) return;
    this.running.delete(address);
    this.#waiting.delete(node);
    this.save(node);
    await node.close();
  }

  later(work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, this.delayMs);
    this.#timers.add(timer);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const address of [...this.running.keys()]) await this.stopNode(address);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function strict(service: ServiceDefinition): ServiceDefinition {
  const copy: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(service)) {
    const { type } = (method as unknown as { requestType: { type: { name: string; field: [] } } }).requestType;
    copy[name] = {
      ...method,
      requestDeserialize: (bytes: Buffer) => {
        requireKinds(type.name, type.field, bytes);
        return method.requestDeserialize(bytes);
      },
    };
  }
  return copy as ServiceDefinition;
}
