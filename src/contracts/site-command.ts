/**
 * Running the user's own commands at a site, through its hands.
 *
 * Invariants: an argument stays one argument (nothing is joined into a shell line); secrets go by the environment only; what a command prints is cleaned of the secrets
 * that it was given before anybody keeps or shows it.
 */
import { z } from 'zod';
import { fail, HoldfastError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import type { ResolvedSecret } from './driver.ts';
import type { Hands, HandsResult } from './hands.ts';
import { secretReference } from './secret-reference.ts';

export type CommandEnvironment = Readonly<Record<string, string | Secret>>;

/** Variables of a command's environment; the only way for a secret to reach it. */
export const commandEnvironment = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of an environment variable'),
    z.union([z.string(), secretReference]) as unknown as z.ZodType<string | ResolvedSecret>,
  )
  .describe('Environment of the commands; a value is a text or a secret: { API_TOKEN: { env: API_TOKEN } }');

export interface SiteCommandOptions {
  readonly timeoutMs: number;
  readonly env?: CommandEnvironment;
  readonly signal?: AbortSignal;
  readonly leaveChildren?: boolean;
}

/** Runs to the end; the exit code is the caller's to judge. The output is free of the secrets in `env`. */
export async function runSiteCommand(hands: Hands, command: readonly string[], options: SiteCommandOptions): Promise<HandsResult> {
  const [program, ...args] = command;
  if (program === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'a command without a program' });
  const result = await hands.run({
    program,
    args,
    timeoutMs: options.timeoutMs,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.leaveChildren === undefined ? {} : { leaveChildren: options.leaveChildren }),
  });
  return {
    exitCode: result.exitCode,
    stdout: withoutSecrets(result.stdout, options.env),
    stderr: withoutSecrets(result.stderr, options.env),
  };
}

/**
 * Runs a command that changes something: exit 0 or COMMAND_FAILED with the end of its output. A command that ran out of time may have had its effect:
 * SYSTEM_OUTCOME_UNKNOWN, so that whoever asked looks before asking again.
 */
export async function applySiteCommand(hands: Hands, command: readonly string[], options: SiteCommandOptions): Promise<HandsResult> {
  let result: HandsResult;
  try {
    result = await runSiteCommand(hands, command, options);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'TIMED_OUT') {
      throw fail('SYSTEM_OUTCOME_UNKNOWN', {
        message: `${command[0]} on ${hands.name} did not end within ${options.timeoutMs} ms`,
        cause: error,
      });
    }
    throw error;
  }
  if (result.exitCode !== 0) throw commandFailed(hands, command, result);
  return result;
}

export function commandFailed(hands: Hands, command: readonly string[], result: HandsResult): HoldfastError {
  return fail('COMMAND_FAILED', {
    message: `${command[0]} on ${hands.name} ended with exit code ${result.exitCode}: ${endOfOutput(result)}`,
    details: { exitCode: result.exitCode },
  });
}

/** The last words of a command, for people. */
export function endOfOutput(result: HandsResult): string {
  const text = (result.stderr.trim() || result.stdout.trim()).replace(/\s*\n\s*/g, ' | ');
  return text === '' ? 'it printed nothing' : text.slice(-400);
}

/** Puts values in place of the arguments that are exactly `{name}`. */
export function fillPlaceholders(command: readonly string[], values: Readonly<Record<string, string | number>>): readonly string[] {
  return command.map((argument) => {
    const name = /^\{([a-z-]+)\}$/.exec(argument)?.[1];
    const value = name === undefined ? undefined : values[name];
    return value === undefined ? argument : String(value);
  });
}

/** Arguments that hold a placeholder without being one: they would be passed on unfilled. */
export function misplacedPlaceholders(command: readonly string[], names: readonly string[]): readonly string[] {
  return command.filter((argument) => names.some((name) => argument !== `{${name}}` && argument.includes(`{${name}}`)));
}

function withoutSecrets(text: string, env: CommandEnvironment | undefined): string {
  let clean = text;
  for (const value of Object.values(env ?? {})) {
    if (value instanceof Secret && value.reveal() !== '') clean = clean.replaceAll(value.reveal(), '[redacted]');
  }
  return clean;
}
