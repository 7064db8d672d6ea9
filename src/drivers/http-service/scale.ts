/**
 * Changes how many replicas of the service run, by the user's own commands, and counts them. The commands must bear being run twice: after a crash between a command and its record
 * the command is run again.
 */
import { fail } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import {
  applySiteCommand,
  type CommandEnvironment,
  commandFailed,
  endOfOutput,
  fillPlaceholders,
  runSiteCommand,
} from '../../contracts/site-command.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';
import type { WorkloadCounts, WorkloadSize } from '../../contracts/workload/workload-verbs.ts';

export interface ScaleCommands {
  readonly scale: readonly string[] | undefined;
  readonly count: readonly string[] | undefined;
  readonly start: readonly string[] | undefined;
  readonly stop: readonly string[] | undefined;
  readonly env: CommandEnvironment;
  readonly timeoutMs: number;
  readonly region: string;
  readonly component: string;
}

export async function bringSize(
  hands: Hands,
  commands: ScaleCommands,
  size: WorkloadSize,
  replicas: number,
  signal: AbortSignal,
): Promise<void> {
  const command = commandFor(commands, replicas);
  if (!command)
    throw fail('HANDS_MISSING', {
      message: `no command is given that brings the service to ${size}`,
      hint: 'Give scale-command, or start and stop.',
    });
  const { region, component, timeoutMs, env } = commands;
  await applySiteCommand(hands, fillPlaceholders(command, { size, replicas, region, component }), {
    timeoutMs,
    env,
    signal,
    leaveChildren: true,
  });
}

/** A stop command is the surer way to none; otherwise the scale command does every size. */
function commandFor(commands: ScaleCommands, replicas: number): readonly string[] | undefined {
  if (replicas === 0) return commands.stop ?? commands.scale;
  return commands.scale ?? commands.start;
}

export async function readCounts(
  hands: Hands,
  command: readonly string[],
  commands: ScaleCommands,
  signal: AbortSignal,
): Promise<WorkloadCounts> {
  const { region, component, timeoutMs, env } = commands;
  const filled = fillPlaceholders(command, { region, component });
  const result = await runSiteCommand(hands, filled, { timeoutMs, env, signal });
  if (result.exitCode !== 0) throw commandFailed(hands, filled, result);
  const printed = parseBody(result.stdout);
  if (isCount(printed)) return { wanted: printed, ready: printed };
  if (printed !== null && typeof printed === 'object' && !Array.isArray(printed)) {
    const { wanted, ready } = printed as { wanted?: unknown; ready?: unknown };
    if (isCount(wanted) && isCount(ready)) return { wanted, ready };
  }
  throw fail('SYSTEM_WRONG_ANSWER', {
    message: `count-command printed neither a number nor { "wanted": n, "ready": n }: ${endOfOutput(result)}`,
  });
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}
