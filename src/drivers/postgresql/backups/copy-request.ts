/** One restored directory, and everything that is known of where it comes from and where it is to go. */
import type { ArchiveReader, BackupReader, RecoveryTarget, RestorerContext } from '../../../contracts/backup.ts';
import type { ComponentOptions } from '../options.ts';
import type { BackupDetails } from './backup-details.ts';
import type { Programs } from './programs.ts';
import type { RecoveryWay } from './recovery-way.ts';

export interface CopyRequest {
  readonly context: RestorerContext<ComponentOptions>;
  readonly backup: BackupReader;
  readonly archive: ArchiveReader;
  readonly details: BackupDetails;
  readonly programs: Programs;
  readonly target: RecoveryTarget;
  readonly way: RecoveryWay;
  readonly directory: string;
  readonly runDirectory: string;
}
