/**
 * What people ask of an execution. Anybody may put a request, from any process, whether or not somebody runs the execution; the runner answers each one exactly once: its
 * answer, what follows from it and the removal of the request are one commit. A request put while nobody runs the execution waits for the next runner.
 */
import { fail } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { Json } from '../base/json.ts';
import type { Change, StateStore } from '../contracts/state-store.ts';
import type { Host } from '../host/host.ts';
import type { ExecutionState } from './execution-state.ts';
import { journalKeys, loadExecution, watchExecution } from './journal.ts';
import type { ExecutionRequest } from './journal-events.ts';

export interface PendingRequest {
  readonly requestId: string;
  readonly request: ExecutionRequest;
  readonly atMs: number;
}

/** Puts the request; resolves to its id. NOT_FOUND, USAGE for a missing name or reason, EXECUTION_WRONG_STATE when the execution is finished. */
export async function putRequest(
  store: StateStore,
  host: Pick<Host, 'clock' | 'random'>,
  id: string,
  request: ExecutionRequest,
): Promise<string> {
  if (request.by.trim() === '') throw fail('USAGE', { message: 'a request needs the name of who asks', hint: 'Give your name.' });
  if (request.kind === 'skip' && request.reason.trim() === '')
    throw fail('USAGE', { message: 'skipping a step needs a reason', hint: 'Say why the step may be left out.' });
  const { state } = await loadExecution(store, id);
  if (state.outcome !== undefined)
    throw fail('EXECUTION_WRONG_STATE', {
      subject: `execution ${id}`,
      message: `the execution is over (${state.outcome}); nothing can be asked of it any more`,
    });
  const atMs = host.clock.nowMs();
  const requestId = makeId('request', atMs, () => host.random.next());
  await store.commit([
    { kind: 'put', key: `${journalKeys.requests(id)}${requestId}`, value: { request, atMs } as unknown as Json, expected: 'absent' },
  ]);
  return requestId;
}

type Asking = Pick<Host, 'clock' | 'random'>;

export const requestPause = (store: StateStore, host: Asking, id: string, by: string, reason?: string) =>
  putRequest(store, host, id, { kind: 'pause', by, ...(reason === undefined ? {} : { reason }) });
export const requestResume = (store: StateStore, host: Asking, id: string, by: string) =>
  putRequest(store, host, id, { kind: 'resume', by });
export const requestAbort = (store: StateStore, host: Asking, id: string, by: string, reason?: string) =>
  putRequest(store, host, id, { kind: 'abort', by, ...(reason === undefined ? {} : { reason }) });
export const requestRollBack = (store: StateStore, host: Asking, id: string, by: string, reason?: string) =>
  putRequest(store, host, id, { kind: 'roll-back', by, ...(reason === undefined ? {} : { reason }) });
export const requestRetry = (store: StateStore, host: Asking, id: string, by: string, stepId?: string) =>
  putRequest(store, host, id, { kind: 'retry', by, ...(stepId === undefined ? {} : { stepId }) });
export const requestSkip = (store: StateStore, host: Asking, id: string, by: string, stepId: string, reason: string) =>
  putRequest(store, host, id, { kind: 'skip', by, stepId, reason });
export const requestApprove = (
  store: StateStore,
  host: Asking,
  id: string,
  by: string,
  options: { readonly stepId?: string; readonly comment?: string } = {},
) => putRequest(store, host, id, { kind: 'approve', by, ...options });
export const requestFenceWord = (
  store: StateStore,
  host: Asking,
  id: string,
  by: string,
  site: { readonly component: string; readonly region: string; readonly comment?: string },
) => putRequest(store, host, id, { kind: 'fence-word', by, ...site });
export const requestRemark = (store: StateStore, host: Asking, id: string, by: string, text: string) =>
  putRequest(store, host, id, { kind: 'remark', by, text });

/** Not answered yet, oldest first. */
export async function readRequests(store: StateStore, id: string): Promise<readonly PendingRequest[]> {
  const prefix = journalKeys.requests(id);
  return (await store.range(prefix)).map((entry) => ({
    requestId: entry.key.slice(prefix.length),
    ...(entry.value as unknown as Omit<PendingRequest, 'requestId'>),
  }));
}

/** The change that goes with the answer. */
export function answeredChange(id: string, requestId: string): Change {
  return { kind: 'delete', key: `${journalKeys.requests(id)}${requestId}`, expected: 'any' };
}

export type RequestAnswer = ExecutionState['requests'][number];

/** Waits for the runner's answer. TIMED_OUT when none came: the request still stands, for whoever runs the execution next. */
export async function waitForAnswer(
  store: StateStore,
  host: Pick<Host, 'clock'>,
  id: string,
  requestId: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<RequestAnswer> {
  return new Promise<RequestAnswer>((resolve, reject) => {
    let stop: (() => void) | undefined;
    let over = false;
    const end = (act: () => void) => {
      if (over) return;
      over = true;
      cancel();
      signal?.removeEventListener('abort', onAbort);
      stop?.();
      act();
    };
    const onAbort = () => end(() => reject(fail('INTERRUPTED', { cause: signal?.reason })));
    const cancel = host.clock.after(timeoutMs, () =>
      end(() =>
        reject(
          fail('TIMED_OUT', {
            subject: `execution ${id}`,
            message: 'no runner has answered the request yet; it stands until one does',
            details: { requestId },
          }),
        ),
      ),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    watchExecution(
      store,
      id,
      (state) => {
        const answer = state.requests.find((one) => one.requestId === requestId);
        if (answer) end(() => resolve(answer));
      },
      (error) => end(() => reject(error)),
    ).then(
      (stopWatching) => {
        if (over) stopWatching();
        else stop = stopWatching;
      },
      (error: unknown) => end(() => reject(error)),
    );
  });
}
