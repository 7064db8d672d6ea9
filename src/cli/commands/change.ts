/** The commands that change the platform: failover, switchover, failback, reprotect; and those that go on with an execution: resume, retry, skip, abort, pause, approve, fenced. */
import { fail, HoldfastError } from '../../base/errors.ts';
import { beginExecution, runToEnd, summarizeExecution } from '../../control/executions.ts';
import { localHandsNeeded } from '../../control/hands-elsewhere.ts';
import { makePlan, type PlanRequest } from '../../control/make-plan.ts';
import { missingSites } from '../../control/missing-sites.ts';
import { isBackupPlan, type Plan } from '../../plans/plan.ts';
import type { ExecutionState } from '../../state/execution-state.ts';
import { loadExecution, watchExecution } from '../../state/journal.ts';
import type { ExecutionRequest } from '../../state/journal-events.ts';
import { putRequest, type RequestAnswer, requestApprove, requestFenceWord, waitForAnswer } from '../../state/requests.ts';
import { eventLine, measurementsText, nextHint } from '../render/execution-text.ts';
import { planText } from '../render/plan-text.ts';
import { personOf, type Session, withSession } from '../session.ts';
import type { CommandContext } from './context.ts';

export interface ChangeOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly approver?: readonly string[];
  /** Who says that the former primary can't acknowledge writes any more. */
  readonly fencedBy?: string;
}

export async function confirm(context: CommandContext, plan: Plan, options: ChangeOptions): Promise<void> {
  if (options.yes) return;
  const { terminal } = context.wiring;
  if (!terminal.interactive)
    throw fail('USAGE', {
      message: 'this changes the platform and nobody is there to say yes',
      hint: 'Look at the plan with --dry-run, then give --yes.',
    });
  const answer = await terminal.ask(`Go on with this ${plan.kind}? [y/N] `);
  if (answer === undefined || !/^y(es)?$/i.test(answer.trim()))
    throw fail('INTERRUPTED', { message: 'not confirmed; nothing was changed', hint: 'Answer y to go on.' });
}

export async function change(context: CommandContext, request: PlanRequest, options: ChangeOptions): Promise<void> {
  await withSession(context.options, context.wiring, options.dryRun ? 'look' : 'act', async (session) => {
    await session.control.startWatching();
    await session.control.watch.probeAll();
    const plan = await makePlan(session.control, request);
    if (!context.options.json) context.progress(planText(plan, context.palette));
    if (options.dryRun) {
      if (context.options.json) context.answer('', { dryRun: true, plan });
      return;
    }
    await confirm(context, plan, options);
    const by = personOf(context.options, context.wiring);
    const id = await beginExecution(session.control, plan, by);
    context.progress(`\nexecution ${id}`);
    for (const approver of options.approver ?? []) await requestApprove(session.store, session.host, id, approver);
    await runAndReport(context, session, id, options);
  });
}

const lookForRunnerEveryMs = 250;

/** Enough, although it is not over: nothing more happens until somebody does something. */
type Enough = (state: ExecutionState) => boolean;

/** Runs it here, or follows it where another process already does; takes it up when that one dies, which may have happened already: the lease of the dead lasts a little longer. */
export async function runOrFollow(context: CommandContext, session: Session, id: string, enough?: Enough): Promise<ExecutionState> {
  const { signal, terminal } = context.wiring;
  const left = new AbortController();
  let hinted = false;
  let latest: ExecutionState | undefined;
  const onEvent: Parameters<typeof runToEnd>[3] = {
    onEvent: (event, state) => {
      const line = eventLine(event, context.palette);
      if (line !== undefined) context.progress(line);
      latest = state;
      // A request and what follows from it come together: it is judged by the last of them.
      queueMicrotask(() => latest && enough?.(latest) && left.abort(new Error('it waits for somebody')));
      if (!enough && state.status === 'waiting-for-approval' && !hinted) {
        hinted = true;
        for (const hint of nextHint(state)) context.progress(hint);
      }
    },
    onProgress: (step, message) => terminal.err(context.palette.dim(`                ${step}: ${message}`)),
  };
  let toldWhose = false;
  for (;;) {
    const needed = await localHandsNeeded(session.control, id);
    if (typeof needed !== 'string') {
      if (!toldWhose)
        context.progress(context.palette.dim(`it takes the hands of ${needed.region}: the controller there runs it; following`));
      toldWhose = true;
      const state = await follow(context, session, id, enough);
      if (state) return state;
      continue;
    }
    try {
      return await runToEnd(session.control, id, AbortSignal.any([signal, left.signal]), onEvent);
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError)) throw thrown;
      if (thrown.code === 'INTERRUPTED' && left.signal.aborted && !signal.aborted)
        return (await loadExecution<Plan>(session.store, id)).state;
      if (thrown.code !== 'STATE_LEASE_HELD') throw thrown;
      context.progress(context.palette.dim('another process runs it; following'));
      const state = await follow(context, session, id, enough);
      if (state) return state;
      context.progress(context.palette.dim('that process is gone; going on here'));
    }
  }
}

