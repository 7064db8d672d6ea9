/** losses: what was taken away from a component (dropped tables, deleted rows), and the restore that leads to just before each. */
import { parseDurationMs } from '../../base/durations.ts';
import { fail } from '../../base/errors.ts';
import { formatInstant, parseInstantMs } from '../../base/instants.ts';
import { readLosses } from '../../control/backups/read-losses.ts';
import { withSession } from '../session.ts';
import { table } from '../terminal.ts';
import type { CommandContext } from './context.ts';

export interface LossesOptions {
  readonly since: string;
  readonly rows: string;
  readonly repository?: string;
}

export async function losses(context: CommandContext, component: string, options: LossesOptions): Promise<void> {
  const rowsMin = Number(options.rows);
  if (!Number.isInteger(rowsMin) || rowsMin < 1)
    throw fail('USAGE', { message: `--rows ${options.rows} is not a number of rows`, hint: 'Write a whole number from 1 on.' });
  await withSession(context.options, context.wiring, 'look', async ({ control, host }) => {
    const sinceMs = /^\d+(\.\d+)?[a-z]+$/.test(options.since)
      ? host.clock.nowMs() - parseDurationMs(options.since)
      : parseInstantMs(options.since);
    const result = await readLosses(
      control.backups,
      { component, sinceMs, rowsMin, ...(options.repository === undefined ? {} : { repository: options.repository }) },
      { signal: context.wiring.signal, log: host.log, progress: (message) => context.progress(message) },
      control.newExecutionId('restore'),
    );
    const lines = result.losses.map((loss) => [formatInstant(loss.atMs), loss.transaction, loss.summary]);
    const newest = result.losses.at(-1);
    const text = newest
      ? [
          table([['committed', 'transaction', 'what it took away'], ...lines]),
          '',
          `To just before the newest: holdfast restore ${component} --before ${newest.transaction} --backup ${result.backupId} --into DIRECTORY`,
        ].join('\n')
      : `Nothing was taken away from ${component} since ${formatInstant(Math.max(sinceMs, result.fromMs))}, as far as its log was archived.`;
    context.answer(text, { component, ...result });
  });
}
