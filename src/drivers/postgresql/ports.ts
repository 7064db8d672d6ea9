/**
 * The two doors of this driver: connections to a server, and what is done on its host by hands. Everything above them is the same for real servers and for the
 * simulated ones of `fake.ts`.
 *
 * Every operation ends by itself within its limit: a server that accepts a connection may never answer. An operation that ran out of time has broken its connection.
 */
import type { Secret } from '../../base/secret.ts';
import type { CanaryRow } from '../../contracts/driver.ts';
import type { Evidence } from '../../contracts/observation.ts';

export interface Limit {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Where a server listens and how we come in. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password: Secret | undefined;
  readonly tls: { readonly mode: 'disable' | 'require' | 'verify-ca' | 'verify-full'; readonly ca: string | undefined };
}

export interface StandbyRow {
  readonly member: string;
  /** Null where we lack pg_monitor. */
  readonly state: string | null;
  readonly syncState: string | null;
  readonly lagBytes: string | null;
  readonly lagMs: number | null;
}

export interface SlotRow {
  readonly name: string;
  readonly active: boolean;
  readonly retainedBytes: string | null;
  readonly walStatus: string | null;
}

/** One look at a server, taken in one round trip. */
export interface ServerStatus {
  readonly inRecovery: boolean;
  readonly systemIdentifier: string;
  readonly version: number;
  /** Of a standby: the newest that it knows of. */
  readonly timeline: number;
  /** Of a primary: the end of its log. Of a standby: what it has received. */
  readonly lsn: string;
  /** Of a standby: what it has applied. */
  readonly replayLsn: string | null;
  readonly paused: boolean;
  readonly receiver:
    | { readonly status: string; readonly lastMessageAgeMs: number | null; readonly host: string | null; readonly port: number | null }
    | undefined;
  readonly standbys: readonly StandbyRow[];
  readonly slots: readonly SlotRow[];
  /** Null for a setting that we may not see. Booleans are `on` and `off`, times milliseconds. */
  readonly settings: Readonly<Record<SettingName, string | null>>;
  readonly seesEverything: boolean;
}

export const settingNames = [
  'data_directory',
  'default_transaction_read_only',
  'full_page_writes',
  'fsync',
  'primary_conninfo',
  'primary_slot_name',
  'synchronous_commit',
  'synchronous_standby_names',
  'data_checksums',
  'wal_level',
  'wal_log_hints',
  'wal_receiver_timeout',
] as const;
export type SettingName = (typeof settingNames)[number];

/** Settings that this driver changes; null takes our value away again. */
export type ChangeableSetting = 'default_transaction_read_only' | 'primary_conninfo' | 'primary_slot_name' | 'synchronous_standby_names';

export interface EpochRow {
  readonly epoch: number;
  readonly region: string;
}

/** An open connection. Once `lost` it stays so. Errors are HoldfastErrors with `details.evidence`, an EvidenceKind. */
export interface Connection {
  readonly lost: boolean;
  /** Calls back once when the connection breaks; never for our own `close`. */
  onLost(listener: (evidence: Evidence) => void): void;
  readStatus(limit: Limit): Promise<ServerStatus>;
  isInRecovery(limit: Limit): Promise<boolean>;
  /** Makes the place for it where there is none. */
  writeCanary(component: string, row: CanaryRow, limit: Limit): Promise<void>;
  readCanary(component: string, limit: Limit): Promise<CanaryRow | undefined>;
  /** Takes the epoch down unless a higher one stands there; resolves to what stands there then. */
  writeEpoch(component: string, row: EpochRow, atMs: number, limit: Limit): Promise<EpochRow>;
  readEpoch(component: string, limit: Limit): Promise<EpochRow | undefined>;
  /** ALTER SYSTEM for each, then a reload. Resolves once the reload was asked for. */
  changeSettings(settings: Readonly<Partial<Record<ChangeableSetting, string | null>>>, limit: Limit): Promise<void>;
  /** Asks the server to read its settings again; it also wakes a startup process that sleeps. */
  reload(limit: Limit): Promise<void>;
  /** Sends the signal to promote; does not wait. SYSTEM_WRONG_ROLE where the server is no standby. */
  signalPromotion(limit: Limit): Promise<void>;
  /** Ends every client's connection but Holdfast's own; resolves to how many there were. */
  terminateClients(limit: Limit): Promise<number>;
  ensureSlot(name: string, limit: Limit): Promise<void>;
  /** Drops those of them that nobody uses. */
  dropSlots(names: readonly string[], limit: Limit): Promise<void>;
  checkpoint(limit: Limit): Promise<void>;
  /** The text of the history file of a timeline; empty for the first. */
  readTimelineHistory(timeline: number, limit: Limit): Promise<string>;
  close(): void;
}

