/** What backups are for: each purpose asks for another reach back in time. */

export const backupPurposes = ['point-in-time', 'corruption', 'compliance'] as const;
export type BackupPurpose = (typeof backupPurposes)[number];

export interface PurposeObjective {
  /** So far back a copy must be found. */
  readonly reachMs: number;
  /** Names of components; undefined: everything that holds data. */
  readonly of?: readonly string[];
}
