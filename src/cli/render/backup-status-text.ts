/** How backups stand, in a few lines of `status`. Pure. */

import type { BackupFault } from '../../backups/alarms-input.ts';
import { formatDuration } from '../../base/durations.ts';
import { formatInstant } from '../../base/instants.ts';
import type { ArchiveStatus, BackupStatus, ScheduleStatus } from '../../control/backups/backup-status.ts';
import { type Palette, table } from '../terminal.ts';

function lastText({ last }: ScheduleStatus, nowMs: number, palette: Palette): string {
  if (!last) return palette.warn('never');
  const ago = `${formatDuration(Math.max(0, nowMs - last.beganMs))} ago`;
  if (last.state === 'running') return `${palette.warn('running')}, begun ${ago}`;
  return `${last.state === 'done' ? palette.good('done') : palette.bad('failed')} ${ago}`;
}

function archiveText(archive: ArchiveStatus, palette: Palette): string {
  const safe =
    archive.archivedAtMs === undefined
      ? 'nothing archived yet'
      : `safe up to ${formatInstant(archive.archivedAtMs)}${archive.lagMs === undefined ? '' : `, ${formatDuration(archive.lagMs)} ago`}`;
  const word = archive.state === 'archiving' ? palette.good(archive.state) : palette.bad(archive.state);
  return `${word}  ${safe}${archive.error ? `: ${archive.error.message}` : ''}`;
}

export function backupStatusText(status: BackupStatus, nowMs: number, palette: Palette): string[] {
  const { schedules, archives } = status;
  if (schedules.length === 0 && archives.length === 0) return [];
  const rows = [
    ...schedules.map((one) => [
      `  ${one.kind} ${one.id.replace(/#.*$/, '')}`,
      `last ${lastText(one, nowMs, palette)}`,
      one.nextMs === undefined ? '' : palette.dim(`next ${formatInstant(one.nextMs)}`),
    ]),
    ...archives.map((one) => [`  archive ${one.id}`, archiveText(one, palette), '']),
  ];
  return ['', 'backups', table(rows)];
}

export function backupFaultLines(faults: readonly BackupFault[], palette: Palette): string[] {
  return faults.map(
    ({ severity, message, hint }) =>
      `  ${severity === 'problem' ? palette.bad('problem') : palette.warn('warning')}  ${message}\n           ${palette.dim(hint)}`,
  );
}
