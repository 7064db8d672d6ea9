/**
 * A person says that a region which fenced itself serves again, also where something can't be known that would be needed otherwise (another site that can't be asked), and also what an execution
 * has stopped.
 *
 * Invariant: nothing is started here. The request lies in the state, and whoever holds the lease of the region answers it, by the same rules as ever: never beside another primary.
 */
import { fail } from '../../base/errors.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Clock } from '../../host/host.ts';
import { primaryKeys } from './primary-records.ts';
import type { ReturnRequest } from './region-return.ts';
import { readLeave } from './return-leave.ts';

/** A server that was killed replays its log when it starts. */
const answerTimeoutMs = 120_000;
const pollMs = 200;

export interface AskReturnParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly region: string;
  readonly by: string;
  readonly signal: AbortSignal;
}

/** Resolves to what was done; EXECUTION_NOT_ALLOWED where it may not be, with what would have to change. */
export async function askReturn({ store, clock, region, by, signal }: AskReturnParts): Promise<string> {
  const refuse = (message: string, hint: string) => fail('EXECUTION_NOT_ALLOWED', { subject: region, message, hint });
  const leave = await readLeave(store, region);
  if ('refused' in leave) throw refuse(leave.refused, `${region} can serve again once that is settled.`);
  const lease = await store.readLease(primaryKeys.lease(region));
  if (lease?.held !== true)
    throw refuse(
      `no controller holds the lease of ${region}: without it nothing there may serve`,
      `Start holdfast serve --region ${region} there, or wait until it reaches the state.`,
    );
  const request: ReturnRequest = { by, atMs: clock.nowMs() };
  await store.commit([{ kind: 'put', key: primaryKeys.returning(region), value: request, expected: 'any' }]);
  const untilMs = clock.monotonicMs() + answerTimeoutMs;
  while (clock.monotonicMs() < untilMs) {
    const now = (await store.get(primaryKeys.returning(region)))?.value as ReturnRequest | undefined;
    if (now?.outcome === 'done') return now.why ?? '';
    if (now?.outcome === 'refused') throw refuse(now.why ?? '', 'The message says what would have to change.');
    await clock.sleep(pollMs, signal);
  }
  throw fail('TIMED_OUT', {
    subject: region,
    message: `the controller of ${region} has not answered within ${answerTimeoutMs} ms`,
    hint: `The request stays: look at what holdfast serve --region ${region} says there.`,
  });
}
