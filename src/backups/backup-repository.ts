/**
 * A repository of backups as the rest of the core sees it. Every state change is a new object; the manifest is the commit of a backup, written last, after one durability barrier.
 * What dies on the way leaves no committed backup, and objects that the next sweep removes.
 */
import type { JsonObject } from '../base/json.ts';
import type { ArchiveWriter, BackupFacts, BackupReader, BackupSink } from '../contracts/backup.ts';
import type { BackendCapabilities } from '../contracts/repository-backend.ts';
import type { BackupRecord, Catalogue, CatalogueEntry, GapRecord, LeaseRecord, ProofRecord, TombstoneRecord } from './records.ts';

export interface BackupWriting {
  readonly sink: BackupSink;
  /** Keys the fingerprint's digests. */
  readonly fingerprintKey: Uint8Array;
  /** Bytes taken from the driver and bytes stored so far. */
  readonly progress: { readonly plainBytes: number; readonly storedBytes: number };
  /** Waits for every piece, for the barrier, writes the manifest. From here on the backup exists. */
  commit(facts: BackupFacts): Promise<BackupRecord>;
  /** Removes what was written, as far as the store lets it. */
  abandon(): Promise<void>;
}

export interface RemovedObjects {
  readonly objects: number;
  readonly bytes: number;
  /** Objects that stay because the store keeps them locked. */
  readonly locked?: number;
}

/** Copies of a backup's objects in another region, by the store's own word on each. */
export interface BackupCopies {
  readonly objects: number;
  readonly done: number;
  readonly pending: number;
  readonly failed: number;
  /** Not copied at all: no replication, or not for this object. */
  readonly none: number;
  /** Keys by which the store itself encrypts the objects, as it names them. */
  readonly storeKeys: readonly string[];
}

export interface RepositoryLease {
  renew(): Promise<void>;
  release(): Promise<void>;
}

export interface BackupRepository {
  readonly id: string;
  /** For people: `directory /srv/backups`. */
  readonly name: string;
  readonly encrypted: boolean;
  /** As found when it was made, or by the last `check`. */
  readonly capabilities: BackendCapabilities;

  /** Ends of earlier attempts at the same id that did not commit are removed first. */
  beginBackup(request: {
    readonly component: string;
    readonly backupId: string;
    readonly what: string;
    readonly signal: AbortSignal;
  }): Promise<BackupWriting>;
  /** Undefined where there is no committed backup of that id. */
  findBackup(component: string, backupId: string): Promise<BackupRecord | undefined>;
  openBackup(component: string, backupId: string): Promise<BackupReader>;
  /** P1: every piece is there, and its stored digest (needs no key) and its plain digest (where the key is at hand) are right. */
  verifyPieces(
    component: string,
    backupId: string,
    signal: AbortSignal,
    onProgress: (doneBytes: number, ofBytes: number) => void,
  ): Promise<readonly string[]>;
  /** Asks the store of every object of a backup whether its copy in another region is there. Where one is not, the backup is not there either. */
  readCopies(component: string, backupId: string, signal: AbortSignal): Promise<BackupCopies>;
  openArchive(component: string, identity: string): Promise<ArchiveWriter>;
  /** Rebuilt from the repository alone. */
  readCatalogue(component?: string): Promise<Catalogue>;

  writeProof(record: ProofRecord): Promise<void>;
  writeTombstone(record: TombstoneRecord): Promise<void>;
  /** What the state keeps no longer of an execution. The same again does nothing. */
  writeEvidence(id: string, evidence: JsonObject): Promise<void>;
  readEvidence(id: string): Promise<JsonObject | undefined>;
  /** A person has taken note of a hole: a second record of it. */
  acknowledgeGap(gap: GapRecord, by: string): Promise<void>;
  takeLease(request: Omit<LeaseRecord, 'untilMs'> & { readonly ttlMs: number }): Promise<RepositoryLease>;
  /** Manifest first, then everything else of it. A manifest that the store keeps locked: nothing is removed. */
  removeBackup(entry: CatalogueEntry): Promise<RemovedObjects>;
  /**
   * Whole segments of a history before the given one, and, where `after` says so, only those behind another; then the hole is recorded first, as one that nothing needs to be done about.
   * History files stay.
   */
  removeArchive(component: string, identity: string, cut: { readonly after?: string; readonly before: string }): Promise<RemovedObjects>;
  /** Whether there is anything that `removeArchive` would take. */
  hasLogs(component: string, identity: string, cut: { readonly after?: string; readonly before: string }): Promise<boolean>;
  /** Objects of attempts that never committed, older than the age. */
  sweepOrphans(olderThanMs: number): Promise<RemovedObjects>;
  /** Whether what opened it opens it still: a key management service may have been switched off since. Errors: KEY_SERVICE_UNREACHABLE, KEY_SERVICE_REFUSED, KEY_WRONG. */
  checkKey?(): Promise<void>;
  /** Tries the store anew and keeps what was found. */
  check(signal: AbortSignal): Promise<BackendCapabilities>;
  close(): Promise<void>;
}
