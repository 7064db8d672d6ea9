/** What is told of the cluster: its members and how they are, its size, who holds which lease. Reads only; a member that does not answer is told as one. */
import { asHoldfastError } from '../../base/errors.ts';
import type { StoreMember, StoreReport } from '../../contracts/store-report.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import type { Leases } from './leases.ts';
import type { StatusAnswer } from './messages.ts';

const statusTimeoutMs = 1_000;
const alarmNames: Readonly<Record<number, string>> = { 1: 'the database is full (NOSPACE)', 2: 'the data are damaged (CORRUPT)' };

export async function readReport(cluster: GuardedCluster, leases: Leases): Promise<StoreReport> {
  const [{ members }, { alarms }, held, statuses] = await Promise.all([
    cluster.ask('Cluster/MemberList', {}),
    cluster.ask('Maintenance/Alarm', { action: 0 }),
    leases.readAll(),
    readStatuses(cluster),
  ]);
  const told = members.map(({ ID, name, clientURLs }): StoreMember => {
    const answer = statuses.answers.get(ID);
    const alarm = alarms.find(({ memberID }) => memberID === ID)?.alarm;
    const fault = faultOf(answer, alarm, clientURLs, statuses.faults);
    return {
      name: name === '' ? ID : name,
      addresses: clientURLs,
      leads: answer !== undefined && answer.leader === ID,
      ...(answer === undefined ? {} : { version: answer.version, sizeBytes: Number(answer.dbSize) }),
      ...(fault === undefined ? {} : { fault }),
    };
  });
  const answers = [...statuses.answers.values()];
  const largest = (sizeOf: (answer: StatusAnswer) => string): number => Math.max(0, ...answers.map((answer) => Number(sizeOf(answer))));
  const sizeMaxBytes = largest(({ dbSizeQuota }) => dbSizeQuota);
  return {
    kind: 'etcd',
    place: cluster.keys.prefix,
    id: cluster.identity.stateId,
    clusterId: cluster.identity.clusterId,
    revision: cluster.highest,
    sizeBytes: largest(({ dbSize }) => dbSize),
    sizeInUseBytes: largest(({ dbSizeInUse }) => dbSizeInUse),
    // Members before 3.6 do not tell their quota.
    ...(sizeMaxBytes > 0 ? { sizeMaxBytes } : {}),
    isFull: alarms.some(({ alarm }) => alarm === 1),
    members: told,
    leases: held,
  };
}

function faultOf(
  answer: StatusAnswer | undefined,
  alarm: number | undefined,
  addresses: readonly string[],
  faults: ReadonlyMap<string, string>,
): string | undefined {
  if (alarm !== undefined) return alarmNames[alarm] ?? `alarm ${alarm}`;
  if (answer === undefined)
    return (
      addresses.map((address) => faults.get(address)).find((fault) => fault !== undefined) ??
      'none of the endpoints of the spec is this member'
    );
  return answer.leader === '0' ? 'it knows no leader' : answer.errors.join('; ') || undefined;
}

interface Statuses {
  /** By the member's id. */
  readonly answers: ReadonlyMap<string, StatusAnswer>;
  /** By endpoint. */
  readonly faults: ReadonlyMap<string, string>;
}

async function readStatuses(cluster: GuardedCluster): Promise<Statuses> {
  const answers = new Map<string, StatusAnswer>();
  const faults = new Map<string, string>();
  await Promise.all(
    cluster.members.endpoints.map(async (endpoint) => {
      try {
        const answer = await cluster.ask('Maintenance/Status', {}, { endpoint, timeoutMs: statusTimeoutMs });
        answers.set(answer.header.member_id, answer);
      } catch (thrown) {
        faults.set(endpoint, asHoldfastError(thrown).message);
      }
    }),
  );
  return { answers, faults };
}
