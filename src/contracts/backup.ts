/**
 * What a driver can do for backups, archives, restores and proofs. The core keeps bytes (pieces, digests, keys, manifests); the driver knows what they mean.
 *
 * A backup is a set of named parts, each a stream of bytes, and facts. A driver writes parts into a sink and gets them back, byte for byte, from a reader. A restore works without
 * the site: from a repository, on this machine, with the system's own programs.
 */
import type { Json, JsonObject } from '../base/json.ts';
import type { Host, Log } from '../host/host.ts';
import type { CanaryRow } from './canary.ts';
import type { Position } from './observation.ts';
import type { SiteContext } from './site-context.ts';

/** P1 intact (digests) · P2 starts · P3 sound (the engine's own checks) · P4 content equals the fingerprint taken at backup time · P5 reached the point it should have, in time. */
export const proofLevels = ['P1', 'P2', 'P3', 'P4', 'P5'] as const;
export type ProofLevel = (typeof proofLevels)[number];

/** One thing that a driver can back up: the `what` of a spec's `backup`. */
export interface BackupKind {
  /** `base`, `dump`, `wal`, `snapshot`, `files`. */
  readonly what: string;
  readonly summary: string;
  /** Archived all the time instead of on a schedule. */
  readonly continuous: boolean;
  /** Of a driver with several: what is backed up where the user names none. */
  readonly isDefault?: boolean;
  /** Holds only what has changed since another backup of one of these kinds, and can't be restored without it. */
  readonly buildsOn?: readonly string[];
}

export interface BackupContext {
  readonly signal: AbortSignal;
  readonly log: Log;
  /** What, how much, how long still: for the screen only. */
  progress(message: string): void;
}

