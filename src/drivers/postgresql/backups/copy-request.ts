/** One restored directory, and everything that is known of where it comes from and where it is to go. */
import type { ArchiveReader, BackupReader, RecoveryTarget, RestorerContext, RunningCopy } from '../../../contracts/backup.ts';
import type { ComponentOptions } from '../options.ts';
import type { Address } from '../ports.ts';
import type { BackupDetails } from './backup-details.ts';
import type { CopyServer } from './copy-server.ts';
import type { Programs } from './programs.ts';
import type { RecoveryWay } from './recovery-way.ts';
import type { SqlSession } from './sql-session.ts';

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

/** What a running copy has to know of its backup, be it of files or a dump. */
export interface CopyFacts {
  readonly systemIdentifier: string;
  /** The component's own: tables of others carry their database's name in a fingerprint. */
  readonly database: string;
  /** The content was written anew, row by row: it has no place in the original's log, and rows lie elsewhere. */
  readonly logical: boolean;
}

export interface RunningCopyRequest {
  readonly context: RestorerContext<ComponentOptions>;
  readonly details: CopyFacts;
  readonly programs: Programs;
  readonly target: RecoveryTarget;
  readonly server: CopyServer;
  readonly session: SqlSession;
  readonly address: Address;
  readonly reached: RunningCopy['reached'];
}
