/**
 * Executions in the state store. Keys:
 *   executions/<id>                      the header: the whole plan
 *   executions/<id>/events/<8 digits>    the events, append-only, chained by hashes
 *   executions/<id>/requests/<id>        what somebody asks of it, until the runner has answered
 *   execution-index/<15 digits>-<id>     a summary, by time
 *   execution-open/<id>                  as long as it is not finished
 *
 * Header, index and open mark come into being in one commit, and `finished` goes with the removal of the open mark in another. So after a death at any instant an
 * execution is there whole or not at all, and an unfinished one is always found again.
 */
import { fail } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Change, Entry, Lease, StateStore } from '../contracts/state-store.ts';
import type { Clock, Host } from '../host/host.ts';
import {
  ExecutionFolder,
  type ExecutionHeader,
  type ExecutionState,
  type ExecutionStatus,
  foldExecution,
  type JournalledPlan,
} from './execution-state.ts';
import { type EventBody, type JournalEvent, type Outcome, sealEvent } from './journal-events.ts';

export interface Execution<P extends JournalledPlan = JournalledPlan> {
  readonly header: ExecutionHeader<P>;
  readonly events: readonly JournalEvent[];
  readonly state: ExecutionState;
}

export interface ExecutionSummary {
  readonly id: string;
  readonly kind: string;
  readonly platform: string;
  readonly drill: boolean;
  readonly startedBy: string;
  readonly startedAtMs: number;
  readonly reason: string;
  readonly status: ExecutionStatus;
  readonly endedAtMs?: number;
}

export const journalKeys = {
  header: (id: string) => `executions/${id}`,
  events: (id: string) => `executions/${id}/events/`,
  event: (id: string, seq: number) => `executions/${id}/events/${String(seq).padStart(8, '0')}`,
  requests: (id: string) => `executions/${id}/requests/`,
  index: (id: string, startedAtMs: number) => `execution-index/${String(startedAtMs).padStart(15, '0')}-${id}`,
  indexPrefix: 'execution-index/',
  open: (id: string) => `execution-open/${id}`,
  openPrefix: 'execution-open/',
  lease: (id: string) => `execution/${id}`,
} as const;

export interface NewExecution<P extends JournalledPlan> {
  readonly plan: P;
  readonly startedBy: string;
  readonly reason: string;
  readonly specDigest: string;
  readonly drill?: boolean;
  /** Made if not given. */
  readonly id?: string;
  /** Committed in the same step: what must be claimed together with the execution. */
  readonly alongside?: readonly Change[];
}

/** Makes the plan durable as an execution that waits for a runner. PLAN_IMPOSSIBLE when its graph is not one that can be run. */
export async function createExecution<P extends JournalledPlan>(
  store: StateStore,
  host: Pick<Host, 'clock' | 'random'>,
  what: NewExecution<P>,
): Promise<ExecutionHeader<P>> {
  checkGraph(what.plan);
  const startedAtMs = host.clock.nowMs();
  const id = what.id ?? makeId(what.plan.kind, startedAtMs, () => host.random.next());
  const header: ExecutionHeader<P> = {
    id,
    kind: what.plan.kind,
    plan: what.plan,
    drill: what.drill ?? false,
    startedBy: what.startedBy,
    startedAtMs,
    specDigest: what.specDigest,
    reason: what.reason,
  };
  const summary = {
    id,
    kind: header.kind,
    platform: header.plan.platform,
    drill: header.drill,
    startedBy: header.startedBy,
    startedAtMs,
    reason: header.reason,
  };
  await store.commit([
    { kind: 'put', key: journalKeys.header(id), value: header as unknown as Json, expected: 'absent' },
    { kind: 'put', key: journalKeys.index(id, startedAtMs), value: summary, expected: 'absent' },
    { kind: 'put', key: journalKeys.open(id), value: { startedAtMs }, expected: 'absent' },
    ...(what.alongside ?? []),
  ]);
  return header;
}

function checkGraph(plan: JournalledPlan): void {
  const impossible = (message: string) => fail('PLAN_IMPOSSIBLE', { subject: `plan for ${plan.platform}`, message });
  const byId = new Map(plan.steps.map((step) => [step.id, step]));
  if (byId.size !== plan.steps.length) throw impossible('two steps have the same id');
  if (!Number.isInteger(plan.parallel) || plan.parallel < 1) throw impossible(`it allows ${plan.parallel} steps at once`);
  const open = new Map<string, number>();
  const ready: string[] = [];
  const followers = new Map<string, string[]>();
  for (const step of plan.steps) {
    const before = new Set(step.after);
    open.set(step.id, before.size);
    if (before.size === 0) ready.push(step.id);
    for (const id of before) {
      if (!byId.has(id)) throw impossible(`step "${step.id}" comes after "${id}", which is not in the plan`);
      followers.set(id, [...(followers.get(id) ?? []), step.id]);
    }
  }
  let reached = 0;
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    reached += 1;
    for (const follower of followers.get(id) ?? []) {
      const rest = (open.get(follower) ?? 0) - 1;
      open.set(follower, rest);
      if (rest === 0) ready.push(follower);
    }
  }
  if (reached !== plan.steps.length) throw impossible('its steps wait for each other in a circle');
}

