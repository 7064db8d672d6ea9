/**
 * Executions that somebody should run now: not finished, their lease free, and with something to do. One that a failed step holds up counts only once somebody has asked
 * something of it; otherwise it would be taken up for nothing, again and again.
 */
import type { StateStore } from '../contracts/state-store.ts';
import type { Plan } from '../plans/plan.ts';
import { journalKeys, listOpenExecutions, loadExecution } from '../state/journal.ts';
import { readRequests } from '../state/requests.ts';
import { nextMoves, planGraph } from './next-moves.ts';

export interface Unattended {
  readonly id: string;
  readonly startedAtMs: number;
  /** False for one that nobody has run yet: whoever began it may be about to. */
  readonly wasRun: boolean;
  /** The region that its plan leads away from, where it leads anywhere. */
  readonly leadsAwayFrom?: string;
}

/** Ids, oldest first. One that can't be read (STATE_DAMAGED) is told to `onError` and left out. */
export async function findResumable(store: StateStore, onError: (id: string, error: unknown) => void): Promise<readonly string[]> {
  return (await findUnattended(store, onError)).map((one) => one.id);
}

/** The same, with what several controllers go by when they settle who takes it. */
export async function findUnattended(store: StateStore, onError: (id: string, error: unknown) => void): Promise<readonly Unattended[]> {
  const found: Unattended[] = [];
  for (const id of await listOpenExecutions(store)) {
    try {
      const lease = await store.readLease(journalKeys.lease(id));
      if (lease?.held) continue;
      const { header, state } = await loadExecution<Plan>(store, id);
      if (state.outcome !== undefined) continue;
      if (nextMoves(planGraph(header.plan), state, new Set()).halted && (await readRequests(store, id)).length === 0) continue;
      const { from, to, kind } = header.plan;
      // A re-protection leads to its region, and needs what is there.
      const away = from === to || kind === 'reprotect' ? {} : { leadsAwayFrom: from };
      found.push({ id, startedAtMs: header.startedAtMs, wasRun: state.startedAtMs !== undefined, ...away });
    } catch (error) {
      onError(id, error);
    }
  }
  return found.sort((left, right) => left.startedAtMs - right.startedAtMs);
}
