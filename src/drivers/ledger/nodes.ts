/**
 * The nodes of a site: each one's client, and what it says of itself and of its cluster.
 *
 * Which interface a node speaks is found by asking it, never taken from a version: a production ledger may be built otherwise than the one of that number. A node that was asked once is asked anew after it
 * failed, for another program may answer then. Nothing is kept beyond the process.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import { LedgerClient } from './client.ts';
import type { Profile } from './messages.ts';
import type { LedgerNode, LedgerOptions, LedgerSiteOptions } from './options.ts';
import { grpcCode } from './refusals.ts';

export type LedgerContext = SiteContext<LedgerOptions, LedgerSiteOptions>;

export interface Limit {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface NodeInfo {
  readonly nodeId: bigint;
  readonly term: bigint;
  readonly isMember: boolean;
  /** Only interface B tells it. */
  readonly clusterId: string | undefined;
}

export interface Member {
  readonly nodeId: bigint;
  readonly address: string;
  readonly role: 'voter' | 'learner' | 'unknown';
  readonly isLeader: boolean;
}

export interface ClusterInfo {
  readonly members: readonly Member[];
  /** Undefined where the node knows of no leader. */
  readonly leaderId: bigint | undefined;
  readonly term: bigint;
}

interface RawNodeInfo {
  readonly node_id: string;
  readonly term: string;
  readonly is_cluster_member: boolean;
  readonly cluster_id?: string;
  readonly state?: string;
}

interface RawClusterInfo {
  readonly members: readonly { readonly node_id: string; readonly address: string; readonly role: number; readonly is_leader: boolean }[];
  readonly leader_id: string;
  readonly term: string;
}

const roles = ['unknown', 'voter', 'learner'] as const;

export class Node {
  readonly options: LedgerNode;
  readonly client: LedgerClient;
  #profile: Profile | undefined;

  constructor(options: LedgerNode, client: LedgerClient) {
    this.options = options;
    this.client = client;
  }

  get address(): string {
    return this.client.address;
  }

  /** One call by the interface that the node speaks. Changes are sent once and never to find out the interface. */
  async call<T>(
    name: string | Readonly<Record<Profile, string>>,
    request: object,
    limit: Limit & { readonly change?: boolean },
  ): Promise<T> {
    const profile = await this.profile(limit);
    try {
      return await this.client.call<T>(profile, typeof name === 'string' ? name : name[profile], request, limit);
    } catch (error) {
      this.#profile = undefined;
      throw error;
    }
  }

  async profile(limit: Limit): Promise<Profile> {
    this.#profile ??= await this.#probe(limit);
    return this.#profile;
  }

  /** Only B serves vaults by a service of their own. */
  async #probe(limit: Limit): Promise<Profile> {
    const has = async (profile: Profile, call: string, request: object): Promise<boolean> => {
      try {
        await this.client.call(profile, call, request, limit);
        return true;
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        if (error.details.grpc === grpcCode.unimplemented) return false;
        // That it refuses shows that it has it.
        if (error.code === 'SYSTEM_REFUSED' || error.code === 'SYSTEM_NOT_SERVING') return true;
        throw error;
      }
    };
    if (await has('B', 'VaultService/ListVaults', { page_size: 1 })) return 'B';
    if (await has('A', 'AdminService/ListVaults', {})) return 'A';
    throw fail('SYSTEM_WRONG_ANSWER', {
      subject: this.address,
      message: `${this.address} speaks gRPC and lists no vaults by either interface of the ledger`,
    });
  }

  async readInfo(limit: Limit): Promise<NodeInfo> {
    const raw = await this.call<RawNodeInfo>('AdminService/GetNodeInfo', {}, limit);
    const nodeId = BigInt(raw.node_id);
    if (nodeId === 0n && raw.state !== 'uninitialized')
      throw fail('SYSTEM_WRONG_ANSWER', { subject: this.address, message: `${this.address} tells no id of its own` });
    return {
      nodeId,
      term: BigInt(raw.term),
      isMember: raw.is_cluster_member,
      clusterId: raw.cluster_id === undefined || raw.cluster_id === '0' ? undefined : raw.cluster_id,
    };
  }

  async readCluster(limit: Limit): Promise<ClusterInfo> {
    const raw = await this.call<RawClusterInfo>('AdminService/GetClusterInfo', {}, limit);
    return {
      members: raw.members.map(({ node_id, address, role, is_leader }) => ({
        nodeId: BigInt(node_id),
        address,
        role: roles[role] ?? 'unknown',
        isLeader: is_leader,
      })),
      leaderId: raw.leader_id === '0' ? undefined : BigInt(raw.leader_id),
      term: BigInt(raw.term),
    };
  }
}

export function openNodes({ host, site }: LedgerContext): readonly Node[] {
  return site.nodes.map((options) => new Node(options, new LedgerClient(host, options.url, site)));
}

export interface Leader {
  readonly node: Node;
  readonly cluster: ClusterInfo;
}

/** The node that leads, asked of all of them; a follower answers changes with OK and does nothing. */
export async function findLeader(nodes: readonly Node[], limit: Limit): Promise<Leader> {
  const errors: unknown[] = [];
  const answers: JsonObject[] = [];
  for (const node of nodes) {
    try {
      const [info, cluster] = await Promise.all([node.readInfo(limit), node.readCluster(limit)]);
      if (cluster.leaderId !== undefined && cluster.leaderId === info.nodeId) return { node, cluster };
      answers.push({ node: node.address, leader: String(cluster.leaderId ?? 'none') });
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.kind === 'bug' || error.kind === 'invalid') throw error;
      limit.signal.throwIfAborted();
      errors.push(error);
    }
  }
  if (answers.length === 0) throw errors[0];
  throw fail('SYSTEM_NOT_SERVING', {
    message: `none of the nodes here leads: ${answers.map(({ node, leader }) => `${node} sees ${leader}`).join(', ')}`,
    hint: 'Without a majority of voters there is no leader: bring nodes back, or restore.',
    details: { cause: 'no-leader' },
  });
}
