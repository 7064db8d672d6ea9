/** Recovery targets: in the words of PostgreSQL's settings, and what its log says when it has reached one. */
import { formatInstant } from '../../../base/instants.ts';
import type { RecoveryTarget } from '../../../contracts/backup.ts';

/** Settings of the server that make its recovery end there. */
export function targetSettings(target: RecoveryTarget, timeline: number): Readonly<Record<string, string>> {
  const common = { recovery_target_timeline: String(timeline), recovery_target_action: 'promote' };
  switch (target.kind) {
    case 'newest':
      return common;
    case 'consistent':
      return { ...common, recovery_target: 'immediate' };
    case 'time':
      return {
        ...common,
        recovery_target_time: formatInstant(target.atMs).replace('T', ' ').replace('Z', '+00'),
        recovery_target_inclusive: 'on',
      };
    case 'position':
      // The log up to the place: nothing that begins at it or after it. A position is an end of what was written, not the beginning of a record.
      return { ...common, recovery_target_lsn: target.text, recovery_target_inclusive: 'off' };
    case 'transaction':
      return { ...common, recovery_target_xid: target.id, recovery_target_inclusive: target.exclusive === true ? 'off' : 'on' };
    case 'name':
      return { ...common, recovery_target_name: target.name };
  }
}

/** For people. */
export function describeTarget(target: RecoveryTarget, timeline: number): string {
  const on = ` on timeline ${timeline}`;
  switch (target.kind) {
    case 'newest':
      return `the end of the archive${on}`;
    case 'consistent':
      return `the end of the backup itself${on}`;
    case 'time':
      return `${formatInstant(target.atMs)}${on}`;
    case 'position':
      return `the log up to ${target.text}${on}`;
    case 'transaction':
      return `${target.exclusive === true ? 'just before ' : ''}transaction ${target.id}${on}`;
    case 'name':
      return `the restore point "${target.name}"${on}`;
  }
}

/** PostgreSQL says in its log why a recovery stopped (lc_messages is C): without these words it ran to the end of what it found. */
export function stoppedAtTarget(target: RecoveryTarget, log: string): boolean {
  switch (target.kind) {
    case 'newest':
      return true;
    case 'consistent':
      return log.includes('recovery stopping after reaching consistency');
    case 'time':
      return /recovery stopping (?:before|after) (?:commit|abort) of transaction \d+, time /.test(log);
    case 'position':
      return log.includes('recovery stopping before WAL location (LSN)');
    case 'transaction':
      return new RegExp(`recovery stopping (?:before|after) (?:commit|abort) of transaction ${target.id}\\b`).test(log);
    case 'name':
      return log.includes(`recovery stopping at restore point "${target.name}"`);
  }
}
