/** verify: restores a backup somewhere harmless, checks what came back level by level, and keeps the proof in the repository. */
import { formatDuration } from '../../base/durations.ts';
import { fail } from '../../base/errors.ts';
import { parseInstantMs } from '../../base/instants.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ProofLevel } from '../../contracts/backup.ts';
import { beginProof } from '../../control/backups/begin.ts';
import { findBackup } from '../../control/backups/list-backups.ts';
import { proofTargets } from '../../spec/backup-section.ts';
import { backupText } from '../render/backups-text.ts';
import { personOf, withSession } from '../session.ts';
import { chooseBackup } from './backup.ts';
import type { CommandContext } from './context.ts';
import { runBackupWork } from './run-backup-work.ts';

export interface VerifyOptions {
  readonly level?: ProofLevel;
  readonly target?: string;
  readonly what?: string;
  readonly repository?: string;
  /** `some`, `all` or one damage. */
  readonly sabotage?: string | true;
}

export async function verify(context: CommandContext, name: string, backupId: string | undefined, options: VerifyOptions): Promise<void> {
  const target = options.target ?? 'newest';
  // Said before anything is opened: a slip of the pen must not cost a restore.
  if (!(proofTargets as readonly string[]).includes(target)) parseInstantMs(target);
  await withSession(context.options, context.wiring, 'look', async (session) => {
    const parts = session.control.backups;
    const component = parts.component(name);
    // A backup that is named says itself of which kind it is, and where.
    const named = backupId === undefined || options.what !== undefined ? undefined : await findBackup(parts, backupId);
    const entry = chooseBackup(component, options.what ?? named?.entry.backup.what, options.repository ?? named?.repository);
    // As with a backup: said at once, not waited for.
    await parts.repository(entry.to);
    const by = personOf(context.options, context.wiring);
    const execution = await beginProof(
      session.control,
      {
        component: name,
        what: entry.what,
        repository: entry.to,
        level: options.level ?? entry.prove?.level ?? 'P4',
        target,
        checks: entry.prove?.checks.map((check) => ({ ...check })) ?? [],
        ...(backupId === undefined ? {} : { backupId }),
        ...(options.sabotage === undefined ? {} : { sabotage: options.sabotage === true ? 'some' : options.sabotage }),
        ...(entry.prove?.withinMs === undefined ? {} : { withinMs: entry.prove.withinMs }),
      },
      { by, because: `asked for by ${by}` },
    );
    const { state, output } = await runBackupWork(context, session, execution);
    if (state.outcome !== 'done') return;
    if (options.sabotage !== undefined) {
      context.answer(controlsText(output), { execution, status: state.status, outcome: state.outcome, component: name, ...output });
      return;
    }
    const proven = await findBackup(parts, String(output.backupId));
    if (!proven) throw fail('BUG_BROKEN_BELIEF', { message: 'a backup that was proven a moment ago is there' });
    const overrun = output.overrun === true ? `\n${context.palette.warn('It took longer than the spec allows.')}` : '';
    const took = typeof output.tookMs === 'number' ? ` in ${formatDuration(output.tookMs)}` : '';
    context.answer(
      `${backupText(proven.entry, proven.repository, context.palette)}\n\n${String(output.backupId)} is proven up to ${String(output.reached)}${took} (${String(output.target)})${overrun}`,
      { execution, status: state.status, outcome: state.outcome, component: name, repository: entry.to, proof: output },
    );
  });
}

function controlsText(output: JsonObject): string {
  const controls = output.controls as readonly JsonObject[];
  return [
    `${String(output.backupId)} was damaged ${String(output.tried)} times on purpose, and its proof caught it ${String(output.caught)} times`,
    ...controls.map(
      ({ damage, result, caughtAt, caughtBy, detail }) =>
        `  ${String(result)}  ${String(damage)}${caughtAt === undefined ? '' : ` at ${String(caughtAt)}`}: ${String(caughtBy ?? detail)}`,
    ),
  ].join('\n');
}
