/** A plan as a list that a person reads before saying yes. Pure. */
import { formatDuration } from '../../base/durations.ts';
import { isBackupPlan, type Plan, type Step } from '../../plans/plan.ts';
import { type Palette, table } from '../terminal.ts';

/** Steps in the order in which they can start, each with its depth in the graph: equal depth may run at the same time. */
export function inStages(steps: readonly Step[]): readonly { readonly step: Step; readonly stage: number }[] {
  const stageOf = new Map<string, number>();
  const byId = new Map(steps.map((step) => [step.id, step]));
  const stage = (step: Step): number => {
    const known = stageOf.get(step.id);
    if (known !== undefined) return known;
    const own = 1 + Math.max(0, ...step.after.map((id) => stage(byId.get(id) as Step)));
    stageOf.set(step.id, own);
    return own;
  };
  return steps.map((step) => ({ step, stage: stage(step) })).sort((left, right) => left.stage - right.stage);
}

const titles: Readonly<Record<Plan['kind'], string>> = {
  failover: 'Failover',
  switchover: 'Switchover',
  failback: 'Failback',
  reprotect: 'Re-protect',
  rollback: 'Roll back',
  backup: 'Backup',
  proof: 'Proof',
  restore: 'Restore',
  prune: 'Prune',
};

const failureWords: Readonly<Record<Step['onFailure'], string>> = {
  stop: '',
  continue: 'goes on if it fails',
  'roll-back': 'rolls back if it fails',
  'give-up': 'ends if it fails',
};

export function planText(plan: Plan, palette: Palette): string {
  const rows = inStages(plan.steps).map(({ step, stage }) => [
    palette.dim(String(stage)),
    palette.strong(step.id),
    `${step.expectedFrom === 'measured' ? '' : '~'}${formatDuration(step.expectedMs)}`,
    palette.dim(failureWords[step.onFailure]),
    `${step.why}${step.mayLose ? palette.warn(` — may lose ${step.mayLose}`) : ''}`,
  ]);
  const heading =
    plan.kind === 'reprotect'
      ? `${titles[plan.kind]}: ${plan.from} becomes a standby of ${plan.to}`
      : isBackupPlan(plan.kind)
        ? `${titles[plan.kind]} in ${plan.to}`
        : `${titles[plan.kind]} from ${plan.from} to ${plan.to}, epoch ${plan.epoch}`;
  const guesses = plan.steps.some((step) => step.expectedFrom === 'guess') ? ' (times with ~ are guesses, not yet measured here)' : '';
  return [
    palette.strong(heading),
    `because: ${plan.madeBecause}`,
    '',
    table(rows),
    '',
    `expected time: ${formatDuration(plan.expectedMs)}${guesses}`,
    plan.mayLose ? palette.bad(`may lose: ${plan.mayLose}`) : palette.good('loses nothing, by what is known now'),
  ].join('\n');
}