/** The state once it is over or held up; undefined when nobody runs it any more. */
async function follow(
  context: CommandContext,
  session: Session,
  id: string,
  enough: Enough | undefined,
): Promise<ExecutionState | undefined> {
  const { signal } = context.wiring;
  const { clock } = session.host;
  const { promise, resolve, reject } = Promise.withResolvers<ExecutionState | undefined>();
  const interrupted = () =>
    reject(
      fail('INTERRUPTED', {
        message: `no longer following; ${id} goes on in the other process`,
        hint: `holdfast executions ${id} shows it; holdfast abort ${id} ends it.`,
      }),
    );
  signal.addEventListener('abort', interrupted, { once: true });
  let latest: ExecutionState | undefined;
  const stop = await watchExecution(
    session.store,
    id,
    (state, event) => {
      const line = event && eventLine(event, context.palette);
      if (line) context.progress(line);
      latest = state;
      queueMicrotask(() => latest && enough?.(latest) && resolve(latest));
      if (state.outcome !== undefined || state.status === 'failed') resolve(state);
    },
    reject,
  );
  let cancel = () => {};
  const lookForRunner = () => {
    cancel = clock.after(lookForRunnerEveryMs, () => {
      session.control.isRunning(id).then((running) => (running ? lookForRunner() : resolve(undefined)), reject);
    });
  };
  lookForRunner();
  try {
    return await promise;
  } finally {
    cancel();
    stop();
    signal.removeEventListener('abort', interrupted);
  }
}

export async function runAndReport(context: CommandContext, session: Session, id: string, options: ChangeOptions): Promise<void> {
  let state = await runOrFollow(context, session, id);
  if (options.fencedBy && state.outcome === undefined) state = await giveFenceWord(context, session, id, state, options.fencedBy);
  await report(context, session, id, state);
  if (state.outcome !== 'done' || state.steps.some((step) => step.status === 'failed')) context.exitCode = 1;
}

async function report(context: CommandContext, session: Session, id: string, state: ExecutionState): Promise<void> {
  const { header } = await loadExecution<Plan>(session.store, id);
  const measured = summarizeExecution(header.plan, state);
  const text = [header.kind === 'reprotect' ? '' : measurementsText(measured, context.palette), ...nextHint(state)]
    .filter((line) => line !== '')
    .join('\n');
  context.answer(text || `${id} is ${state.status}`, {
    execution: id,
    status: state.status,
    outcome: state.outcome ?? null,
    epoch: header.plan.epoch,
    from: header.plan.from,
    to: header.plan.to,
    measured,
    steps: state.steps,
  });
}

/** A person's word for each fence that could not be proven otherwise. */
async function giveFenceWord(
  context: CommandContext,
  session: Session,
  id: string,
  state: ExecutionState,
  by: string,
): Promise<ExecutionState> {
  const unproven = state.steps.filter((step) => step.verb === 'fence' && (step.status === 'failed' || step.status === 'uncertain'));
  if (unproven.length === 0) return state;
  for (const step of unproven) {
    if (step.component && step.region)
      await requestFenceWord(session.store, session.host, id, by, { component: step.component, region: step.region });
  }
  return runOrFollow(context, session, id);
}

