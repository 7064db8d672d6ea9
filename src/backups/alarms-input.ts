/** What alarms are computed from, and what they say. Pure. */
import type { ProofLevel } from '../contracts/backup.ts';
import type { Catalogue, CatalogueEntry } from './records.ts';
import { findNewestRecoverableMs, type RecoveryWindow } from './recovery-points.ts';

export type BackupAlarm =
  | 'recovery-point-old'
  | 'backup-missing'
  | 'backup-failed'
  | 'backup-size'
  | 'backup-overrun'
  | 'proof-overrun'
  | 'store-unreachable'
  | 'proof-old'
  | 'proof-failed'
  | 'proof-unsound'
  | 'log-gap'
  | 'archive-stopped'
  | 'archive-lag'
  | 'key-unreachable'
  | 'record-unreadable'
  | 'purpose-unserved';

export interface BackupFault {
  readonly alarm: BackupAlarm;
  readonly severity: 'problem' | 'warning';
  readonly component?: string;
  /** `base`, a repository, an object. */
  readonly subject?: string;
  readonly message: string;
  readonly hint: string;
}

/** One entry of a component's `backup` section. */
export interface BackupExpectation {
  readonly component: string;
  readonly what: string;
  /** Between two of them; undefined: all the time. */
  readonly everyMs?: number;
  /** Since when it is asked for: a first backup has its time. */
  readonly sinceMs: number;
  readonly prove?: { readonly level: ProofLevel; readonly everyMs: number };
  /** The newest attempt that failed. */
  readonly failure?: { readonly atMs: number; readonly message: string };
}

export interface ArchiverState {
  readonly component: string;
  readonly running: boolean;
  /** The newest instant that is safe in the archive. */
  readonly safeMs?: number;
  /** Since when it is as it is. */
  readonly sinceMs: number;
  /** The last words of one that ended. */
  readonly error?: string;
  /** How old what is safe may be. */
  readonly lagMaxMs: number;
}

export interface KeyState {
  readonly repository: string;
  readonly reachable: boolean;
  readonly why?: string;
  /** It is the store that can't be reached, or that refuses, and nothing is known of the key. */
  readonly isStore?: boolean;
}

/** Known from the state alone, so also of repositories that can't be read. */
export interface RunState {
  readonly kind: 'backup' | 'proof';
  readonly component: string;
  readonly what: string;
  readonly repository: string;
  readonly execution: string;
  readonly beganMs: number;
  /** From here on it takes too long. */
  readonly limitMs: number;
}

export interface AlarmInput {
  readonly catalogue: Catalogue;
  readonly windows: readonly RecoveryWindow[];
  readonly expectations: readonly BackupExpectation[];
  /** Per component; from the spec's objectives. */
  readonly rpoMs: ReadonlyMap<string, number>;
  readonly archivers: readonly ArchiverState[];
  readonly keys: readonly KeyState[];
  /** What runs now. */
  readonly runs?: readonly RunState[];
  readonly nowMs: number;
}

export function entriesOf(catalogue: Catalogue, component: string, what?: string): readonly CatalogueEntry[] {
  return catalogue.entries.filter(
    ({ backup, tombstone }) => tombstone === undefined && backup.component === component && (what === undefined || backup.what === what),
  );
}

/** The last moment that the component can be brought back to. */
export function findLastPointMs({ windows, archivers }: Pick<AlarmInput, 'windows' | 'archivers'>, component: string): number | undefined {
  const newestMs = findNewestRecoverableMs(windows, component);
  // Where the log is archived all the time, what the archiver knows to be safe is newer than what the store lists.
  const reaches = windows.some((window) => window.component === component && window.endsAt === 'newest of the log');
  if (newestMs === undefined || !reaches) return newestMs;
  return Math.max(newestMs, archivers.find((archiver) => archiver.component === component)?.safeMs ?? 0);
}
