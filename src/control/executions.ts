/**
 * Begins, runs and follows executions. One change of the platform at a time: a slot in the state is claimed in the same commit that makes the execution durable.
 *
 * When the process dies between two instructions here, the execution is either not there at all or there whole; another process finds it and goes on.
 */
import { asHoldfastError, fail, HoldfastError } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import type { Change, Lease } from '../contracts/state-store.ts';
import { runExecution } from '../engine/run-execution.ts';
import { type BackupPlanKind, isBackupPlan, type Plan } from '../plans/plan.ts';
import type { ExecutionHeader, ExecutionState } from '../state/execution-state.ts';
import { createExecution, journalKeys, loadExecution } from '../state/journal.ts';
import type { JournalEvent } from '../state/journal-events.ts';
import { requestAbort } from '../state/requests.ts';
import type { Control } from './control.ts';
import { handsNeededFor, requireOneRunner } from './hands-elsewhere.ts';
import { requireCurrent } from './require-current.ts';
import { verbResolver } from './resolve-verb.ts';
import { recordRecovery, recordTimings } from './timings.ts';

/**
 * One change of the platform at a time; and beside it, of each component, one backup, one proof and one restore: none of them ever waits for another kind.
 */
function slotKeyOf(plan?: Plan): string {
  if (plan === undefined || !isBackupPlan(plan.kind)) return 'execution-slot';
  const want = plan.steps[0]?.want;
  return backupSlotKey(plan.kind, String(want?.component ?? want?.repository));
}

const backupSlotKey = (kind: BackupPlanKind, of: string) => `execution-slot/${kind}/${of}`;
const aloneTtlMs = 2_000;
const leaseTtlOf = ({ parts: { spec } }: Control) => (spec.state ? spec.controllers.ttlMs : aloneTtlMs);
const leaseTriesMost = 10;

/** The place of the one execution that may be under way, as it was read. */
export interface Slot {
  readonly underWay: string | undefined;
  readonly revision: number | 'absent';
}

/** The slot as it is now, and whether the execution in it has not ended. Both are of one reading: what is claimed later must rest on what was looked at. */
async function readSlot(control: Control, slotKey: string): Promise<Slot> {
  const { store } = control.parts;
  const slot = await store.get(slotKey);
  const id = (slot?.value as JsonObject | undefined)?.id;
  const revision = slot?.revision ?? 'absent';
  if (typeof id !== 'string') return { underWay: undefined, revision };
  // The mark goes in the commit that ends the execution: no need to read its journal, as often as this is asked while a region is in trouble.
  const open = await store.get(journalKeys.open(id));
  return { underWay: open === undefined ? undefined : id, revision };
}

/** The execution that has not ended, if there is one. */
export async function executionUnderWay(control: Control): Promise<string | undefined> {
  return (await readPlatformSlot(control)).underWay;
}

/** The slot of what changes the platform. */
export function readPlatformSlot(control: Control): Promise<Slot> {
  return readSlot(control, slotKeyOf());
}

/** The backup, proof, restore (of a component) or prune (of a repository) that has not ended, if there is one. */
export async function backupUnderWay(control: Control, kind: BackupPlanKind, of: string): Promise<string | undefined> {
  return (await readSlot(control, backupSlotKey(kind, of))).underWay;
}

/** An execution that was just made durable; with its lease, where this process is to run it and got it. */
export interface BegunExecution {
  readonly header: ExecutionHeader<Plan>;
  readonly lease?: Lease;
}

export interface BeginOptions {
  readonly drill?: boolean;
  readonly alongside?: readonly Change[];
  readonly id?: string;
  /** Read a moment ago: what is claimed rests on that reading. */
  readonly slot?: Slot;
}

/** Makes the plan durable as an execution. EXECUTION_RUNNING when another one has not ended. */
export async function beginExecution(control: Control, plan: Plan, by: string, options: BeginOptions = {}): Promise<string> {
  return (await begin(control, plan, by, options)).id;
}

/**
 * The same, and taken in hand: its lease is asked for while it is made durable, under a name that nobody else knows yet. Without a lease, for whatever reason, it is one that anybody may run.
 */
