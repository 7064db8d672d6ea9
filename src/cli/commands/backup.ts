/** backup, backups, backups show, backups prune: what is taken, what there is, and what goes. */

import { describeRetention } from '../../backups/retention.ts';
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import { formatSize } from '../../base/sizes.ts';
import { beginBackup, beginPrune } from '../../control/backups/begin.ts';
import { findBackup, listBackups, repositoriesOf } from '../../control/backups/list-backups.ts';
import { planRetention, withoutMadeCuts } from '../../control/backups/plan-retention.ts';
import type { BackupSpec } from '../../spec/backup-section.ts';
import type { ComponentSpec } from '../../spec/spec.ts';
import { backupText, listingText } from '../render/backups-text.ts';
import { personOf, withSession } from '../session.ts';
import type { CommandContext } from './context.ts';
import { runBackupWork } from './run-backup-work.ts';

/** The entry that is meant: the named kind, or the one that has a schedule. */
export function chooseBackup(component: ComponentSpec, what: string | undefined, repository: string | undefined): BackupSpec {
  const taken = (component.backup ?? []).filter((backup) => backup.schedule !== undefined);
  const found = taken.find(
    (backup) => (what === undefined || backup.what === what) && (repository === undefined || backup.to === repository),
  );
  if (found) return found;
  const known = taken.map((backup) => `${backup.what} to ${backup.to}`).join(', ');
  throw fail('NOT_FOUND', {
    subject: component.name,
    message: `${component.name} has no backup "${what ?? ''}"${repository === undefined ? '' : ` to ${repository}`} that can be taken at a time of one's own`,
    hint: known === '' ? 'All of its backups are continuous: holdfast serve takes them.' : `There are: ${known}.`,
  });
}

export interface BackupOptions {
  readonly what?: string;
  readonly repository?: string;
  readonly reason?: string;
}

export async function backup(context: CommandContext, name: string, options: BackupOptions): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async (session) => {
    const parts = session.control.backups;
    const component = parts.component(name);
    const { what, to } = chooseBackup(component, options.what, options.repository);
    // A repository that is away is said at once; an execution would wait for it to come back.
    await parts.repository(to);
    const by = personOf(context.options, context.wiring);
    const { execution, backupId } = await beginBackup(session.control, {
      component: name,
      what,
      repository: to,
      by,
      because: options.reason ?? `asked for by ${by}`,
    });
    const { state, output } = await runBackupWork(context, session, execution);
    if (state.outcome !== 'done') return;
    const size = `${formatSize(Number(output.plainBytes))}, ${formatSize(Number(output.storedBytes))} stored`;
    context.answer(
      `${backupId} of ${name} is committed to ${to}: ${size}, leads back to ${formatInstant(Number(output.consistentAtMs))}\nIt is not proven yet: holdfast verify ${name} ${backupId}`,
      { execution, status: state.status, outcome: state.outcome, component: name, repository: to, backup: output },
    );
  });
}

export async function backups(context: CommandContext, name: string | undefined): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async ({ control, host }) => {
    const listing = await listBackups(control.backups, name);
    context.answer(listingText(listing, host.clock.nowMs(), context.palette), listing);
    if (listing.troubles.length > 0) context.exitCode = 1;
  });
}

export async function showBackup(context: CommandContext, backupId: string): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async ({ control }) => {
    const found = await findBackup(control.backups, backupId);
    if (!found)
      throw fail('NOT_FOUND', { subject: backupId, message: `there is no backup ${backupId}`, hint: 'holdfast backups lists them.' });
    context.answer(backupText(found.entry, found.repository, context.palette), found);
  });
}

export async function pruneBackups(
  context: CommandContext,
  options: { readonly yes?: boolean; readonly repository?: string },
): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async (session) => {
    const parts = session.control.backups;
    const names = options.repository === undefined ? repositoriesOf(parts) : [parts.repositorySpec(options.repository).name];
    const plans = [];
    for (const name of names) plans.push({ repository: name, plan: await withoutMadeCuts(parts, name, await planRetention(parts, name)) });
    const lines = plans.flatMap(({ repository, plan }) => [
      context.palette.strong(repository),
      ...describeRetention(plan).map((line) => `  ${line}`),
    ]);
    if (!options.yes) {
      context.answer([...lines, '', 'Nothing was removed: holdfast backups prune --yes does what is said above.'].join('\n'), {
        dryRun: true,
        repositories: plans.map(({ repository, plan }) => ({ repository, ...summaryOf(plan) })),
      });
      return;
    }
    context.progress(lines.join('\n'));
    const by = personOf(context.options, context.wiring);
    const done = [];
    for (const name of names) {
      const execution = await beginPrune(session.control, name, { by, because: `asked for by ${by}` });
      const { state, output } = await runBackupWork(context, session, execution);
      done.push({ repository: name, execution, outcome: state.outcome ?? null, ...output });
    }
    const freed = done.reduce((sum, each) => sum + Number((each as { bytes?: number }).bytes ?? 0), 0);
    if (context.exitCode === 0)
      context.answer(`pruned ${names.join(', ')}: ${formatSize(freed)} freed`, { dryRun: false, repositories: done });
  });
}

function summaryOf(plan: Awaited<ReturnType<typeof planRetention>>) {
  const ids = (list: readonly { readonly entry: { readonly backup: { readonly backupId: string } } }[]) =>
    list.map(({ entry }) => entry.backup.backupId);
  return {
    keep: ids(plan.keep),
    remove: ids(plan.remove),
    waiting: ids(plan.waiting),
    due: ids(plan.due),
    refusals: plan.refusals,
    warnings: plan.warnings,
  };
}
