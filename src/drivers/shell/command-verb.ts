/**
 * A verb made of the user's inspect and apply commands.
 *
 * Invariant: a command that may have had its effect is never called again unless something says that it has not. With an inspect command, that says so. Without one
 * (`run` only) the step's note does: `begun` before the command, `ended` after it; a controller that dies in between leaves `begun`, which reads as unknown and asks a person.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { applySiteCommand, commandFailed, endOfOutput, runSiteCommand } from '../../contracts/site-command.ts';
import type { Inspection, SiteVerb, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Clock } from '../../host/host.ts';
import { runnable, type ShellSite, stepEnvironment } from './commands.ts';
import { lookingVerbs, type VerbCommands } from './options.ts';
import { readOutput } from './outputs.ts';

interface RunNote extends JsonObject {
  readonly phase: 'begun' | 'ended';
  readonly detail: string;
}

export function commandVerb(site: ShellSite, verb: SiteVerb, commands: VerbCommands, clock: Clock): Verb {
  return {
    inspect: (want, context) => inspect(site, verb, commands, clock, want, context),
    apply: (want, context) => apply(site, verb, commands, want, context),
  };
}

async function inspect(
  site: ShellSite,
  verb: SiteVerb,
  commands: VerbCommands,
  clock: Clock,
  want: JsonObject,
  context: StepContext,
): Promise<Inspection> {
  if (!commands.inspect) return inspectNote(context.note as RunNote | undefined);
  const command = runnable(commands.inspect, commands.shell);
  const env = stepEnvironment(site, verb, want, context);
  const result = await runSiteCommand(site.hands, command, { timeoutMs: commands.timeout, env, signal: context.signal });
  const why = endOfOutput(result);
  switch (result.exitCode) {
    case 0:
      return { state: 'done', output: readOutput(verb, result.stdout, clock.nowMs()) };
    case 1:
      return { state: commands.apply || !lookingVerbs.has(verb) ? 'absent' : 'pending', why };
    case 2:
      return { state: 'pending', why };
    case 3:
      return { state: 'unknown', why };
    default:
      throw commandFailed(site.hands, command, result);
  }
}

function inspectNote(note: RunNote | undefined): Inspection {
  if (!note) return { state: 'absent', why: 'this step has not run the command yet' };
  if (note.phase === 'ended') return { state: 'done', output: { detail: note.detail } };
  return { state: 'unknown', why: 'the command was begun and nothing tells whether it has ended: there is no inspect command' };
}

async function apply(site: ShellSite, verb: SiteVerb, commands: VerbCommands, want: JsonObject, context: StepContext): Promise<void> {
  if (!commands.apply) throw fail('BUG_BROKEN_BELIEF', { message: `${verb} has no apply command and was asked to apply` });
  const env = stepEnvironment(site, verb, want, context);
  const options = { timeoutMs: commands.timeout, env, signal: context.signal, leaveChildren: true };
  if (!commands.inspect) await context.keepNote({ phase: 'begun', detail: '' } satisfies RunNote);
  const result = await applySiteCommand(site.hands, runnable(commands.apply, commands.shell), options);
  if (!commands.inspect) await context.keepNote({ phase: 'ended', detail: endOfOutput(result) } satisfies RunNote);
}