export async function beginInHand(control: Control, plan: Plan, options: BeginOptions = {}): Promise<BegunExecution> {
  const { store, controller, host } = control.parts;
  // One that takes the local hands of another controller is for that one to run.
  if (typeof handsNeededFor(control, plan) !== 'string') return { header: await begin(control, plan, controller, options) };
  const id = options.id ?? control.newExecutionId(plan.kind);
  const asked = store.acquireLease(journalKeys.lease(id), controller, leaseTtlOf(control), { isNew: true }).catch((thrown) => {
    host.log.warn('execution.lease-not-taken', { execution: id, message: asHoldfastError(thrown).message });
    return undefined;
  });
  try {
    const header = await begin(control, plan, controller, { ...options, id });
    const lease = await asked;
    return { header, ...(lease ? { lease } : {}) };
  } catch (thrown) {
    // What can't be given back runs out.
    void asked.then((lease) => lease && store.releaseLease(lease)).catch(() => undefined);
    throw thrown;
  }
}

async function begin(control: Control, plan: Plan, by: string, options: BeginOptions): Promise<ExecutionHeader<Plan>> {
  const { store, host, spec } = control.parts;
  const slotKey = slotKeyOf(plan);
  const { underWay, revision } = options.slot ?? (await readSlot(control, slotKey));
  if (underWay)
    throw fail('EXECUTION_RUNNING', {
      subject: underWay,
      message: `${underWay} has not ended`,
      hint: `Follow it with holdfast executions ${underWay}; go on with holdfast resume, or end it with holdfast abort.`,
    });
  await requireCurrent(store, plan);
  requireOneRunner(control, plan);
  // Begun by whoever leads: not after another has taken the lead.
  const lease = by === control.parts.controller ? control.leadLease() : undefined;
  const id = options.id ?? makeId(plan.kind, host.clock.nowMs(), () => host.random.next());
  try {
    return await createExecution(store, host, {
      plan,
      startedBy: by,
      reason: plan.madeBecause,
      specDigest: spec.digest,
      drill: options.drill ?? false,
      id,
      alongside: [
        { kind: 'put', key: slotKey, value: { id }, expected: revision, ...(lease ? { lease } : {}) },
        ...(options.alongside ?? []),
      ],
    });
  } catch (thrown) {
    if (thrown instanceof HoldfastError && thrown.code === 'STATE_CONFLICT')
      throw fail('EXECUTION_RUNNING', { message: 'another process began an execution in the same moment', cause: thrown });
    throw thrown;
  }
}

export interface RunListeners {
  readonly onEvent?: (event: JournalEvent, state: ExecutionState) => void;
  readonly onProgress?: (stepId: string, message: string) => void;
}

/** A failover that found, before it touched anything, that it need not or may not happen, ends by itself: nobody has to clear it away. */
function endedUntouched(state: ExecutionState): boolean {
  return (
    state.status === 'failed' &&
    state.outcome === undefined &&
    state.steps.every((step) => !step.mayHaveTakenEffect || step.verb === 'check-target' || step.verb === 'confirm-verdict')
  );
}

/**
 * A process that was held up for longer than its lease lasts (a busy machine, a suspended one) has lost the execution. Where nobody else has taken it, it goes on itself, as another one
 * would: by inspecting first.
 */
async function keepRunning(control: Control, id: string, signal: AbortSignal, run: () => Promise<ExecutionState>): Promise<ExecutionState> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run();
    } catch (thrown) {
      const lost = thrown instanceof HoldfastError && thrown.code === 'STATE_LEASE_LOST';
      if (!lost || signal.aborted || attempt === leaseTriesMost) throw thrown;
      control.parts.host.log.warn('execution.lease-lost', { execution: id, message: thrown.message });
    }
  }
}

