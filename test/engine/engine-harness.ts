/**
 * What tests of the engine share: one host with a clock that the test moves, one store, and short words for starting, asking and looking.
 */
import { afterEach, beforeEach } from 'vitest';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { runExecution } from '../../src/engine/run-execution.ts';
import type { RunOptions, VerbResolver } from '../../src/engine/run-options.ts';
import type { Plan } from '../../src/plans/plan.ts';
import { type ExecutionState, stepState } from '../../src/state/execution-state.ts';
import { createExecution, loadExecution } from '../../src/state/journal.ts';
import type { ExecutionRequest } from '../../src/state/journal-events.ts';
import { putRequest } from '../../src/state/requests.ts';
import { type FakeHost, fakeHost } from '../fakes/host.ts';
import { memoryState } from '../fakes/memory-store.ts';
import { type Behaviour, FakeWorld } from './fake-platform.ts';

export let host: FakeHost;
export let store: StateStore;
let stops: AbortController[];

/** A fresh host and store before each test; whatever still runs after it is stopped. */
export function useEngineHarness(): void {
  beforeEach(() => {
    host = fakeHost();
    store = memoryState(host.clock).open();
    stops = [];
  });
  afterEach(() => {
    for (const stop of stops) stop.abort();
  });
}

export interface Running {
  readonly id: string;
  readonly stop: AbortController;
  ended?: { readonly state?: ExecutionState; readonly error?: unknown };
}

export function run(id: string, verbs: VerbResolver, parts: Partial<RunOptions> = {}): Running {
  const stop = new AbortController();
  stops.push(stop);
  const running: Running = { id, stop };
  runExecution({ store, host, id, holder: 'one', verbs, signal: stop.signal, ...parts }).then(
    (state) => {
      running.ended = { state };
    },
    (error: unknown) => {
      running.ended = { error };
    },
  );
  return running;
}

export async function until(condition: () => boolean | Promise<boolean>, limitMs = 120_000): Promise<void> {
  for (let passedMs = 0; passedMs <= limitMs; passedMs += 10) {
    await host.clock.advance(10);
    if (await condition()) return;
  }
  throw new Error('the condition never held');
}

export async function create(plan: Plan): Promise<string> {
  return (await createExecution(store, host, { plan, startedBy: 'ann', reason: 'a test', specDigest: 'abc' })).id;
}

export const status = async (id: string) => (await loadExecution(store, id)).state.status;
export const step = async (id: string, stepId: string) => {
  const found = stepState((await loadExecution(store, id)).state, stepId);
  if (!found) throw new Error(`no step ${stepId}`);
  return found;
};
export const types = async (id: string) =>
  (await loadExecution(store, id)).events.map((event) => `${event.type}${'stepId' in event && event.stepId ? ` ${event.stepId}` : ''}`);
export const ask = (id: string, request: ExecutionRequest) => putRequest(store, host, id, request);
export const answer = async (id: string, requestId: string) =>
  (await loadExecution(store, id)).state.requests.find((one) => one.requestId === requestId);
export const world = (behaviours: Record<string, readonly Behaviour[]> = {}, slowMs = 40) =>
  new FakeWorld({ clock: host.clock, behaviours, slowMs: () => slowMs });

export async function runToEnd(plan: Plan, verbs: VerbResolver, parts: Partial<RunOptions> = {}): Promise<ExecutionState> {
  const id = await create(plan);
  const running = run(id, verbs, parts);
  await until(() => running.ended !== undefined);
  if (running.ended?.error) throw running.ended.error;
  return running.ended?.state as ExecutionState;
}
