/**
 * Calls the user's commands with what they must know, by the environment alone: HOLDFAST_COMPONENT, HOLDFAST_REGION, HOLDFAST_EPOCH, HOLDFAST_EXECUTION, HOLDFAST_STEP,
 * HOLDFAST_VERB and HOLDFAST_WANT (JSON). Arguments are seen by every user of the host; the environment only by its own.
 */
import type { JsonObject } from '../../base/json.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { CommandEnvironment } from '../../contracts/site-command.ts';
import type { StepContext } from '../../contracts/verbs.ts';

export interface ShellSite {
  readonly hands: Hands;
  readonly component: string;
  readonly region: string;
  readonly env: CommandEnvironment;
}

/** As it is run: through `sh -c` only where that was asked for. */
export function runnable(command: readonly string[], shell: boolean): readonly string[] {
  const [script, ...args] = command;
  return shell && script !== undefined ? ['sh', '-c', script, 'holdfast', ...args] : command;
}

export function siteEnvironment(site: ShellSite): CommandEnvironment {
  return { ...site.env, HOLDFAST_COMPONENT: site.component, HOLDFAST_REGION: site.region };
}

export function stepEnvironment(site: ShellSite, verb: string, want: JsonObject, context: StepContext): CommandEnvironment {
  return {
    ...siteEnvironment(site),
    HOLDFAST_EPOCH: String(context.epoch),
    HOLDFAST_EXECUTION: context.executionId,
    HOLDFAST_STEP: context.stepId,
    HOLDFAST_VERB: verb,
    HOLDFAST_WANT: JSON.stringify(want),
  };
}