/** Runs it to its end, or to where a person is needed. Resolves to its state then; rejects with INTERRUPTED when the signal ends it. */
export async function runToEnd(
  control: Control,
  id: string,
  signal: AbortSignal,
  listeners: RunListeners = {},
  begun?: BegunExecution,
): Promise<ExecutionState> {
  const { store, host, controller } = control.parts;
  const leaseTtlMs = leaseTtlOf(control);
  let retried = false;
  const begunHere = new Set<string>();
  const verbs = verbResolver(control, { wasRetried: () => retried, wasBegunHere: (step) => begunHere.has(step) });
  const onEvent: RunListeners['onEvent'] = (event, now) => {
    if (event.type === 'step-intent') begunHere.add(event.stepId);
    retried ||= now.requests.some(({ accepted, request }) => accepted && request.kind === 'retry');
    listeners.onEvent?.(event, now);
  };
  // Only the first run begins where nobody has been.
  let inHand = begun?.lease && { header: begun.header, lease: begun.lease };
  const run = () =>
    keepRunning(control, id, signal, () => {
      const options = { store, host, id, holder: controller, verbs, signal, leaseTtlMs, ...listeners, onEvent };
      const first = inHand;
      inHand = undefined;
      return runExecution(first ? { ...options, inHand: first } : options);
    });
  let state = await run();
  if (endedUntouched(state)) {
    const reason = state.steps.find((step) => step.error)?.error?.message ?? 'it may not happen now';
    await requestAbort(store, host, id, controller, `nothing was touched: ${reason}`);
    state = await run();
  }
  await keepMeasurements(control, id, state).catch((thrown) => {
    // What was measured only improves later guesses: the execution itself has ended well.
    host.log.warn('control.measurements-not-kept', { execution: id, message: asHoldfastError(thrown).message });
  });
  return state;
}

async function keepMeasurements(control: Control, id: string, state: ExecutionState): Promise<void> {
  const { store, spec, host } = control.parts;
  if (state.outcome !== 'done') return;
  const samples = state.steps.flatMap((step) => {
    const driver = step.component === undefined ? undefined : spec.components.get(step.component)?.driver;
    return driver && step.status === 'done' && step.effect === 'applied' && step.tookMs !== undefined
      ? [{ driver, verb: step.verb, tookMs: step.tookMs }]
      : [];
  });
  await recordTimings(store, samples);
  const { header } = await loadExecution<Plan>(store, id);
  const outcome = summarizeExecution(header.plan, state);
  if (header.kind !== 'reprotect' && outcome.outageMs !== undefined) {
    await recordRecovery(store, { region: header.plan.to, outageMs: outcome.outageMs, executionId: id, atMs: host.clock.nowMs() });
  }
}

export interface ExecutionMeasurements {
  /** From the first evidence of the end (planned: the last acknowledged canary) to the first canary acknowledged in the new region, over the slowest data store. */
  readonly outageMs?: number;
  readonly byComponent: readonly {
    readonly component: string;
    readonly outageMs?: number;
    readonly lostCanaries?: number;
    readonly lossMeasured: boolean;
    readonly lossWindow?: { readonly fromMs: number; readonly toMs: number };
    readonly detail: string;
  }[];
}

/** What an execution cost, read from its steps' outputs. Pure. */
export function summarizeExecution(plan: Plan, state: ExecutionState): ExecutionMeasurements {
  const firstCanaryAtMs = state.steps.find((step) => step.verb === 'verify')?.output?.firstCanaryAtMs as Record<string, number> | undefined;
  const byComponent = state.steps
    .filter((step) => step.verb === 'measure-loss')
    .map((step) => {
      const component = String(plan.steps.find((each) => each.id === step.id)?.want.component);
      const output = step.output;
      // A planned change stops the old site itself: clients were kept waiting since the last row that it took.
      const unplanned = plan.kind === 'failover' ? output?.cutAtMs : undefined;
      const startMs = (unplanned ?? output?.lastAcknowledgedAtMs) as number | undefined;
      const firstMs = firstCanaryAtMs?.[component];
      return {
        component,
        ...(startMs !== undefined && firstMs !== undefined ? { outageMs: Math.max(0, firstMs - startMs) } : {}),
        ...(output ? { lostCanaries: Number(output.lostCanaries) } : {}),
        lossMeasured: output?.measured === true,
        ...(output?.window ? { lossWindow: output.window as { fromMs: number; toMs: number } } : {}),
        detail: String(output?.detail ?? step.error?.message ?? 'not measured'),
      };
    });
  const outages = byComponent.flatMap((each) => each.outageMs ?? []);
  return { ...(outages.length > 0 && outages.length === byComponent.length ? { outageMs: Math.max(...outages) } : {}), byComponent };
}
