/** What a repository remembers of backups: each record is an object of its own, written once and never changed. */
import type { JsonObject } from '../base/json.ts';
import { type BackupFacts, type CheckResult, type ProofLevel, proofLevels } from '../contracts/backup.ts';

/** A committed backup, as its manifest tells. */
export interface BackupRecord {
  readonly component: string;
  readonly backupId: string;
  readonly what: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly facts: BackupFacts;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly pieces: number;
  /** Of the manifest, and so of every byte that it names: what tells two backups, or two copies of one, apart. */
  readonly digest?: string;
  /** `plain`, or how it is encrypted. Its key is the repository's own. */
  readonly suite?: string;
}

/** How a restore or a proof went, phase by phase. */
export interface PhaseTimes extends JsonObject {
  /** Reading every piece and its digests (P1). */
  readonly verifyMs?: number;
  /** Bringing the content into its directory. */
  readonly fetchMs: number;
  /** From the start of the system to the end of its recovery. */
  readonly startMs: number;
  readonly checkMs: number;
}

/** One attempt to prove a backup. Also one that failed: a prover that never fails proves nothing. */
export interface ProofRecord extends JsonObject {
  readonly proofId: string;
  readonly component: string;
  readonly backupId: string;
  readonly atMs: number;
  readonly wanted: ProofLevel;
  /** The highest level up to which every check passed; `none` where not even P1 did. */
  readonly reached: ProofLevel | 'none';
  readonly ok: boolean;
  /** How the restored state was chosen, for people: `newest`, `oldest kept`, `2026-11-20T10:00:00.000Z, drawn at random`. */
  readonly target: string;
  readonly checks: readonly CheckResult[];
  readonly phases: PhaseTimes;
  /** The instant and the position that the copy reached, for people. */
  readonly reachedDetail: string;
  /** Number of the newest canary row in the copy, and how long before the wanted instant it was written. */
  readonly canary?: { readonly number: number; readonly gapMs: number };
  /** Where the target was drawn by chance: among what, and which number decided. */
  readonly drawn?: string;
  /** The proof could not be made, for a reason that says nothing of the backup (a program that is missing here, a store that does not answer): neither for nor against it. */
  readonly inconclusive?: string;
  /** How long it took, and how long it was given: above the budget it is flagged, whatever its result. */
  readonly tookMs?: number;
  readonly budgetMs?: number;
  /** A copy that could not be stopped or a directory that could not be removed afterwards, and why. */
  readonly leftBehind?: string;
  /** What had been damaged on purpose: then `ok` is false and that is right. Such a record never counts for the backup. */
  readonly sabotage?: string;
  readonly by: string;
}

/** From then on the backup counts as removed; its objects go once the grace is over. */
export interface TombstoneRecord extends JsonObject {
  readonly component: string;
  readonly backupId: string;
  readonly atMs: number;
  readonly because: string;
  readonly by: string;
}

/** Somebody reads the backup, or is writing it: nothing of it may be removed. */
export interface LeaseRecord extends JsonObject {
  readonly component: string;
  readonly backupId: string;
  readonly holder: string;
  readonly untilMs: number;
  readonly what: string;
}

/** A hole in an archived log. It can be acknowledged by a person, never forgotten. */
export interface GapRecord extends JsonObject {
  readonly component: string;
  readonly identity: string;
  readonly from: string;
  readonly to: string;
  readonly why: string;
  readonly atMs: number;
  readonly acknowledged?: { readonly by: string; readonly atMs: number };
  /** It was made on purpose: nothing that is kept needs what was there. */
  readonly byRetention?: true;
}

/** Everything that is known of one backup, from the repository alone. */
export interface CatalogueEntry {
  readonly backup: BackupRecord;
  /** Oldest first; sabotaged ones apart. */
  readonly proofs: readonly ProofRecord[];
  readonly tombstone?: TombstoneRecord;
  readonly leases: readonly LeaseRecord[];
  /** Until when the store itself keeps it. */
  readonly lockedUntilMs?: number;
}

export interface Catalogue {
  /** In order of the instant they come back to (`facts.consistentAtMs`), oldest first: never by name or time of upload. */
  readonly entries: readonly CatalogueEntry[];
  readonly gaps: readonly GapRecord[];
  readonly sabotaged: readonly ProofRecord[];
  /** Objects that could not be read as what their names say: nothing is pruned while there are any. */
  readonly unreadable: readonly { readonly object: string; readonly why: string }[];
}

/**
 * The highest level that was reached since a proof last failed: a failure takes back what was shown before it, and a mere look at the digests takes nothing back. An inconclusive
 * proof changes nothing.
 */
export function provenLevel(entry: Pick<CatalogueEntry, 'proofs'>): ProofLevel | 'none' {
  const conclusive = entry.proofs.filter((proof) => proof.inconclusive === undefined);
  const sinceFailure = conclusive.slice(conclusive.findLastIndex((proof) => !proof.ok) + 1);
  return proofLevels.findLast((level) => sinceFailure.some((proof) => proof.reached === level)) ?? 'none';
}