async function readExecution<P extends JournalledPlan>(
  store: StateStore,
  id: string,
): Promise<{ readonly execution: Execution<P>; readonly revision: number } | undefined> {
  const [entry, entries] = await Promise.all([store.get(journalKeys.header(id)), store.range(journalKeys.events(id))]);
  if (!entry) return undefined;
  const header = entry.value as unknown as ExecutionHeader<P>;
  const events = entries.map((one) => one.value as unknown as JournalEvent);
  const revision = entries.reduce((newest, one) => Math.max(newest, one.revision), entry.revision);
  return { execution: { header, events, state: foldExecution(header, events) }, revision };
}

/** NOT_FOUND when there is none of that id, STATE_DAMAGED when its chain is broken. */
export async function loadExecution<P extends JournalledPlan = JournalledPlan>(store: StateStore, id: string): Promise<Execution<P>> {
  const read = await readExecution<P>(store, id);
  if (!read)
    throw fail('NOT_FOUND', {
      subject: `execution ${id}`,
      message: `there is no execution ${id}`,
      hint: 'holdfast executions lists those there are.',
    });
  return read.execution;
}

/** Newest first. A damaged one is listed as `failed` rather than hiding the others; loading it says what is wrong. */
export async function listExecutions(store: StateStore, options: { readonly limit?: number } = {}): Promise<readonly ExecutionSummary[]> {
  const entries = await store.range(journalKeys.indexPrefix, {
    reverse: true,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
  });
  return Promise.all(entries.map((entry) => readSummary(store, entry)));
}

async function readSummary(store: StateStore, entry: Entry): Promise<ExecutionSummary> {
  const summary = entry.value as unknown as Omit<ExecutionSummary, 'status'> & { readonly outcome?: Outcome };
  const { outcome, ...rest } = summary;
  if (outcome !== undefined) return { ...rest, status: outcome };
  const read = await readExecution(store, summary.id).catch(() => undefined);
  if (!read) return { ...rest, status: 'failed' };
  const { status, endedAtMs } = read.execution.state;
  return { ...rest, status, ...(endedAtMs === undefined ? {} : { endedAtMs }) };
}

/** Ids of the executions that are not finished, oldest first within a kind. */
export async function listOpenExecutions(store: StateStore): Promise<readonly string[]> {
  return (await store.range(journalKeys.openPrefix)).map((entry) => entry.key.slice(journalKeys.openPrefix.length));
}

/** The changes that go with `finished`: no longer open, and the index knows how it ended. */
export function closingChanges(header: ExecutionHeader, outcome: Outcome, endedAtMs: number): readonly Change[] {
  const { id, kind, drill, startedBy, startedAtMs, reason } = header;
  const summary: JsonObject = { id, kind, platform: header.plan.platform, drill, startedBy, startedAtMs, reason, outcome, endedAtMs };
  return [
    { kind: 'put', key: journalKeys.index(id, startedAtMs), value: summary, expected: 'any' },
    { kind: 'delete', key: journalKeys.open(id), expected: 'any' },
  ];
}

/** The change that appends an event: only as the next one, and, given a lease, only under it. */
export function eventChange(id: string, event: JournalEvent, lease?: Lease): Change {
  return {
    kind: 'put',
    key: journalKeys.event(id, event.seq),
    value: event as unknown as Json,
    expected: 'absent',
    ...(lease ? { lease } : {}),
  };
}

/**
 * Appends `measured` or `remark` to an execution that nobody runs at the moment (STATE_LEASE_HELD otherwise), also after it has finished. A runner appends through its
 * own writer; a remark during a run is a request.
 */
export async function appendEvent(
  store: StateStore,
  clock: Clock,
  id: string,
  holder: string,
  body: EventBody & { readonly type: 'measured' | 'remark' },
): Promise<JournalEvent> {
  const lease = await store.acquireLease(journalKeys.lease(id), holder, 5_000);
  try {
    const { header, events, state } = await loadExecution(store, id);
    const event = sealEvent(body, { seq: state.lastSeq, hash: state.lastHash }, clock.nowMs());
    const folder = new ExecutionFolder(header);
    for (const earlier of events) folder.apply(earlier);
    folder.apply(event);
    await store.commit([eventChange(id, event, lease)]);
    return event;
  } finally {
    await store.releaseLease(lease);
  }
}

/**
 * Tells the state now (without an event), then each event with the state after it, in order, each once, whichever process appends them. The returned function ends
 * it. `onError` is told when it can't go on (the watch is lost, or the journal is damaged).
 */
export async function watchExecution<P extends JournalledPlan = JournalledPlan>(
  store: StateStore,
  id: string,
  listener: (state: ExecutionState, event: JournalEvent | undefined, header: ExecutionHeader<P>) => void,
  onError?: (error: Error) => void,
): Promise<() => void> {
  const read = await readExecution<P>(store, id);
  if (!read) throw fail('NOT_FOUND', { subject: `execution ${id}`, message: `there is no execution ${id}` });
  const { header, events, state } = read.execution;
  const folder = new ExecutionFolder(header);
  for (const event of events) folder.apply(event);
  listener(state, undefined, header);
  let over = false;
  let unwatch = () => {};
  const stop = () => {
    over = true;
    unwatch();
  };
  unwatch = store.watch(
    journalKeys.events(id),
    (change) => {
      if (over || change.kind !== 'put') return;
      const event = change.value as unknown as JournalEvent;
      if (event.seq <= folder.state.lastSeq) return;
      try {
        folder.apply(event);
      } catch (error) {
        stop();
        onError?.(error as Error);
        return;
      }
      listener(folder.state, event, header);
    },
    { afterRevision: read.revision, ...(onError ? { onError } : {}) },
  );
  if (over) unwatch();
  return stop;
}
