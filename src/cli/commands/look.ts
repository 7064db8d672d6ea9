/** The commands that only look: validate, schema, check, status, why, plan, executions. */

import type { BackupFault } from '../../backups/alarms-input.ts';
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import { formatSize } from '../../base/sizes.ts';
import { readBackupFaults } from '../../control/backups/backup-faults.ts';
import { summarizeExecution } from '../../control/executions.ts';
import type { FleetStatus } from '../../control/fleet/fleet-status.ts';
import { makePlan, type PlanRequest } from '../../control/make-plan.ts';
import { readStateHealth } from '../../control/state-faults.ts';
import { explain, readFleetStatus, readReadiness, readStatus } from '../../control/status.ts';
import type { Plan } from '../../plans/plan.ts';
import { specJsonSchema } from '../../spec/json-schema.ts';
import { listExecutions, loadExecution } from '../../state/journal.ts';
import { backupFaultLines } from '../render/backup-status-text.ts';
import { contradictionLines } from '../render/contradiction-text.ts';
import { executionText } from '../render/execution-text.ts';
import { faultLine } from '../render/fault-text.ts';
import { fleetLines } from '../render/fleet-text.ts';
import { planText } from '../render/plan-text.ts';
import { faultLines, readinessLine, statusText, whyText } from '../render/status-text.ts';
import { contradictionsOf, loadSpecOrExplain, openHost, type Session, specFiles, withSession } from '../session.ts';
import { table } from '../terminal.ts';
import type { CommandContext } from './context.ts';

export async function validate(context: CommandContext, options: { readonly secrets: boolean }): Promise<void> {
  const { wiring } = context;
  const host = openHost(context.options, wiring);
  const spec = await loadSpecOrExplain(context.options, wiring, host, options.secrets, true);
  const counts = {
    name: spec.name,
    regions: spec.regions.size,
    components: spec.components.size,
    files: specFiles(context.options, wiring),
    notices: spec.notices.length,
  };
  const contradictions = contradictionsOf(spec);
  context.answer(
    [
      ...(await contradictionLines(contradictions, specFiles(context.options, wiring), host, context.palette)),
      `${counts.files.join(', ')}: ${spec.name} is well formed: ${countOf(counts.regions, 'region')}, ${countOf(counts.components, 'component')}`,
    ].join('\n'),
    { ...counts, contradictions, valid: true },
  );
}

export function schema(context: CommandContext): void {
  const text = JSON.stringify(
    specJsonSchema(context.wiring.catalog, context.wiring.repositories),
    null,
    context.options.json ? undefined : 2,
  );
  context.wiring.terminal.out(text);
}

/** Observations to go by: those of the process that serves, or a look of our own. */
async function lookIfNeeded(session: Session, always: boolean): Promise<void> {
  const { control, served } = session;
  // Records that several controllers share are few and may be some seconds old.
  if (served && !always && !control.fleet) return;
  await control.startWatching();
  await control.watch.probeAll();
  if (control.fleet) await control.watch.readCanaries();
}

/** Where this machine stands, if it was said. */
export interface StandsIn {
  readonly region?: string;
}
const extras = ({ region }: StandsIn) => ({ evenCutOff: true, ...(region === undefined ? {} : { region }) });
const hasProblem = (fleet: FleetStatus | undefined) => fleet?.faults.some((fault) => fault.severity === 'problem') === true;

const isProblem = (fault: Pick<BackupFault, 'severity'>) => fault.severity === 'problem';

