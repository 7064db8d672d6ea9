/**
 * Whether the active region is to be failed over now, and if not, why not. Pure; every answer names what would change it.
 *
 * Invariant: it acts only on a verdict of a majority, with a target that is ready, an estimated loss within the budget, outside the cool-down, with nothing else under way.
 */
import { formatDuration } from '../base/durations.ts';
import type { FailoverPolicy } from '../spec/spec.ts';
import type { ReadinessFault } from '../watch/readiness.ts';
import type { RegionVerdict } from '../watch/verdict.ts';

export interface DecisionInput {
  readonly nowMs: number;
  readonly policy: FailoverPolicy;
  readonly verdict: RegionVerdict;
  readonly target: string | undefined;
  readonly targetFaults: readonly ReadinessFault[];
  /** Per data store; undefined: unproven. */
  readonly estimatedLossMs: ReadonlyMap<string, number | undefined>;
  /** When the active region last changed. */
  readonly changedAtMs: number | undefined;
  /** An execution that has not ended. */
  readonly underWay: string | undefined;
  /** Set while the clock can't be trusted. */
  readonly clockJumpedAtMs: number | undefined;
}

export type BlockCode =
  | 'not-lost'
  | 'standby-still-receives'
  | 'not-automatic'
  | 'no-target'
  | 'target-not-ready'
  | 'loss-over-budget'
  | 'loss-unproven'
  | 'cooling-down'
  | 'execution-under-way'
  | 'clock-jumped'
  | 'no-plan';

export interface Block {
  readonly code: BlockCode;
  readonly message: string;
  /** What would make it go away. */
  readonly changesWhen: string;
}

export interface Decision {
  readonly act: boolean;
  readonly blocks: readonly Block[];
  readonly summary: string;
}

function verdictBlock(input: DecisionInput): Block | undefined {
  const { verdict, nowMs } = input;
  if (verdict.state === 'lost') return undefined;
  const votes = verdict.votes.map((vote) => `${vote.controller} says ${vote.says}`).join(', ');
  const against = [...new Set(verdict.votes.flatMap((vote) => vote.contradictedBy ?? []))];
  if (against.length > 0)
    return {
      code: 'standby-still-receives',
      message: `${verdict.region} is out of reach for us and not lost: ${against.join('; ')}`,
      changesWhen: 'its standby hears nothing from it any more, the way to it is mended, or a person runs holdfast failover',
    };
  const inGrace = verdict.graceEndsAtMs !== undefined && verdict.graceEndsAtMs > nowMs;
  return {
    code: 'not-lost',
    message: `${verdict.region} is ${verdict.state}, not lost (${votes || 'nobody has looked yet'}; ${verdict.needed} needed)`,
    changesWhen: inGrace
      ? `it does not come back within the grace, in ${formatDuration((verdict.graceEndsAtMs as number) - nowMs)}`
      : `${verdict.needed} of the controllers say lost`,
  };
}

function lossBlocks(input: DecisionInput): Block[] {
  const { policy } = input;
  const blocks: Block[] = [];
  for (const [component, lossMs] of input.estimatedLossMs) {
    if (lossMs === undefined) {
      blocks.push({
        code: 'loss-unproven',
        message: `what ${component} would lose is unproven`,
        changesWhen: 'a canary has been seen on both sides, or a person runs holdfast failover --accept-loss',
      });
    } else if (lossMs > policy.lossBudgetMs) {
      blocks.push({
        code: 'loss-over-budget',
        message: `${component} would lose ${formatDuration(lossMs)}; the budget is ${formatDuration(policy.lossBudgetMs)}`,
        changesWhen: 'the lag falls, the budget is raised, or a person runs holdfast failover --accept-loss',
      });
    }
  }
  return blocks;
}

/** It would act, and no plan can be made: the refusal is what blocks it. */
export function withoutPlan(decision: Decision, region: string, reason: { readonly message: string; readonly hint: string }): Decision {
  return {
    act: false,
    blocks: [...decision.blocks, { code: 'no-plan', message: reason.message, changesWhen: reason.hint }],
    summary: `no failover from ${region}: ${reason.message}`,
  };
}

export function decideFailover(input: DecisionInput): Decision {
  const { policy, nowMs } = input;
  const blocks: Block[] = [];
  const notLost = verdictBlock(input);
  if (notLost) blocks.push(notLost);
  if (!policy.automatic)
    blocks.push({
      code: 'not-automatic',
      message: 'the spec does not allow automatic failover',
      changesWhen: 'failover.automatic is true, or a person runs holdfast failover',
    });
  if (input.underWay)
    blocks.push({
      code: 'execution-under-way',
      message: `${input.underWay} has not ended`,
      changesWhen: 'it ends, or holdfast abort ends it',
    });
  if (input.clockJumpedAtMs !== undefined)
    blocks.push({
      code: 'clock-jumped',
      message: 'the clock of this controller has jumped: times of evidence can not be trusted',
      changesWhen: `the evidence is ${formatDuration(policy.graceMs)} old by a steady clock`,
    });
  if (!input.target)
    blocks.push({ code: 'no-target', message: 'there is no other region to take over', changesWhen: 'the spec has a standby region' });
  for (const fault of input.targetFaults) blocks.push({ code: 'target-not-ready', message: fault.message, changesWhen: fault.hint });
  blocks.push(...lossBlocks(input));
  if (input.changedAtMs !== undefined && nowMs - input.changedAtMs < policy.coolDownMs) {
    const leftMs = policy.coolDownMs - (nowMs - input.changedAtMs);
    blocks.push({
      code: 'cooling-down',
      message: `the active region changed ${formatDuration(nowMs - input.changedAtMs)} ago; the cool-down is ${formatDuration(policy.coolDownMs)}`,
      changesWhen: `${formatDuration(leftMs)} have passed, or a person runs holdfast failover`,
    });
  }
  const act = blocks.length === 0;
  const summary = act
    ? `fail over from ${input.verdict.region} to ${input.target}: ${input.verdict.votes.flatMap((vote) => vote.because).join('; ')}`
    : `no failover from ${input.verdict.region}: ${notLost ? notLost.message : blocks.map((block) => block.message).join('; ')}`;
  return { act, blocks, summary };
}
