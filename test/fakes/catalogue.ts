/** Catalogue entries for tests of what is decided over them: every field has a plain value until a test gives it another. */

import type { BackupRecord, CatalogueEntry, LeaseRecord, ProofRecord } from '../../src/backups/records.ts';
import type { BackupFacts, ProofLevel } from '../../src/contracts/backup.ts';

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** `000000010000000000000003` */
export function segmentName(number: number, timeline = 1): string {
  return `${timeline.toString(16).padStart(8, '0')}${number.toString(16).padStart(16, '0')}`.toUpperCase();
}

export interface EntryParts {
  readonly backupId?: string;
  readonly component?: string;
  readonly what?: string;
  readonly atMs: number;
  readonly endedAtMs?: number;
  readonly identity?: string;
  readonly segments?: { readonly first: string; readonly last: string };
  readonly needs?: readonly string[];
  readonly storedBytes?: number;
  /** A proof that passed at this level, an hour after the backup. */
  readonly proven?: ProofLevel;
  readonly proofs?: readonly ProofRecord[];
  readonly leases?: readonly LeaseRecord[];
  readonly lockedUntilMs?: number;
  readonly tombstoneMs?: number;
  readonly facts?: Partial<BackupFacts>;
}

export function proofOf(backupId: string, atMs: number, parts: Partial<ProofRecord> = {}): ProofRecord {
  return {
    proofId: `proof-${backupId}-${atMs}`,
    component: 'orders-db',
    backupId,
    atMs,
    wanted: 'P4',
    reached: 'P4',
    ok: true,
    target: 'newest',
    checks: [],
    phases: { fetchMs: 1, startMs: 1, checkMs: 1 },
    reachedDetail: '',
    by: 'test',
    ...parts,
  };
}

export function entryOf(parts: EntryParts): CatalogueEntry {
  const component = parts.component ?? 'orders-db';
  const backupId = parts.backupId ?? `backup-${parts.atMs}`;
  const backup: BackupRecord = {
    component,
    backupId,
    what: parts.what ?? 'base',
    startedAtMs: parts.atMs,
    endedAtMs: parts.endedAtMs ?? parts.atMs,
    storedBytes: parts.storedBytes ?? 1_000,
    plainBytes: 3_000,
    pieces: 3,
    facts: {
      engine: 'toy',
      engineVersion: '1',
      identity: parts.identity ?? 'history-1',
      consistentAtMs: parts.atMs,
      dataBytes: 3_000,
      ...(parts.segments ? { archive: { timeline: 1, ...parts.segments } } : {}),
      ...(parts.needs ? { needs: parts.needs } : {}),
      ...parts.facts,
    },
  };
  const proofs = parts.proofs ?? (parts.proven ? [proofOf(backupId, parts.atMs + hourMs, { component, reached: parts.proven })] : []);
  return {
    backup,
    proofs,
    leases: parts.leases ?? [],
    ...(parts.lockedUntilMs === undefined ? {} : { lockedUntilMs: parts.lockedUntilMs }),
    ...(parts.tombstoneMs === undefined ? {} : { tombstone: { component, backupId, atMs: parts.tombstoneMs, because: 'old', by: 'test' } }),
  };
}

export function leaseOf(backupId: string, untilMs: number, what = 'a restore'): LeaseRecord {
  return { component: 'orders-db', backupId, holder: 'host-1', untilMs, what };
}