export type Connect = (address: Address, limit: Limit) => Promise<Connection>;

/** What pg_controldata says of a stopped server's directory, and whether anything runs in it. */
export interface ClusterState {
  /** Processes that work in the data directory, also orphans of a killed postmaster. */
  readonly processes: number;
  /** A start brings it up as a standby, whatever it was. */
  readonly barred: boolean;
  /** The word in the bar: empty where it may be lifted only by an execution or by a person's word, else that of the fence at the end of a lease that put it. */
  readonly barWord: string;
  /** An earlier rewind was begun and not ended: its directory lies aside. */
  readonly rewinding: boolean;
  /** The history that the directory was rewound onto last, as `rewind` was told; it may have gone its own way since. */
  readonly rewoundOnto?: string;
  /** In the words of pg_controldata: `shut down`, `shut down in recovery`, `in production`. */
  readonly state: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** The text of the history file of that timeline; without one where it is the first, or the file is gone. */
  readonly timelineHistory?: string;
  readonly checkpointLsn: string;
  /** Of a standby that was stopped in an orderly way: how far it had applied the log. */
  readonly appliedLsn: string;
}

export interface Upstream {
  readonly address: Address;
  readonly replicationUser: string;
  readonly replicationPassword: Secret | undefined;
  readonly member: string;
  readonly slot: string | undefined;
}

export interface SalvageRequest {
  /** The survivor left our timeline here. */
  readonly timeline: number;
  readonly forkLsn: string;
  readonly into: string;
  readonly database: string;
  readonly user: string;
}

export interface SalvageResult {
  readonly diverged: boolean;
  readonly endLsn: string;
  readonly transactions: number;
  readonly writes: number;
  readonly updates: number;
  readonly deletes: number;
  readonly files: readonly string[];
  readonly notes: readonly string[];
}

/** The host of a server, reached by hands. */
export interface Machine {
  readState(limit: Limit): Promise<ClusterState>;
  /** Makes sure that a start brings up a standby, durably. With a word, a bar without one stays as it is; an empty word takes the word away. */
  bar(word: string, limit: Limit): Promise<void>;
  /** Puts the word into the bar if that still says `former`; SYSTEM_REFUSED where somebody put another one since. */
  changeBar(former: string, word: string, limit: Limit): Promise<void>;
  /** Takes the very bar away that says `word`; SYSTEM_REFUSED where somebody put another one since. */
  unbar(word: string, limit: Limit): Promise<void>;
  /** Orderly: what clients wrote is sent to the standbys before the server ends. `now`: every process is ended at once, also frozen ones and orphans. */
  stop(how: 'orderly' | 'now', limit: Limit): Promise<void>;
  start(limit: Limit): Promise<void>;
  /** Writes the settings of a standby into the stopped server's directory, barred first. */
  configureStandby(upstream: Upstream, limit: Limit): Promise<void>;
  /** Brings a killed server's directory to a stopped, consistent state, without letting anybody in and without ever being a primary. */
  recover(limit: Limit): Promise<void>;
  /**
   * Rewinds the stopped server onto the upstream. Interrupted, it goes on where it was; in between no server can start in the directory. `history` is kept beside the directory
   * once it is done, and a second rewind onto the same one does nothing.
   */
  rewind(upstream: Upstream, history: string, limit: Limit): Promise<void>;
  /** Copies the upstream anew; what was there before is kept at the path that it resolves to. */
  copyAnew(upstream: Upstream, keep: string | undefined, limit: Limit): Promise<string | undefined>;
  /** Keeps the log from `fromLsn` on aside; resolves to the directory. */
  keepLog(timeline: number, fromLsn: string, into: string, limit: Limit): Promise<string>;
  salvage(request: SalvageRequest, limit: Limit): Promise<SalvageResult>;
  readSalvageReport(into: string, limit: Limit): Promise<string | undefined>;
  writeSalvageReport(into: string, text: string, limit: Limit): Promise<void>;
}
