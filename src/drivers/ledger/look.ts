/** One look at the nodes of a site, all at once: what each says, or why it says nothing. Reads only. */
import { HoldfastError } from '../../base/errors.ts';
import type { Evidence } from '../../contracts/observation.ts';
import { evidenceOfNetError } from '../../contracts/workload/net-evidence.ts';
import type { ClusterInfo, Limit, Node, NodeInfo } from './nodes.ts';
import { grpcCode } from './refusals.ts';

const statuses = ['unknown', 'healthy', 'degraded', 'unavailable'] as const;

export interface Answer {
  readonly node: Node;
  readonly info: NodeInfo;
  readonly cluster: ClusterInfo;
  readonly status: (typeof statuses)[number];
  readonly said: string;
  /** Undefined where the node does not tell. */
  readonly backups: 'configured' | 'not configured' | undefined;
}

export interface Silence {
  readonly node: Node;
  readonly evidence: Evidence;
}

export interface Looks {
  readonly answers: readonly Answer[];
  readonly silent: readonly Silence[];
  /** The node that the others say leads, and that says so itself. */
  readonly leader: Answer | undefined;
}

export async function lookAt(nodes: readonly Node[], limit: Limit): Promise<Looks> {
  const looks = await Promise.all(nodes.map((node) => lookAtNode(node, limit)));
  const answers = looks.flatMap((each) => ('info' in each ? [each] : []));
  return {
    answers,
    silent: looks.flatMap((each) => ('evidence' in each ? [each] : [])),
    // Of two that both say so, the later term is right: the other one has not heard of it yet.
    leader: answers
      .filter(({ info, cluster }) => cluster.leaderId === info.nodeId)
      .toSorted((left, right) => (left.cluster.term > right.cluster.term ? -1 : 1))[0],
  };
}

async function lookAtNode(node: Node, limit: Limit): Promise<Answer | Silence> {
  try {
    const [info, cluster, health, backups] = await Promise.all([
      node.readInfo(limit),
      node.readCluster(limit),
      node.call<{ status: number; message: string }>('HealthService/Check', {}, limit),
      readBackups(node, limit),
    ]);
    return { node, info, cluster, status: statuses[health.status] ?? 'unknown', said: health.message, backups };
  } catch (error) {
    return { node, evidence: evidenceOf(error, node) };
  }
}

export function evidenceOf(error: unknown, node: Node): Evidence {
  if (error instanceof HoldfastError && error.code === 'SYSTEM_WRONG_CREDENTIALS')
    return { kind: error.details.cause === 'tls' ? 'error' : 'not-allowed', detail: `${node.address}: ${error.message}` };
  // It answered that it can't serve.
  if (error instanceof HoldfastError && error.code === 'SYSTEM_NOT_SERVING')
    return { kind: 'wrong-answer', detail: `${node.address}: ${error.message}` };
  return evidenceOfNetError(error, node.address);
}

async function readBackups(node: Node, limit: Limit): Promise<Answer['backups']> {
  try {
    await node.call('AdminService/ListBackups', { limit: 1 }, limit);
    return 'configured';
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
    if (error.details.grpc === grpcCode.precondition) return 'not configured';
    // Whatever else is wrong shows in the other calls of this look.
    return undefined;
  }
}
