/**
 * How a site is brought back from a backup where no standby follows: for the failover of a component with `replication: none`.
 *
 * The core chooses the backup, restores and recovers it beside, and keeps what was at the site before; the driver knows how its system is stopped and started. Every call may come again
 * after a crash, and must then go on from where it finds things.
 */
import type { Json } from '../base/json.ts';
import type { BackupReader, RecoveryTarget } from './backup.ts';
import type { StepContext } from './verbs.ts';

/** Of a system whose data is a directory on the machine of the site: the restored copy is put there. */
export interface DirectoryReturn {
  readonly kind: 'directory';
  /** On the machine that the site's hands reach; without hands on this one. */
  readonly directory: string;
  /** Nothing works with the directory any more, and nothing begins to before `serve`. Harmless where nothing was ever there. */
  stop(step: StepContext): Promise<void>;
  /** The copy is in the directory: it is made fit for this machine and started. `before`: where what was there lies now; undefined: nothing was there. */
  serve(before: string | undefined, step: StepContext): Promise<void>;
  /** It was started and takes clients. */
  serves(step: StepContext): Promise<boolean>;
}

/** Of a system that takes its data by calls of its own. */
export interface CallsReturn {
  readonly kind: 'calls';
  /** Whether the site holds what the restore of this id brought; it keeps the id where its system can. */
  holds(restoreId: string, step: StepContext): Promise<boolean>;
  /** Brings the content of the backup into the site and leaves the id there, last. A site that holds other content: RESTORE_TARGET_NOT_EMPTY. */
  bring(backup: BackupReader, target: RecoveryTarget, restoreId: string, step: BringStep): Promise<void>;
}

export interface BringStep extends StepContext {
  readonly workDirectory: string;
  /** What an earlier `bring` of this very step has kept, or undefined: tells content of ours that is not marked yet from content of others. */
  readonly own?: Json | undefined;
  /** Makes it durable. */
  keepOwn(kept: Json): Promise<void>;
}

export type SiteReturn = DirectoryReturn | CallsReturn;
