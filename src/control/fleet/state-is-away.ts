/** Whether an error says that nobody answers for the shared state, or not in time: what begins then waits. Everything else is an answer, and must be shown as it is. Pure. */
import { asHoldfastError } from '../../base/errors.ts';

const silent: ReadonlySet<string> = new Set(['STATE_UNREACHABLE', 'SYSTEM_OUTCOME_UNKNOWN', 'TIMED_OUT']);

export const stateIsAway = (thrown: unknown): boolean => silent.has(asHoldfastError(thrown).code);
