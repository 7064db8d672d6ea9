/** Runs a backup, a proof, a restore or a prune to its end, here or by following the process that has it, and says what went wrong where it did. */
import type { JsonObject } from '../../base/json.ts';
import type { ExecutionState } from '../../state/execution-state.ts';
import type { Session } from '../session.ts';
import { runOrFollow } from './change.ts';
import type { CommandContext } from './context.ts';

export interface BackupWork {
  readonly state: ExecutionState;
  /** Of its one step. */
  readonly output: JsonObject;
}

/** After anything but success the answer was given already, and the exit code is 1. */
export async function runBackupWork(context: CommandContext, session: Session, execution: string): Promise<BackupWork> {
  context.progress(`execution ${execution}`);
  const state = await runOrFollow(context, session, execution);
  const [step] = state.steps;
  if (state.outcome !== 'done') {
    context.exitCode = 1;
    const why = step?.error ? `: ${step.error.message}\n  ${step.error.hint}` : '';
    context.answer(`${execution} ended as ${state.outcome ?? state.status}${why}`, {
      execution,
      status: state.status,
      outcome: state.outcome ?? null,
      ...(step?.error ? { error: step.error } : {}),
    });
  }
  return { state, output: step?.output ?? {} };
}
