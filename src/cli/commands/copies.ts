/** copies: restored copies in scratch, and their removal. */
import { formatDuration, parseDurationMs } from '../../base/durations.ts';
import { fail } from '../../base/errors.ts';
import { listScratchCopies, removeScratchCopy, type ScratchCopy } from '../../control/backups/scratch-copies.ts';
import { copyAgeMaxMs, isExecutionOver } from '../../control/backups/scratch-sweep.ts';
import { withSession } from '../session.ts';
import { table } from '../terminal.ts';
import type { CommandContext } from './context.ts';

export async function copies(context: CommandContext): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async ({ control, host }) => {
    const found = await listScratchCopies(host, control.backups.scratchDirectory);
    const { palette } = context;
    const head = ['copy', 'of', 'age', '', 'in'].map(palette.dim);
    const rows = found.map((copy) => [
      copy.execution,
      copy.component ?? palette.warn('never became whole'),
      formatDuration(Math.max(0, host.clock.nowMs() - copy.atMs)),
      copy.inUse ? palette.warn('in use') : '',
      copy.path,
    ]);
    const after = `holdfast serve removes those that nobody has used for ${formatDuration(copyAgeMaxMs)}; holdfast copies remove does it now.`;
    context.answer(found.length === 0 ? 'there are no restored copies in scratch' : [table([head, ...rows]), '', after].join('\n'), {
      copies: found,
    });
  });
}

export interface RemoveCopiesOptions {
  readonly olderThan?: string;
}

export async function removeCopies(
  context: CommandContext,
  execution: string | undefined,
  { olderThan }: RemoveCopiesOptions,
): Promise<void> {
  if ((execution === undefined) === (olderThan === undefined))
    throw fail('USAGE', {
      message: execution === undefined ? 'which copies are meant?' : 'a copy and --older-than name different copies',
      hint: 'Name one copy, or give --older-than 2d. holdfast copies lists them.',
    });
  const leastAgeMs = olderThan === undefined ? 0 : parseDurationMs(olderThan);
  await withSession(context.options, context.wiring, 'look', async ({ control, host }) => {
    const found = await listScratchCopies(host, control.backups.scratchDirectory);
    const meant =
      execution === undefined
        ? found.filter(({ atMs }) => host.clock.nowMs() - atMs >= leastAgeMs)
        : found.filter((copy) => copy.execution === execution);
    if (execution !== undefined && meant.length === 0)
      throw fail('NOT_FOUND', {
        subject: execution,
        message: `there is no restored copy ${execution} in scratch`,
        hint: 'holdfast copies lists them.',
      });
    const removed: ScratchCopy[] = [];
    for (const copy of meant) {
      if (copy.inUse || !(await isExecutionOver(control.backups, copy.execution))) continue;
      await removeScratchCopy(host, copy);
      removed.push(copy);
    }
    const kept = meant.filter((copy) => !removed.includes(copy));
    const lines = [
      ...removed.map(({ path }) => `removed ${path}`),
      ...kept.map(({ path }) => context.palette.warn(`in use, and left: ${path}`)),
    ];
    if (kept.length > 0) context.exitCode = 1;
    context.answer(lines.length === 0 ? 'there is nothing to remove' : lines.join('\n'), { removed, kept });
  });
}
