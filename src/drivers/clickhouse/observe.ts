/**
 * One look at a server. `/ping` says that it runs and nothing of its tables: these are asked one by one, by system tables that answer without touching data.
 *
 * A delay that the server gives as seconds since 1970 is no reading: it says so before the first look at the queue, and when its session with Keeper was lost.
 * https://github.com/ClickHouse/ClickHouse/issues/42305
 */
import { HoldfastError } from '../../base/errors.ts';
import { compareVersions } from '../../base/versions.ts';
import type { Reading } from '../../contracts/observation.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import type { ClickhouseClient, Row } from './client.ts';
import type { ClickhouseOptions } from './options.ts';
import type { ClickhouseContext } from './site-parts.ts';

const oldestVersion = '24.3';
const noDelaySeconds = 1_000_000_000;
const fewFreeShare = 0.1;
const noUuid = '00000000-0000-0000-0000-000000000000';

type Faults = NonNullable<Reading['faults']>;

export async function observeServer(
  { options, probeTimeoutMs }: ClickhouseContext,
  client: ClickhouseClient,
  signal: AbortSignal,
): Promise<Reading> {
  const limits = { timeoutMs: probeTimeoutMs, signal };
  try {
    await client.ping(limits);
    const [[server], replicas, disks, broken] = await Promise.all([
      client.query('SELECT version() AS version, toString(serverUUID()) AS uuid, uptime() AS uptime', limits),
      client.query(
        `SELECT database, table, is_readonly, is_session_expired, absolute_delay, queue_size, total_replicas, active_replicas, zookeeper_exception
         FROM system.replicas ORDER BY database, table`,
        limits,
      ),
      client.query('SELECT name, free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY name', limits),
      client.query(
        `SELECT concat(database, '.', table) AS name, count() AS parts FROM system.detached_parts WHERE reason LIKE 'broken%' GROUP BY name ORDER BY name`,
        limits,
      ),
    ]);
    if (typeof server?.version !== 'string')
      return readingOf({ kind: 'wrong-answer', detail: `${client.name} answers without a version, so not as ClickHouse does` });
    return readingOfServer({ client, options, server, replicas, disks, broken });
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'SYSTEM_WRONG_CREDENTIALS')
      return readingOf({ kind: 'not-allowed', detail: error.message });
    return readingOf(evidenceOfNetError(error, client.name));
  }
}

interface Look {
  readonly client: ClickhouseClient;
  readonly options: ClickhouseOptions;
  readonly server: Row;
  readonly replicas: readonly Row[];
  readonly disks: readonly Row[];
  readonly broken: readonly Row[];
}

function readingOfServer(look: Look): Reading {
  const { client, server, replicas, disks } = look;
  const readOnly = replicas.filter(isReadOnly);
  const delays = replicas.map(delayOf);
  const known = delays.filter((delay) => delay !== undefined);
  const queue = replicas.reduce((sum, { queue_size }) => sum + Number(queue_size), 0);
  const isFrozen = replicas.length > 0 && readOnly.length === replicas.length;
  return {
    ...readingOf({ kind: 'answered', detail: `${client.name} answers, version ${String(server.version)}` }),
    writable: !isFrozen,
    ...(server.uuid === noUuid ? {} : { identity: String(server.uuid) }),
    faults: [...serverFaults(look), ...replicas.flatMap((row) => replicaFaults(row, look.options))],
    facts: {
      version: String(server.version),
      replicatedTables: replicas.length,
      readOnlyTables: readOnly.length,
      disks: disks.map(({ name, free_space }) => ({ name: String(name), freeBytes: Number(free_space) })),
    },
    metrics: {
      clickhouse_readonly_tables: readOnly.length,
      clickhouse_replication_queue: queue,
      // Without a reading of each the largest one is not known.
      ...(known.length === delays.length ? { clickhouse_delay_seconds: Math.max(0, ...known) } : {}),
    },
  };
}

const isReadOnly = ({ is_readonly, is_session_expired }: Row): boolean => Number(is_readonly) === 1 || Number(is_session_expired) === 1;

function delayOf({ absolute_delay, is_session_expired }: Row): number | undefined {
  const delay = Number(absolute_delay);
  return Number.isFinite(delay) && delay < noDelaySeconds && Number(is_session_expired) !== 1 ? delay : undefined;
}

function replicaFaults(row: Row, options: ClickhouseOptions): Faults {
  const name = `${String(row.database)}.${String(row.table)}`;
  const faults: { severity: 'problem' | 'warning'; message: string; hint: string }[] = [];
  const delay = delayOf(row);
  if (isReadOnly(row))
    faults.push({
      severity: 'problem',
      message: `${name} is read-only: ${String(row.zookeeper_exception) || 'it has no session with Keeper'}`,
      hint: 'See that a majority of Keeper runs; where its data is lost, SYSTEM RESTART REPLICA and SYSTEM RESTORE REPLICA on each replica.',
    });
  else if (delay === undefined)
    faults.push({
      severity: 'warning',
      message: `how far ${name} is behind is not known`,
      hint: 'It is, once the server has looked at its queue.',
    });
  else if (delay * 1000 > options['delay-limit'])
    faults.push({
      severity: 'problem',
      message: `${name} is ${delay} s behind its other replicas`,
      hint: 'See system.replication_queue for what holds it up.',
    });
  if (Number(row.queue_size) > options['queue-limit'])
    faults.push({
      severity: 'warning',
      message: `the replication queue of ${name} has ${String(row.queue_size)} entries`,
      hint: 'See system.replication_queue: last_exception says what fails again and again.',
    });
  const [total, active] = [Number(row.total_replicas), Number(row.active_replicas)];
  if (active < total)
    faults.push({
      severity: 'warning',
      message: `${total - active} of ${total} replicas of ${name} are gone`,
      hint: 'Bring them back before another one goes.',
    });
  return faults;
}

function serverFaults({ server, disks, broken }: Look): Faults {
  const version = String(server.version);
  return [
    ...(compareVersions(version.split('.').slice(0, 2).join('.'), oldestVersion) < 0
      ? [
          {
            severity: 'problem' as const,
            message: `ClickHouse ${version} is older than ${oldestVersion}: it can't be backed up`,
            hint: `Its BACKUP writes no .tar; upgrade to ${oldestVersion} or newer.`,
          },
        ]
      : []),
    ...broken.map(({ name, parts }) => ({
      severity: 'problem' as const,
      message: `${String(parts)} broken parts of ${String(name)} were set aside`,
      hint: 'Their rows are missing from queries. Compare with a replica or a backup, then drop the detached parts.',
    })),
    ...disks
      .filter(({ free_space, total_space }) => Number(free_space) < Number(total_space) * fewFreeShare)
      .map(({ name }) => ({
        severity: 'warning' as const,
        message: `the disk ${String(name)} is nearly full`,
        hint: 'Merges and backups need room: free some, or enlarge it.',
      })),
  ];
}
