/** One look at the members of a region: healthy where one of them can serve, with a quorum behind it. */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Evidence, Reading } from '../../contracts/observation.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import { EtcdClient, readTrust } from './client.ts';
import { type MemberStatus, positionOf, readStatus } from './member-status.ts';
import type { EtcdOptions, EtcdSiteOptions } from './options.ts';

export type EtcdContext = SiteContext<EtcdOptions, EtcdSiteOptions>;

export async function openClients({ host, site, options }: EtcdContext): Promise<readonly EtcdClient[]> {
  const trust = await readTrust(host, site);
  return site.endpoints.map((url) => new EtcdClient(host, { url, trust, options }));
}

type Look =
  | { readonly status: MemberStatus; readonly healthy: boolean; readonly alarms: readonly string[] }
  | { readonly evidence: Evidence };

export async function observeMembers(context: EtcdContext, clients: readonly EtcdClient[], signal: AbortSignal): Promise<Reading> {
  const call = { timeoutMs: context.probeTimeoutMs, signal };
  const looks = await Promise.all(clients.map((client) => look(client, call)));
  const answers = looks.flatMap((each) => ('status' in each ? [each] : []));
  const evidences = looks.flatMap((each) => ('evidence' in each ? [each.evidence] : []));
  const well = answers.find(({ healthy }) => healthy);
  const best = well ?? answers[0];
  if (best === undefined) return readingOf(evidences.find(({ kind }) => kind !== 'refused') ?? (evidences[0] as Evidence));
  const { status } = best;
  const detail = well
    ? `${status.client.name} can serve, version ${status.version}`
    : `${status.client.name} answers and can not serve: ${status.leader === '0' ? 'there is no leader' : status.errors.join(', ') || 'no quorum'}`;
  return {
    ...readingOf({ kind: well ? 'answered' : 'wrong-answer', detail }),
    identity: status.clusterId,
    position: positionOf(status.clusterId, status.revision),
    faults: faultsOf(answers, evidences),
    facts: factsOf(answers, looks.length),
  };
}

async function look(client: EtcdClient, call: { readonly timeoutMs: number; readonly signal: AbortSignal }): Promise<Look> {
  try {
    const [status, healthy] = await Promise.all([readStatus(client, call), client.isHealthy(call)]);
    return { status, healthy, alarms: await readAlarms(client, call) };
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'SYSTEM_WRONG_CREDENTIALS')
      return { evidence: { kind: 'not-allowed', detail: error.message } };
    return { evidence: evidenceOfNetError(error, client.name) };
  }
}

async function readAlarms(
  client: EtcdClient,
  call: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  try {
    const { alarms } = await client.call('/v3/maintenance/alarm', { action: 'GET' }, call);
    return Array.isArray(alarms) ? alarms.map((each) => String((each as JsonObject).alarm)) : [];
  } catch (error) {
    // Alarms are asked of the whole cluster: without a quorum, or without the role root, there is no answer, and that is told elsewhere.
    if (error instanceof HoldfastError && error.kind !== 'bug') return [];
    throw error;
  }
}

function faultsOf(
  answers: readonly Extract<Look, { status: MemberStatus }>[],
  evidences: readonly Evidence[],
): NonNullable<Reading['faults']> {
  const alarms = [...new Set(answers.flatMap((each) => each.alarms))];
  const clusters = new Set(answers.map(({ status }) => status.clusterId));
  return [
    ...alarms.map((alarm) => ({
      severity: 'problem' as const,
      message:
        alarm === 'NOSPACE'
          ? 'etcd is out of space and takes no writes'
          : alarm === 'CORRUPT'
            ? 'members of etcd differ in their data'
            : `etcd has raised ${alarm}`,
      hint:
        alarm === 'NOSPACE'
          ? 'Compact and defragment it, then etcdctl alarm disarm.'
          : 'Restore the member that differs, or all from a backup.',
    })),
    ...evidences.map(({ detail }) => ({
      severity: 'warning' as const,
      message: `a member does not answer: ${detail}`,
      hint: 'Bring it back before another one goes.',
    })),
    ...(clusters.size > 1
      ? [
          {
            severity: 'problem' as const,
            message: `the endpoints belong to ${clusters.size} different clusters`,
            hint: 'A member was started on its own: see which cluster clients use.',
          },
        ]
      : []),
  ];
}

function factsOf(answers: readonly Extract<Look, { status: MemberStatus }>[], members: number): JsonObject {
  const statuses = answers.map(({ status }) => status);
  const indices = statuses.map(({ raftIndex }) => raftIndex).sort((left, right) => (left < right ? -1 : 1));
  return {
    members,
    answering: statuses.length,
    version: statuses[0]?.version,
    leader: statuses[0]?.leader,
    raftIndex: String(indices.at(-1) ?? 0n),
    raftLag: String((indices.at(-1) ?? 0n) - (indices[0] ?? 0n)),
    dbSizeBytes: Math.max(0, ...statuses.map(({ sizeBytes }) => sizeBytes)),
    alarms: [...new Set(answers.flatMap((each) => each.alarms))],
  };
}
