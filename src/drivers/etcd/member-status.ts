/** What a member says of itself, and which one a snapshot is taken from. */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Position } from '../../contracts/observation.ts';
import type { CallOptions, EtcdClient } from './client.ts';

export interface MemberStatus {
  readonly client: EtcdClient;
  readonly memberId: string;
  readonly clusterId: string;
  readonly version: string;
  /** Of the store as this member has it. */
  readonly revision: string;
  /** '0' where there is none. */
  readonly leader: string;
  readonly raftIndex: bigint;
  readonly isLearner: boolean;
  readonly sizeBytes: number;
  readonly errors: readonly string[];
}

export async function readStatus(client: EtcdClient, options: CallOptions): Promise<MemberStatus> {
  const answer = await client.call('/v3/maintenance/status', {}, options);
  const header = (answer.header ?? {}) as JsonObject;
  if (typeof header.cluster_id !== 'string' || typeof answer.version !== 'string')
    throw fail('SYSTEM_WRONG_ANSWER', {
      message: `${client.name} does not answer as etcd does`,
      hint: 'Is it an etcd member, 3.4 or newer?',
    });
  return {
    client,
    memberId: String(header.member_id ?? '0'),
    clusterId: header.cluster_id,
    version: answer.version,
    revision: String(header.revision ?? '0'),
    leader: String(answer.leader ?? '0'),
    raftIndex: BigInt(String(answer.raftIndex ?? '0')),
    isLearner: answer.isLearner === true,
    sizeBytes: Number(answer.dbSize ?? 0),
    errors: Array.isArray(answer.errors) ? answer.errors.map(String) : [],
  };
}

const lagMax = 1_000n;

/** A follower that keeps up, so that the leader is left in peace; else the leader. */
export function chooseMember(members: readonly MemberStatus[]): MemberStatus | undefined {
  const indices = members.map(({ raftIndex }) => raftIndex).sort((left, right) => (left < right ? -1 : 1));
  const newest = indices.at(-1) ?? 0n;
  const fit = members.filter((member) => !member.isLearner && member.leader !== '0' && newest - member.raftIndex <= lagMax);
  return fit.find((member) => member.memberId !== member.leader) ?? fit[0];
}

/** Positions are revisions of the store: what a snapshot has can be compared with what the cluster has. */
export function positionOf(clusterId: string, revision: string): Position & { readonly [key: string]: string | number } {
  return { history: clusterId, timeline: 1, offset: revision, text: `revision ${revision}` };
}