export async function check(context: CommandContext, options: StandsIn = {}): Promise<void> {
  const work = async (session: Session) => {
    await lookIfNeeded(session, true);
    const hands = await session.control.checkHands();
    const backups = await readBackupFaults(session.control.backups, session.served);
    const fleet = await readFleetStatus(session.control);
    const state = await readStateHealth(session.control);
    const readiness = await readReadiness(session.control);
    const active = readiness.find((each) => each.target !== undefined) ?? readiness[0];
    if (!active) throw fail('BUG_BROKEN_BELIEF', { message: 'a spec has regions' });
    const { palette } = context;
    const faults = readiness.flatMap((each) => each.faults);
    const others = [...hands, ...(fleet?.faults ?? []), ...state.faults];
    const problems = [...faults, ...others].filter(isProblem).length + backups.filter(isProblem).length;
    const contradictions = contradictionsOf(session.spec);
    const warnings = faults.length + others.length + backups.length + contradictions.length - problems;
    const lines = [
      ...(fleet ? fleetLines(fleet, palette) : []),
      ...readiness.flatMap((each) => [readinessLine(each, palette), ...faultLines(each, palette)]),
      ...[...hands, ...state.faults].map((fault) => faultLine(fault, palette)),
      ...backupFaultLines(backups, palette),
      ...(await contradictionLines(contradictions, specFiles(context.options, context.wiring), session.host, palette)),
      '',
      `${session.control.watch.observations.size} sites looked at, ${warnings} warning${warnings === 1 ? '' : 's'}, ${problems} problem${problems === 1 ? '' : 's'}`,
    ];
    if (state.report) lines.push(palette.dim(`state: ${state.report.kind}, ${formatSize(state.report.sizeBytes)}`));
    const ready = active.ready && !others.some(isProblem) && !backups.some(isProblem);
    context.answer(lines.join('\n'), {
      ready,
      readiness,
      hands,
      backups,
      contradictions,
      ...(fleet ? { fleet } : {}),
      state,
      warnings,
      problems,
    });
    if (!ready) context.exitCode = 3;
  };
  await withSession(context.options, context.wiring, 'look', work, { ...extras(options), showsContradictions: true });
}

export async function status(context: CommandContext, options: StandsIn & { readonly watch?: boolean }): Promise<void> {
  const { wiring } = context;
  const work = async (session: Session) => {
    if (!options.watch) {
      await lookIfNeeded(session, false);
      const now = await readStatus(session.control);
      context.answer(statusText(now, context.palette), now);
      if (!now.readiness.ready || hasProblem(now.fleet)) context.exitCode = 3;
      return;
    }
    await session.control.startWatching();
    await session.control.watch.probeAll();
    while (!wiring.signal.aborted) {
      const now = await readStatus(session.control);
      if (context.options.json) context.answer('', now);
      else
        wiring.terminal.redraw(`${statusText(now, context.palette)}\n\n${context.palette.dim(`${formatInstant(now.atMs)}  Ctrl-C ends`)}`);
      await session.host.clock.sleep(1_000, wiring.signal).catch(() => undefined);
    }
  };
  await withSession(context.options, wiring, 'look', work, extras(options));
}

export async function why(context: CommandContext, options: StandsIn & { readonly limit: number }): Promise<void> {
  const work = async (session: Session) => {
    await lookIfNeeded(session, false);
    const explanation = await explain(session.control, options.limit);
    context.answer(whyText(explanation, context.palette), explanation);
  };
  await withSession(context.options, context.wiring, 'look', work, extras(options));
}

export async function plan(context: CommandContext, request: PlanRequest): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async (session) => {
    await lookIfNeeded(session, true);
    const made = await makePlan(session.control, request);
    context.answer(planText(made, context.palette), made);
  });
}

export async function executions(context: CommandContext, id: string | undefined, options: { readonly limit: number }): Promise<void> {
  await withSession(context.options, context.wiring, 'look', async ({ store }) => {
    if (id !== undefined) {
      const execution = await loadExecution<Plan>(store, id);
      context.answer(executionText(execution, context.palette), {
        header: execution.header,
        state: execution.state,
        measured: summarizeExecution(execution.header.plan, execution.state),
        events: execution.events,
      });
      return;
    }
    const all = await listExecutions(store, { limit: options.limit });
    const rows = all.map((each) => [
      context.palette.dim(formatInstant(each.startedAtMs)),
      each.id,
      each.status,
      each.startedBy,
      each.reason,
    ]);
    context.answer(rows.length === 0 ? 'there have been no executions' : table(rows), { executions: all });
  });
}

/** `1 region`, `2 regions`. */
function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
