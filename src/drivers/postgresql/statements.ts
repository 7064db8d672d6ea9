/** The SQL of this driver that is more than a call. Everything runs as it stands from PostgreSQL 15 on. */
import type { SlotRow, StandbyRow } from './ports.ts';
import { type ServerStatus, settingNames } from './ports.ts';

/**
 * The whole state of a server in one round trip, on a primary and on a standby alike: the role is read first and CASE keeps the functions of the other role from being
 * called, for some of them raise an error there. MATERIALIZED keeps the role one value for the whole statement.
 *
 * The timeline of a primary comes from the name of its current log file: the control file says the old one until the checkpoint after a promotion has ended.
 */
export const readStatusText = `
WITH role AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby)
SELECT json_build_object(
  'inRecovery', role.standby,
  'systemIdentifier', control.system_identifier::text,
  'version', current_setting('server_version_num')::int / 10000,
  'timeline', CASE WHEN role.standby
    THEN GREATEST(receiver.received_tli, checkpoint.timeline_id, recovery.min_recovery_end_timeline)
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'lsn', CASE WHEN role.standby
    THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END::text,
  'replayLsn', CASE WHEN role.standby THEN pg_last_wal_replay_lsn() END::text,
  'paused', CASE WHEN role.standby THEN pg_get_wal_replay_pause_state() <> 'not paused' ELSE false END,
  'receiver', CASE WHEN receiver.pid IS NOT NULL THEN json_build_object(
    'status', receiver.status,
    'lastMessageAgeMs', round(extract(epoch FROM clock_timestamp() - receiver.last_msg_receipt_time) * 1000),
    'host', receiver.sender_host,
    'port', receiver.sender_port) END,
  'standbys', CASE WHEN role.standby THEN '[]'::json ELSE (
    SELECT coalesce(json_agg(json_build_object(
      'member', application_name, 'state', state, 'syncState', sync_state,
      'lagBytes', pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::text,
      'lagMs', round(extract(epoch FROM replay_lag) * 1000)) ORDER BY application_name), '[]'::json)
    FROM pg_stat_replication) END,
  'slots', CASE WHEN role.standby THEN '[]'::json ELSE (
    SELECT coalesce(json_agg(json_build_object(
      'name', slot_name, 'active', active, 'walStatus', wal_status,
      'retainedBytes', pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text) ORDER BY slot_name), '[]'::json)
    FROM pg_replication_slots) END,
  'settings', (SELECT coalesce(json_object_agg(name, setting), '{}'::json) FROM pg_settings WHERE name = ANY($1::text[])),
  'seesEverything', pg_has_role(current_user, 'pg_monitor', 'USAGE')
)::text AS status
FROM role, pg_control_system() control, pg_control_checkpoint() checkpoint, pg_control_recovery() recovery
LEFT JOIN pg_stat_wal_receiver receiver ON true`;

interface RawStatus extends Omit<ServerStatus, 'receiver' | 'settings' | 'standbys' | 'slots'> {
  readonly receiver: NonNullable<ServerStatus['receiver']> | null;
  readonly settings: Readonly<Record<string, string | null>>;
  readonly standbys: readonly StandbyRow[];
  readonly slots: readonly SlotRow[];
}

export function parseStatus(text: string): ServerStatus {
  const raw = JSON.parse(text) as RawStatus;
  const settings = Object.fromEntries(settingNames.map((name) => [name, raw.settings[name] ?? null])) as ServerStatus['settings'];
  return { ...raw, receiver: raw.receiver ?? undefined, settings };
}

export const makePlaceTexts = [
  'CREATE SCHEMA IF NOT EXISTS holdfast',
  `CREATE TABLE IF NOT EXISTS holdfast.canary (
     component text PRIMARY KEY, number bigint NOT NULL, at_ms bigint NOT NULL, epoch bigint NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS holdfast.epoch (
     component text PRIMARY KEY, epoch bigint NOT NULL, region text NOT NULL, at_ms bigint NOT NULL)`,
] as const;

/** A late writer with an older number changes nothing. */
export const writeCanaryText = `
INSERT INTO holdfast.canary AS canary (component, number, at_ms, epoch) VALUES ($1, $2, $3, $4)
ON CONFLICT (component) DO UPDATE SET number = excluded.number, at_ms = excluded.at_ms, epoch = excluded.epoch
WHERE canary.number <= excluded.number`;

export const readCanaryText = 'SELECT number::text, at_ms::text, epoch::text FROM holdfast.canary WHERE component = $1';

export const writeEpochText = `
INSERT INTO holdfast.epoch AS known (component, epoch, region, at_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (component) DO UPDATE SET epoch = excluded.epoch, region = excluded.region, at_ms = excluded.at_ms
WHERE known.epoch <= excluded.epoch`;

export const readEpochText = 'SELECT epoch::text, region FROM holdfast.epoch WHERE component = $1';

/** Our own connections say who they are, so that they are spared. */
export const applicationName = 'holdfast';

export const terminateClientsText = `
SELECT count(*)::int AS ended FROM (
  SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> '${applicationName}' OFFSET 0) AS each`;

export const ensureSlotText = `
SELECT pg_create_physical_replication_slot($1, true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`;

export const dropSlotsText = `
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = ANY($1::text[]) AND slot_type = 'physical' AND NOT active`;

export const readHistoryText = `SELECT convert_from(pg_read_binary_file('pg_wal/' || $1), 'UTF8') AS history`;

export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