/** A part under way. `write` resolves when there is room for more: waiting for it is the back-pressure. The buffer may be kept: don't change it afterwards. */
export interface PartWriter {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

export interface BackupSink {
  readonly backupId: string;
  /** A new part. `compressed`: the bytes are compressed already and are kept as they are. Several parts may be written at once. */
  openPart(name: string, options?: { readonly compressed?: boolean }): PartWriter;
}

/** Rows (or keys, vectors, files) of one table (or type, index, directory) as they were at the backup's own instant. */
export interface FingerprintEntry extends JsonObject {
  /** `public.orders`, `hash keys`, `tenant-7.faiss`. */
  readonly name: string;
  readonly count: number;
  /** Keyed digest over the content, independent of the order of rows; absent where only the count was taken. */
  readonly digest?: string;
  /** Which part of it was digested, where not all: `blocks 0-512 of 8192`. The restored copy digests the same part. */
  readonly sample?: string;
}

export interface Fingerprint extends JsonObject {
  /** The position at which all entries hold, where the system has one: a restored copy is brought to exactly this one before it is compared. */
  readonly position?: Position & JsonObject;
  readonly entries: readonly FingerprintEntry[];
  /** Why it is less than all of the content, for people: `2 of 14 tables were digested in part`. */
  readonly limits?: readonly string[];
}

/** What a driver says of a finished backup; the manifest keeps it. Readable without a key: no secrets, no content. */
export interface BackupFacts extends JsonObject {
  /** `postgresql`, with its exact version: what is needed to restore. */
  readonly engine: string;
  readonly engineVersion: string;
  /** Names the history: system identifier, replication id, cluster id. */
  readonly identity: string;
  /** The instant that a restore of this backup alone comes back to, by the system's clock: nothing acknowledged before it is missing. */
  readonly consistentAtMs: number;
  /** The position of that instant. */
  readonly position?: Position & JsonObject;
  /** From where on the archive is needed, and up to where at the least: the names of the first and the last log segment. */
  readonly archive?: { readonly timeline: number; readonly first: string; readonly last: string };
  /** Other backups of the component without which this one can't be restored: an increment names what it builds on. Retention keeps them as long as this one. */
  readonly needs?: readonly string[];
  /** Bytes of the system's data before compression. */
  readonly dataBytes: number;
  readonly fingerprint?: Fingerprint;
  /** The newest canary row that the backup holds for certain. */
  readonly canary?: CanaryRow & JsonObject;
  /** Of the driver's own, for its restorer: tablespaces, extensions, locale. */
  readonly more?: JsonObject;
}

/** Reads one archived log. Names are the system's own: `000000010000000000000003`, `00000002.history`. */
export interface ArchiveReader {
  /** Names in ascending order, from `from` on. */
  list(from?: string): AsyncIterable<string>;
  /** The content; undefined where it is not there. A segment that has arrived only in part comes as far as it has come, with `whole: false`. */
  fetch(name: string): Promise<{ readonly bytes: Uint8Array; readonly whole: boolean } | undefined>;
  /** Holes that were recorded: a restore must not go across one. */
  gaps(): Promise<readonly { readonly from: string; readonly to: string; readonly why: string }[]>;
}

export interface ArchiveWriter extends ArchiveReader {
  /**
   * Keeps a finished log file. Same name and same content: `same`. Same name and other content: error ARCHIVE_CONFLICT. Durable when it resolves.
   */
  push(name: string, bytes: Uint8Array): Promise<'kept' | 'same'>;
  /** Keeps bytes of an unfinished segment, from an offset on. Ignored once the segment is whole. */
  pushPart(name: string, offset: number, bytes: Uint8Array): Promise<void>;
  recordGap(from: string, to: string, why: string): Promise<void>;
}

/** A site as a source of backups. Opened for one backup, or for as long as an archive runs. */
export interface BackupSource {
  /**
   * Takes a backup of the named kind. Resolves only when the backup is complete: a tool that failed half way rejects. `archive` is the component's archive of this history where one is
   * kept: then the log segments that the backup needs are read back from it before this resolves; without one they are part of the backup.
   */
  take(what: string, sink: BackupSink, options: TakeOptions, context: BackupContext): Promise<BackupFacts>;
  /** Archives continuously until the signal ends it (then it resolves) or it can't go on (then it rejects). `onArchived` is told of the newest instant that is safe. */
  archive?(openArchive: (identity: string) => Promise<ArchiveWriter>, options: ArchiveOptions, context: BackupContext): Promise<void>;
  close(): Promise<void>;
}

export interface TakeOptions {
  /** Opens the archive of the history that the source finds itself to be; undefined where the component has none. */
  readonly openArchive?: (identity: string) => Promise<ArchiveReader>;
  /** Keys the digests of the fingerprint. 32 bytes. */
  readonly fingerprintKey: Uint8Array;
  /**
   * An empty directory of this machine for spools and scratch servers, as large as the system's data; the caller removes it. Without one a driver that reads its fingerprint from
   * the artefact leaves it out and says so in `limits`.
   */
  readonly workDirectory?: string;
  /** For a kind that builds on others: the backup to build on, held for as long as this one is taken. `facts.needs` says afterwards whether it was built upon. */
  readonly basis?: BackupReader;
}

export interface ArchiveOptions {
  onArchived(state: { readonly position: Position; readonly atMs: number }): void;
}

/** The facts and parts of a committed backup. Reading a part checks each digest: wrong bytes are BACKUP_DAMAGED, never handed on. */
export interface BackupReader {
  readonly backupId: string;
  readonly what: string;
  readonly facts: BackupFacts;
  readonly parts: readonly { readonly name: string; readonly bytes: number }[];
  readPart(name: string): AsyncIterable<Uint8Array>;
  /** One of those that it `needs`. One that is missing or can't be read: BACKUP_DAMAGED, which names it. */
  openNeeded?(backupId: string): Promise<BackupReader>;
  readonly archive?: ArchiveReader;
  readonly fingerprintKey: Uint8Array;
}

/** Where a recovery ends. `newest`: as far as the archive goes. `consistent`: as soon as the backup is consistent. */
export type RecoveryTarget =
  | { readonly kind: 'newest' }
  | { readonly kind: 'consistent' }
  /** Everything committed at or before the instant. */
  | { readonly kind: 'time'; readonly atMs: number }
  /** The position as the system writes it: `0/3000148`. */
  | { readonly kind: 'position'; readonly text: string }
  /** With it as the last one, or, `exclusive`, without it. */
  | { readonly kind: 'transaction'; readonly id: string; readonly exclusive?: boolean }
  /** A restore point made beforehand. */
  | { readonly kind: 'name'; readonly name: string };

export interface RestorerContext<C> extends BackupContext {
  readonly host: Host;
  readonly component: string;
  readonly options: C;
  /** An empty directory of this machine for sockets, spools and the like; the caller removes it. */
  readonly workDirectory: string;
}

/** Restores one backup on this machine. */
export interface Restorer {
  /** Everything that would make the restore fail or end elsewhere than asked: missing programs, a wrong version, a gap on the way, a target outside of what can be reached. Reads only. */
  preview(backup: BackupReader, target: RecoveryTarget): Promise<RestorePreview>;
  /**
   * Puts the backup's content into an empty directory and prepares the recovery to the target; nothing runs afterwards. Not empty: RESTORE_TARGET_NOT_EMPTY. A restored server
   * archives nothing.
   */
  restore(backup: BackupReader, target: RecoveryTarget, into: string): Promise<RestoredCopy>;
  /** Where the system's log tells: what was taken away since the backup, in the order of commits. `{ kind: 'transaction', exclusive: true }` leads to just before one. */
  findLosses?(backup: BackupReader): AsyncIterable<LossRecord>;
}

/** A transaction of the archived log that took something away: what somebody looks for who has to undo a mistake. */
export interface LossRecord extends JsonObject {
  /** For people: `dropped 2 tables or indexes`, `deleted 1204 rows of 1 table`. */
  readonly summary: string;
  readonly transaction: string;
  readonly atMs: number;
  readonly position: string;
  readonly rows: number;
  /** Tables or indexes that were dropped or emptied as a whole. */
  readonly dropped: number;
}

export interface RestorePreview extends JsonObject {
  /** The target as it will be aimed at, for people: `2026-11-20T10:00:00.000Z on timeline 2`. */
  readonly target: string;
  /** The last instant that can be reached, where the system knows it. */
  readonly newestMs?: number;
  readonly bytes: number;
  readonly problems: readonly { readonly message: string; readonly hint: string }[];
}

/** One statement about a copy. `failed` carries what was seen. */
export interface CheckResult extends JsonObject {
  /** `pg_verifybackup`, `redis-check-rdb`, `public.orders equals its fingerprint`. */
  readonly name: string;
  readonly level: ProofLevel;
  readonly ok: boolean;
  readonly detail: string;
}

export interface RestoredCopy {
  readonly directory: string;
  /** P3 checks that need it not running. */
  checkStopped(): Promise<readonly CheckResult[]>;
  /** Starts it walled off: on loopback or a socket only, archiving off, replication off; runs the recovery to its end. Rejects where it does not start (P2) or ends before its target (P5: RECOVERY_FELL_SHORT). */
  start(): Promise<RunningCopy>;
  /** For people: how to start it for good. */
  readonly startHint: string;
}

export interface RunningCopy {
  readonly reached: { readonly position?: Position; readonly atMs?: number; readonly detail: string };
  /** P3 checks on the running copy. */
  check(): Promise<readonly CheckResult[]>;
  /** P4: takes the same fingerprint again. The copy must be at the fingerprint's position. */
  compare(expected: Fingerprint, key: Uint8Array): Promise<readonly CheckResult[]>;
  readCanary(): Promise<CanaryRow | undefined>;
  /** The user's own check in the system's own words: an SQL statement, a command. The first value that it answers, as text. */
  ask(question: string): Promise<Json>;
  /** How a person reaches it while it runs: a url or a command, without secrets. */
  readonly address: string;
  /** Stops it in an orderly way; the directory stays. Harmless when repeated. */
  stop(): Promise<void>;
}

export interface DriverBackups<C, S> {
  readonly kinds: readonly BackupKind[];
  openSource(context: SiteContext<C, S>): BackupSource;
  openRestorer(context: RestorerContext<C>): Restorer;
  /** Of which history a finished log file of this machine is, where logs can be pushed file by file. A file that contradicts its server: SYSTEM_WRONG_IDENTITY. */
  identifyLog?(host: Pick<Host, 'files' | 'fileStreams'>, path: string): Promise<string>;
}

// biome-ignore lint/suspicious/noExplicitAny: as AnyDriver: each driver's own schema checks its options before they get here.
export type AnyDriverBackups = DriverBackups<any, any>;
