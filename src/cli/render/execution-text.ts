/** An execution as it goes on, line by line, and as a whole afterwards. Pure. */
import { formatDuration } from '../../base/durations.ts';
import { formatInstant, formatTimeOfDay } from '../../base/instants.ts';
import { type ExecutionMeasurements, summarizeExecution } from '../../control/executions.ts';
import { isBackupPlan, type Plan } from '../../plans/plan.ts';
import type { ExecutionState } from '../../state/execution-state.ts';
import type { Execution } from '../../state/journal.ts';
import type { JournalEvent } from '../../state/journal-events.ts';
import { type Palette, table } from '../terminal.ts';

/** One line per event that a person wants to see; undefined for the others. */
export function eventLine(event: JournalEvent, palette: Palette): string | undefined {
  const at = palette.dim(formatTimeOfDay(event.atMs));
  switch (event.type) {
    case 'started':
      return `${at}  started`;
    case 'runner-changed':
      return `${at}  ${palette.warn('taken over')} by ${event.data.holder}`;
    case 'step-done':
      return `${at}  ${palette.good('done')}     ${event.stepId}  ${palette.dim(event.data.effect === 'applied' ? formatDuration(event.data.tookMs) : event.data.effect)}${proofOf(event.data.output)}`;
    case 'step-failed':
      return `${at}  ${palette.bad('failed')}   ${event.stepId}: ${event.data.error.message}\n${' '.repeat(16)}${palette.dim(event.data.error.hint)}`;
    case 'step-skipped':
      return `${at}  ${palette.warn('skipped')}  ${event.stepId}`;
    case 'undo-done':
      return `${at}  ${palette.warn('undone')}   ${event.stepId}`;
    case 'undo-failed':
      return `${at}  ${palette.bad('not undone')} ${event.stepId}: ${event.data.error.message}`;
    case 'rolling-back':
      return `${at}  ${palette.warn('rolling back')}: ${event.data.because}`;
    case 'approved':
      return `${at}  approved by ${event.data.by}`;
    case 'paused':
      return `${at}  paused by ${event.data.by}`;
    case 'resumed':
      return `${at}  resumed`;
    case 'finished':
      return `${at}  ${event.data.outcome === 'done' ? palette.good('finished') : palette.bad(event.data.outcome)}`;
    default:
      return undefined;
  }
}

function proofOf(output: { readonly [key: string]: unknown }): string {
  return typeof output.proof === 'string' ? `  (${output.proof}: ${String(output.evidence)})` : '';
}

export function measurementsText(measured: ExecutionMeasurements, palette: Palette): string {
  const lines = measured.byComponent.map((each) => {
    const loss = !each.lossMeasured
      ? palette.warn('loss unproven')
      : each.lostCanaries === 0
        ? each.lossWindow
          ? palette.warn('no canary lost')
          : palette.good('nothing lost')
        : palette.bad(`${each.lostCanaries} canaries lost`);
    const window = each.lossWindow
      ? `, writes acknowledged between ${formatInstant(each.lossWindow.fromMs)} and ${formatInstant(each.lossWindow.toMs)} may be gone`
      : '';
    return `  ${each.component}: ${loss}${window}; out for ${each.outageMs === undefined ? 'an unmeasured time' : formatDuration(each.outageMs)} (${each.detail})`;
  });
  return lines.length === 0 ? '' : ['measured:', ...lines].join('\n');
}

export function executionText(execution: Execution<Plan>, palette: Palette): string {
  const { header, state } = execution;
  const rows = state.steps.map((step) => [
    step.id,
    step.status === 'done'
      ? palette.good(step.status)
      : step.status === 'failed' || step.status === 'uncertain'
        ? palette.bad(step.status)
        : step.status,
    step.tookMs === undefined ? '' : formatDuration(step.tookMs),
    step.error?.message ?? '',
  ]);
  const measured = header.kind === 'reprotect' ? '' : measurementsText(summarizeExecution(header.plan, state), palette);
  return [
    `${palette.strong(header.id)}  ${state.status}  ${isBackupPlan(header.kind) ? `in ${header.plan.to}` : `${header.plan.from} to ${header.plan.to}`}, epoch ${header.plan.epoch}`,
    `begun ${formatInstant(header.startedAtMs)} by ${header.startedBy}: ${header.reason}`,
    '',
    table(rows),
    ...(measured ? ['', measured] : []),
    ...nextHint(state),
  ].join('\n');
}

/** What a person can do about an execution that waits for one. */
export function nextHint(state: ExecutionState): string[] {
  const paused = state.paused && state.outcome === undefined ? ['', `It is paused: holdfast resume ${state.id}`] : [];
  if (state.status === 'failed' && state.outcome === undefined) {
    const broken = state.steps.filter((step) => step.status === 'failed' || step.status === 'uncertain').map((step) => step.id);
    return [
      '',
      `It waits for a person: mend the cause of ${broken.map((id) => `"${id}"`).join(', ')}, then`,
      `  holdfast retry ${state.id}    or    holdfast skip ${state.id} --step "${broken[0]}" --reason "..."    or    holdfast abort ${state.id}`,
      ...paused,
    ];
  }
  if (state.outcome === 'aborted') {
    const stays = state.steps.filter((step) => step.mayHaveTakenEffect && step.effect !== 'adopted').map((step) => `"${step.id}"`);
    return stays.length === 0
      ? ['', 'Nothing was changed.']
      : [
          '',
          `It was ended where it was. What these did, or may have done, stays: ${stays.join(', ')}. holdfast status shows what that means.`,
        ];
  }
  if (state.status === 'waiting-for-approval') return ['', `It waits for approval: holdfast approve ${state.id} --by NAME`];
  return paused;
}
