/** What is wrong with continuous archives, and with the keys of repositories. Pure. */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import type { AlarmInput, ArchiverState, BackupFault } from './alarms-input.ts';

function archiverFault(component: string, state: ArchiverState | undefined, nowMs: number): BackupFault | undefined {
  const where = { component, severity: 'problem' as const };
  if (!state?.running) {
    const since = state ? ` since ${formatInstant(state.sinceMs)}` : '';
    return {
      ...where,
      alarm: 'archive-stopped',
      message: `the log of ${component} is not being archived${since}${state?.error === undefined ? '' : `: ${state.error}`}`,
      hint: 'holdfast serve archives while it runs and can reach the component; everything written since is in no backup.',
    };
  }
  const safeMs = state.safeMs ?? state.sinceMs;
  if (nowMs - safeMs <= state.lagMaxMs) return undefined;
  return {
    ...where,
    alarm: 'archive-lag',
    message: `the archive of ${component} is ${formatDuration(nowMs - safeMs)} behind; ${formatDuration(state.lagMaxMs)} is the most`,
    hint: 'Look at the network and at the store: the log is written faster than it is archived, or not at all.',
  };
}

export function archiveFaults(input: AlarmInput): BackupFault[] {
  const continuous = [...new Set(input.expectations.filter(({ everyMs }) => everyMs === undefined).map(({ component }) => component))];
  const found: BackupFault[] = [];
  for (const component of continuous) {
    const state = input.archivers.find((archiver) => archiver.component === component);
    const fault = archiverFault(component, state, input.nowMs);
    if (fault) found.push(fault);
  }
  for (const gap of input.catalogue.gaps) {
    // Somebody has seen it and said so: it stays in every window, and is no alarm any more.
    if (gap.acknowledged) continue;
    found.push({
      alarm: 'log-gap',
      severity: 'problem',
      component: gap.component,
      subject: gap.from,
      message: `the archived log of ${gap.component} has a hole from ${gap.from} to ${gap.to} (${gap.why}): no instant behind it can be reached from a backup before it`,
      hint: `Take a new backup now: holdfast backup ${gap.component}. Then acknowledge the hole.`,
    });
  }
  return found;
}

export function keyFaults({ keys }: AlarmInput): BackupFault[] {
  return keys
    .filter(({ reachable }) => !reachable)
    .map(({ repository, why, isStore }) => ({
      alarm: isStore ? 'store-unreachable' : 'key-unreachable',
      severity: 'problem',
      subject: repository,
      message: `${isStore ? 'the store of the repository' : 'the key of the repository'} ${repository} can't be reached${why === undefined ? '' : `: ${why}`}`,
      hint: isStore
        ? 'Nothing can be backed up to it or restored from it; what is due waits, and its alarms come when it has waited for too long. Look at the address, the network and the credentials.'
        : 'Without it nothing can be restored. The recovery key opens the repository too: find out now whether it is at hand.',
    }));
}
