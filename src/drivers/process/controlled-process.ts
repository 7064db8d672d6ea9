/**
 * One process of the workload, whoever keeps it: the user's own commands, or Holdfast by a pid file.
 *
 * Invariant: starting one that runs and stopping one that does not have no effect. A status command that can't tell is an error, never "stopped".
 */
import { fail } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import { applySiteCommand, commandFailed, runSiteCommand } from '../../contracts/site-command.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { type DetachedProgram, programRuns, startProgram, stopProgram } from './detached-program.ts';
import type { ProcessDefinition } from './options.ts';

export interface ControlledProcess {
  readonly name: string;
  runs(signal: AbortSignal): Promise<boolean>;
  start(context: StepContext): Promise<void>;
  stop(context: StepContext, bar: boolean): Promise<void>;
}

export function controlProcess(name: string, definition: ProcessDefinition, hands: Hands, timeoutMs: number): ControlledProcess {
  const pidFile = definition['pid-file'];
  if (definition.program && pidFile !== undefined) {
    const program: DetachedProgram = {
      command: definition.program,
      pidFile,
      logFile: definition['log-file'] ?? `${pidFile}.log`,
      directory: definition.directory ?? '/',
      stopGraceMs: definition['stop-grace'] ?? 5_000,
      env: definition.env ?? {},
      timeoutMs,
    };
    return {
      name,
      runs: (signal) => programRuns(hands, program, signal),
      start: (context) => startProgram(hands, program, context.epoch, context.signal),
      stop: (context, bar) => stopProgram(hands, program, context.epoch, bar, context.signal),
    };
  }
  const { start, stop, status } = definition;
  if (!start || !stop || !status)
    throw fail('BUG_BROKEN_BELIEF', { message: `process ${name} passed validation without start, stop and status` });
  const options = { timeoutMs, env: definition.env ?? {} };
  const runs = (signal: AbortSignal) => statusSays(hands, status, { ...options, signal });
  return {
    name,
    runs,
    async start(context) {
      if (await runs(context.signal)) return;
      await applySiteCommand(hands, start, { ...options, signal: context.signal, leaveChildren: true });
    },
    async stop(context) {
      // Also when the status says stopped: for some, stopping is what keeps a supervisor from starting it again.
      await applySiteCommand(hands, stop, { ...options, signal: context.signal });
    },
  };
}

/** The exit codes of a status command are those of the Linux Standard Base's init scripts, which systemctl and pg_ctl keep to as well. */
async function statusSays(hands: Hands, command: readonly string[], options: Parameters<typeof runSiteCommand>[2]): Promise<boolean> {
  const result = await runSiteCommand(hands, command, options);
  if (result.exitCode === 0) return true;
  if (result.exitCode >= 1 && result.exitCode <= 3) return false;
  throw commandFailed(hands, command, result);
}
