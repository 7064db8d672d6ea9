/** restore: brings a component back to an instant, into a directory of this machine or of a site's. Shown first: from what, to where, how long it should take. */
import { isAbsolute, resolve } from 'node:path';
import { provenLevel } from '../../backups/records.ts';
import { formatDuration } from '../../base/durations.ts';
import { fail } from '../../base/errors.ts';
import { formatInstant, parseInstantMs } from '../../base/instants.ts';
import { formatSize } from '../../base/sizes.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import { beginRestore } from '../../control/backups/begin.ts';
import { describeWindows } from '../../control/backups/choose-proof.ts';
import { planRestore, type RestorePlan } from '../../control/backups/plan-restore.ts';
import { scratchCopyPath } from '../../control/backups/scratch-copies.ts';
import { placeOf } from '../../control/verbs/restore-backup.ts';
import { personOf, withSession } from '../session.ts';
import type { CommandContext } from './context.ts';
import { runBackupWork } from './run-backup-work.ts';

export interface RestoreOptions {
  readonly to?: string;
  readonly lsn?: string;
  readonly transaction?: string;
  readonly before?: string;
  readonly name?: string;
  readonly backup?: string;
  readonly into: string;
  readonly on?: string;
  readonly repository?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** Undefined: as far as it goes. */
export function targetOf(options: Pick<RestoreOptions, 'to' | 'lsn' | 'transaction' | 'before' | 'name'>): RecoveryTarget | undefined {
  const { to, lsn, transaction, before, name } = options;
  const given = Object.entries({ to, lsn, transaction, before, name }).filter(([, value]) => value !== undefined);
  if (given.length > 1)
    throw fail('USAGE', { message: `--${given.map(([key]) => key).join(' and --')} name different targets`, hint: 'Give one of them.' });
  if (to !== undefined) return { kind: 'time', atMs: parseInstantMs(to) };
  if (lsn !== undefined) return { kind: 'position', text: lsn };
  if (transaction !== undefined) return { kind: 'transaction', id: transaction };
  if (before !== undefined) return { kind: 'transaction', id: before, exclusive: true };
  return name === undefined ? undefined : { kind: 'name', name };
}

export async function restore(context: CommandContext, component: string, options: RestoreOptions): Promise<void> {
  const target = targetOf(options);
  await withSession(context.options, context.wiring, 'look', async (session) => {
    const { control, host } = session;
    const parts = control.backups;
    const execution = control.newExecutionId('restore');
    const into = intoOf(options, scratchCopyPath(parts.scratchDirectory, execution));
    const on = options.on === undefined ? {} : { on: options.on };
    await placeOf(parts, { component, into, ...on }).requireEmpty();
    const plan = await planRestore(
      parts,
      {
        component,
        ...(target === undefined ? {} : { target }),
        ...(options.backup === undefined ? {} : { backupId: options.backup }),
        ...(options.repository === undefined ? {} : { repository: options.repository }),
      },
      { signal: context.wiring.signal, log: host.log, progress: (message) => context.progress(message) },
      `preview-${execution}`,
    );
    const shown = previewText(plan, options.on === undefined ? into : `${into} in ${options.on}`, context);
    const { problems } = plan.preview;
    if (!context.options.json) context.progress(shown);
    if (problems.length > 0) context.exitCode = 1;
    if (options.dryRun || problems.length > 0) {
      context.answer(problems.length > 0 ? 'Nothing was restored.' : 'Nothing was restored: this was a dry run.', {
        dryRun: true,
        into,
        ...on,
        ...summaryOf(plan),
      });
      return;
    }
    await confirm(context, options);
    const by = personOf(context.options, context.wiring);
    const { repository, entry, expected } = plan;
    await beginRestore(control, {
      component,
      repository,
      backupId: entry.backup.backupId,
      target: plan.target,
      into,
      ...on,
      expected,
      by,
      because: `asked for by ${by}`,
      id: execution,
    });
    const { state, output } = await runBackupWork(context, session, execution);
    if (state.outcome !== 'done') return;
    context.answer(
      `${component} is restored in ${into}${options.on === undefined ? '' : ` in ${options.on}`} (${formatDuration(Number(output.tookMs))}); nothing runs there yet.\nIt ${String(output.reached)}.\nStart it: ${String(output.startHint)}`,
      { execution, status: state.status, outcome: state.outcome, into, ...on, ...summaryOf(plan), restored: output },
    );
  });
}

function intoOf({ into, on }: RestoreOptions, scratch: string): string {
  if (on === undefined) return into === 'scratch' ? scratch : resolve(into);
  if (isAbsolute(into)) return into;
  throw fail('USAGE', {
    message: `--into ${into} is no absolute path, and with --on it is one of another machine`,
    hint: 'Write the whole path: --into /srv/restored.',
  });
}

async function confirm(context: CommandContext, options: RestoreOptions): Promise<void> {
  if (options.yes) return;
  const { terminal } = context.wiring;
  if (!terminal.interactive)
    throw fail('USAGE', {
      message: 'this fills a directory and nobody is there to say yes',
      hint: 'Look at it with --dry-run, then give --yes.',
    });
  const answer = await terminal.ask('Restore this? [y/N] ');
  if (answer === undefined || !/^y(es)?$/i.test(answer.trim()))
    throw fail('INTERRUPTED', { message: 'not confirmed; nothing was restored', hint: 'Answer y to go on.' });
}

function summaryOf(plan: RestorePlan) {
  const { component, repository, entry, target, preview, expected, windows } = plan;
  return {
    component,
    repository,
    backupId: entry.backup.backupId,
    proven: provenLevel(entry),
    target,
    preview,
    expected,
    windows: windows.map(({ fromMs, toMs, endsAt }) => ({ fromMs, toMs, endsAt })),
  };
}

function previewText(plan: RestorePlan, into: string, { palette }: CommandContext): string {
  const { component, repository, entry, preview, expected, windows } = plan;
  const level = provenLevel(entry);
  return [
    `${palette.strong(`Restore of ${component}`)} into ${into}`,
    `  from      ${entry.backup.backupId} in ${repository}, of ${formatInstant(entry.backup.facts.consistentAtMs)}, ${level === 'none' ? palette.warn('not proven') : `proven up to ${level}`}`,
    `  to        ${preview.target}`,
    ...(preview.newestMs === undefined ? [] : [`  newest    ${formatInstant(preview.newestMs)} is the last instant within reach`]),
    ...(windows.length === 0 ? [] : [`  in reach  ${describeWindows(windows)}`]),
    `  size      ${formatSize(preview.bytes)}`,
    `  takes     ${expected.from === 'measured' ? '' : '~'}${formatDuration(expected.ms)}${expected.from === 'measured' ? ', by the newest proof' : ' (a guess: nothing was measured yet)'}`,
    ...preview.problems.flatMap(({ message, hint }) => [palette.bad(`  in the way: ${message}`), `    ${hint}`]),
  ].join('\n');
}