export async function goOn(context: CommandContext, id: string | undefined, options: ChangeOptions): Promise<void> {
  await withSession(context.options, context.wiring, 'act', async (session) => {
    const chosen = id ?? (await onlyOpen(session));
    const { state } = await loadExecution<Plan>(session.store, chosen);
    if (state.outcome !== undefined)
      throw fail('EXECUTION_WRONG_STATE', {
        subject: chosen,
        message: `${chosen} is over (${state.outcome})`,
        hint: 'There is nothing to resume.',
      });
    const refusal = await missingSites(session.control, chosen);
    if (refusal) throw refusal;
    if (state.paused)
      await putRequest(session.store, session.host, chosen, { kind: 'resume', by: personOf(context.options, context.wiring) });
    await session.control.startWatching();
    await session.control.watch.probeAll();
    await runAndReport(context, session, chosen, options);
  });
}

/** A change of the platform before a backup, a proof and the like: who has to approve something at once must not be asked which of them is meant. */
async function onlyOpen(session: Session): Promise<string> {
  const all = await session.control.openExecutions();
  const changes = all.filter((id) => !isBackupPlan(id.slice(0, id.indexOf('-'))));
  const open = changes.length > 0 ? changes : all;
  if (open.length === 1) return open[0] as string;
  if (open.length === 0)
    throw fail('NOT_FOUND', { message: 'no execution is under way', hint: 'holdfast executions lists the earlier ones.' });
  throw fail('USAGE', { message: `several executions are open: ${open.join(', ')}`, hint: 'Name one.' });
}

type RequestBody = ExecutionRequest extends infer R ? (R extends { by: string } ? Omit<R, 'by'> : never) : never;

const answerTimeoutMs = 10_000;

/** Puts a request and waits for its answer; where nobody runs the execution, runs it here, which answers it, for as long as there is something to do without people. */
export async function ask(context: CommandContext, id: string | undefined, body: RequestBody): Promise<void> {
  await withSession(context.options, context.wiring, 'act', async (session) => {
    const chosen = id ?? (await onlyOpen(session));
    const by = personOf(context.options, context.wiring);
    const requestId = await putRequest(session.store, session.host, chosen, { ...body, by } as ExecutionRequest);
    if (await session.control.isRunning(chosen)) {
      const answer = await waitForAnswer(session.store, session.host, chosen, requestId, answerTimeoutMs);
      return tellAnswer(context, chosen, body, answer);
    }
    await session.control.startWatching();
    await session.control.watch.probeAll();
    const { header } = await loadExecution<Plan>(session.store, chosen);
    const answerIn = (state: ExecutionState) => state.requests.find((request) => request.requestId === requestId);
    const state = await runOrFollow(
      context,
      session,
      chosen,
      (now) => answerIn(now) !== undefined && (now.paused !== undefined || lacksApproval(header.plan, now)),
    );
    const answer = answerIn(state);
    if (answer && !answer.accepted) return tellAnswer(context, chosen, body, answer);
    await report(context, session, chosen, state);
    if (!isAsAsked(body.kind, state)) context.exitCode = 1;
  });
}

function tellAnswer(context: CommandContext, id: string, body: RequestBody, answer: RequestAnswer): void {
  context.answer(answer.accepted ? `${id}: ${body.kind} accepted` : `${id}: ${body.kind} refused: ${answer.why ?? ''}`, {
    execution: id,
    ...answer,
  });
  if (!answer.accepted) context.exitCode = 1;
}

/** Fewer people have approved than the step that waits wants. */
function lacksApproval(plan: Plan, state: ExecutionState): boolean {
  return state.steps.some((step, place) => {
    if (step.verb !== 'approve' || step.status !== 'running') return false;
    return state.approvals.filter((approval) => approval.stepId === step.id).length < Number(plan.steps[place]?.want.count ?? 1);
  });
}

/** Whether it stands as the request wanted it to: ended by an abort or a roll-back is no failure for who asked for that. */
function isAsAsked(kind: RequestBody['kind'], state: ExecutionState): boolean {
  if (kind === 'abort') return state.outcome === 'aborted' || state.outcome === 'failed';
  if (kind === 'roll-back') return state.outcome === 'rolled-back';
  return state.outcome === 'done' || state.paused !== undefined || state.status === 'waiting-for-approval';
}
